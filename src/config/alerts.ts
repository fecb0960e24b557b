import type { GroupingTimes } from "../continuity/alerts/grouping.ts";
import { type AlertRules, DEFAULT_RULES, type RuleName, type Severity } from "../continuity/alerts/rules.ts";
import type { Secret } from "../lib/secret.ts";

/** Who is told what, and when. Without channels the rules are judged all the same, for `postern alerts list`. */
export interface AlertsConfig extends GroupingTimes {
  rules: AlertRules;
  channels: readonly AlertChannelConfig[];
  /** Null: none. */
  heartbeat: HeartbeatConfig | null;
  /** Alerts that resolved longer ago are deleted. */
  historyMs: number;
}

interface AnyChannelConfig {
  name: string;
  /** Least severity that is told. */
  severity: Severity;
  /** Null: all. */
  rules: readonly RuleName[] | null;
  /** PEM file of the authority behind the receiver's certificate, absolute; null: the system's. */
  caFile: string | null;
}

/** How to tell somebody. The secrets are empty where they were not this program's to read. */
export type AlertChannelConfig = AnyChannelConfig &
  (
    | { type: "webhook"; url: Secret; secret: Secret | null }
    | { type: "slack"; url: Secret }
    | { type: "ntfy"; url: Secret; topic: Secret; token: Secret | null }
    | { type: "alertmanager"; url: Secret; token: Secret | null }
    | {
        type: "smtp";
        host: string;
        port: number;
        tls: "starttls" | "tls" | "none";
        user: string | null;
        password: Secret | null;
        from: string;
        to: readonly string[];
      }
  );

/** A sign of life to somebody who raises the alarm when it stops. */
export interface HeartbeatConfig {
  url: Secret;
  everyMs: number;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const DAY = 24 * 60 * MINUTE;

export const DEFAULT_ALERTS: AlertsConfig = {
  rules: DEFAULT_RULES,
  groupWaitMs: 10 * SECOND,
  groupIntervalMs: MINUTE,
  repeatMs: 4 * 60 * MINUTE,
  channels: [],
  heartbeat: null,
  historyMs: 90 * DAY,
};

export const DEFAULT_HEARTBEAT_MS = MINUTE;
/** Of ntfy's own server. */
export const DEFAULT_NTFY_URL = "https://ntfy.sh";

/** What a rule's threshold is called in the file. */
export function thresholdField(name: RuleName): "above" | "within" {
  return name === "certificate" ? "within" : "above";
}
