import type { Logger } from "pino";
import type { LiveAlerts } from "../../admin/context.ts";
import type { AlertsConfig } from "../../config/alerts.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Closers } from "../../lib/closers.ts";
import type { AlertStore } from "../../storage/alert-store.ts";
import { type AlertSink, Alerts, type AlertsParts } from "./alerts.ts";
import { Heartbeat } from "./heartbeat.ts";
import { openChannels } from "./open-channels.ts";

export interface OpenAlertsParts {
  config: AlertsConfig;
  sources: AlertsParts["sources"];
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

/** Alerts of a running gateway: where they are raised, and how they are seen. */
export interface OpenedAlerts {
  sink: AlertSink;
  live: LiveAlerts;
}

/** Opens the channels and begins to look. Rejects with `store_*` codes, and for a certificate authority's file that cannot be read. */
export async function openAlerts(parts: OpenAlertsParts): Promise<OpenedAlerts> {
  const { config, clock, log, closers, gateway } = parts;
  const alerts = new Alerts({
    ...parts,
    channels: openChannels(config.channels, clock, gateway),
    onFiring: ({ rule, key, severity, summary }) => log.warn({ rule, key, severity, summary }, "alert fires"),
    onResolved: ({ rule, key, summary }) => log.info({ rule, key, summary }, "alert resolved"),
    onTrouble: (what, detail) => log.warn(detail, what),
  });
  closers.add(() => alerts.stop());
  await alerts.start();
  const heartbeat =
    config.heartbeat === null
      ? null
      : new Heartbeat({
          config: config.heartbeat,
          clock,
          gateway,
          isWell: parts.isWell,
          onTrouble: (detail) => log.warn({ detail }, "heartbeat not delivered"),
        });
  if (heartbeat !== null) {
    closers.add(() => heartbeat.stop());
    heartbeat.start();
  }
  return { sink: alerts, live: toLive(alerts, heartbeat) };
}

function toLive(alerts: Alerts, heartbeat: Heartbeat | null): LiveAlerts {
  return {
    view: () => ({
      firing: alerts.firing().map(({ alert, silence }) => ({ ...alert, silencedBy: silence?.id ?? null })),
      pending: alerts.pending().map(({ rule, key, summary, sinceMs }) => ({ rule, key, summary, sinceMs })),
      channels: alerts
        .channels()
        .map((channel) => ({ ...channel, rules: channel.rules === null ? null : [...channel.rules] })),
      heartbeat: heartbeat?.view() ?? null,
    }),
    test: async (channel, signal) =>
      (await alerts.test(channel, signal)).map(({ outcome, ...rest }) => ({
        ...rest,
        isDelivered: outcome.isDelivered,
        detail: outcome.detail,
        nextStep: outcome.isDelivered ? null : outcome.nextStep,
      })),
    silencesChanged: () => alerts.silencesChanged(),
    acknowledged: (id, ack) => alerts.acknowledged(id, ack),
  };
}
