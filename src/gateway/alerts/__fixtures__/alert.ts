import type { Alert } from "../../../continuity/alerts/alert-book.ts";
import type { Notification } from "../../../continuity/alerts/grouping.ts";
import { ManualClock } from "../../../lib/clock.ts";
import type { ChannelParts } from "../open-channels.ts";

export const GATEWAY = "https://ai.example.org";
export const NOW_MS = 1_700_000_000_000;

/** An alert about a node that is away. */
export function alertOf(fields: Partial<Alert> = {}): Alert {
  return {
    id: "0190a5d0-0000-7000-8000-000000000001",
    rule: "node-away",
    key: "forge",
    severity: "warning",
    summary: "Node forge is away",
    labels: { node: "forge" },
    startedAtMs: NOW_MS - 60_000,
    firedAtMs: NOW_MS,
    resolvedAtMs: null,
    toldAtMs: null,
    ack: null,
    ...fields,
  };
}

/** A message about it. */
export function notificationOf(fields: Partial<Notification> = {}): Notification {
  return {
    id: "0190a5d0-0000-7000-8000-0000000000aa",
    kind: "change",
    rule: "node-away",
    status: "firing",
    atMs: NOW_MS,
    alerts: [alertOf()],
    ...fields,
  };
}

/** What a channel called `ops` is made with. */
export function partsOf(fields: Partial<ChannelParts> = {}): ChannelParts & { clock: ManualClock } {
  const clock = new ManualClock(NOW_MS);
  return { name: "ops", filter: { severity: "info", rules: null }, gateway: GATEWAY, ca: null, ...fields, clock };
}
