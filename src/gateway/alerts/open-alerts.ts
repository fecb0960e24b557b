import type { Logger } from "pino";
import type { LiveAlerts } from "../../admin/context.ts";
import type { AlertsConfig } from "../../config/alerts.ts";
import type { AlertRules } from "../../continuity/alerts/rules.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Closers } from "../../lib/closers.ts";
import type { AlertStore } from "../../storage/alert-store.ts";
import { Alerts, type AlertsParts } from "./alerts.ts";
import type { Channel } from "./channel.ts";
import { Heartbeat } from "./heartbeat.ts";
import { openChannels } from "./open-channels.ts";

export interface OpenAlertsParts {
  config: AlertsConfig;
  /** What is asked what is wrong, as the rules are. */
  sources(rules: AlertRules): AlertsParts["sources"];
  store: AlertStore;
  clock: Clock;
  random: () => number;
  newId: () => string;
  log: Logger;
  closers: Closers;
  /** Origin of the gateway. */
  gateway: string;
  /** Whether the gateway serves, for the heartbeat. */
  isWell(): boolean;
}

/** Alerts of a running gateway: how they are seen, and how they are changed. */
export interface OpenedAlerts {
  live: LiveAlerts;
  /**
   * Other rules, channels and heartbeat. What fires goes on firing, whether or not the store can be asked; what waits to be sent is
   * told anew. Rejects, with all as it was, where an authority's file cannot be read.
   */
  reload(config: AlertsConfig): Promise<void>;
}

interface Running {
  alerts: Alerts;
  heartbeat: Heartbeat | null;
}

/** Opens the channels and begins to look. Rejects with `store_*` codes, and for a certificate authority's file that cannot be read. */
export async function openAlerts(parts: OpenAlertsParts): Promise<OpenedAlerts> {
  const { config, clock, gateway } = parts;
  const first = createAlerts(parts, config, openChannels(config.channels, clock, gateway));
  await first.start();
  let current: Running = { alerts: first, heartbeat: startHeartbeat(parts, config) };
  parts.closers.add(() => stop(current));
  return {
    live: toLive(() => current),
    async reload(next) {
      const alerts = createAlerts(parts, next, openChannels(next.channels, clock, gateway));
      await stop(current);
      alerts.takeOver(current.alerts);
      current = { alerts, heartbeat: startHeartbeat(parts, next) };
    },
  };
}

function createAlerts(parts: OpenAlertsParts, config: AlertsConfig, channels: Channel[]): Alerts {
  const { log } = parts;
  return new Alerts({
    ...parts,
    config,
    channels,
    sources: parts.sources(config.rules),
    onFiring: ({ rule, key, severity, summary }) => log.warn({ rule, key, severity, summary }, "alert fires"),
    onResolved: ({ rule, key, summary }) => log.info({ rule, key, summary }, "alert resolved"),
    onTrouble: (what, detail) => log.warn(detail, what),
  });
}

function startHeartbeat({ clock, gateway, isWell, log }: OpenAlertsParts, config: AlertsConfig): Heartbeat | null {
  if (config.heartbeat === null) return null;
  const onTrouble = (detail: string): void => log.warn({ detail }, "heartbeat not delivered");
  const heartbeat = new Heartbeat({ config: config.heartbeat, clock, gateway, isWell, onTrouble });
  heartbeat.start();
  return heartbeat;
}

async function stop({ alerts, heartbeat }: Running): Promise<void> {
  heartbeat?.stop();
  await alerts.stop();
}

function toLive(current: () => Running): LiveAlerts {
  return {
    view() {
      const { alerts, heartbeat } = current();
      return {
        firing: alerts.firing().map(({ alert, silence }) => ({ ...alert, silencedBy: silence?.id ?? null })),
        pending: alerts.pending().map(({ rule, key, summary, sinceMs }) => ({ rule, key, summary, sinceMs })),
        channels: alerts
          .channels()
          .map((channel) => ({ ...channel, rules: channel.rules === null ? null : [...channel.rules] })),
        heartbeat: heartbeat?.view() ?? null,
      };
    },
    test: async (channel, signal) =>
      (await current().alerts.test(channel, signal)).map(({ outcome, ...rest }) => ({
        ...rest,
        isDelivered: outcome.isDelivered,
        detail: outcome.detail,
        nextStep: outcome.isDelivered ? null : outcome.nextStep,
      })),
    silencesChanged: () => current().alerts.silencesChanged(),
    acknowledged: (id, ack) => current().alerts.acknowledged(id, ack),
  };
}
