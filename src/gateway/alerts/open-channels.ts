import { readFileSync } from "node:fs";
import type { AlertChannelConfig } from "../../config/alerts.ts";
import type { ChannelFilter } from "../../continuity/alerts/grouping.ts";
import type { Clock } from "../../lib/clock.ts";
import { createAlertmanager } from "./alertmanager.ts";
import type { Channel } from "./channel.ts";
import { createNtfy } from "./ntfy.ts";
import { createSlack } from "./slack.ts";
import { createSmtp } from "./smtp.ts";
import { createWebhook } from "./webhook.ts";

/** What every channel is made with. */
export interface ChannelParts {
  name: string;
  filter: ChannelFilter;
  clock: Clock;
  /** Origin of the gateway, to tell several apart. */
  gateway: string;
  /** PEM of the authority behind the receiver's certificate; null: the system's. */
  ca: string | null;
}

/** The channels of the configuration. Nothing is connected. @throws an `Error` of the file system for a `ca` that cannot be read. */
export function openChannels(configs: readonly AlertChannelConfig[], clock: Clock, gateway: string): Channel[] {
  return configs.map((config) => openChannel(config, clock, gateway));
}

function openChannel(config: AlertChannelConfig, clock: Clock, gateway: string): Channel {
  const { name, severity, rules, caFile } = config;
  const ca = caFile === null ? null : readFileSync(caFile, "utf8");
  const parts: ChannelParts = { name, filter: { severity, rules }, clock, gateway, ca };
  switch (config.type) {
    case "webhook":
      return createWebhook(parts, config);
    case "slack":
      return createSlack(parts, config);
    case "ntfy":
      return createNtfy(parts, config);
    case "smtp":
      return createSmtp(parts, config);
    case "alertmanager":
      return createAlertmanager(parts, config);
    default:
      return config satisfies never;
  }
}
