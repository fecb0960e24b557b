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

/** JSON is posted to it. */
export interface WebhookConfig {
  url: Secret;
  /** Null: not signed. */
  secret: Secret | null;
}

/** A Slack incoming webhook, or a server that takes the same. */
export interface SlackConfig {
  url: Secret;
}

/** A topic of an ntfy server. */
export interface NtfyConfig {
  /** Of the server. */
  url: Secret;
  /** Whoever knows it reads along. */
  topic: Secret;
  /** Access token (`tk_…`); null: the topic is open. */
  token: Secret | null;
}

/** Alertmanager, API v2. */
export interface AlertmanagerConfig {
  /** Without `/api/v2/alerts`. */
  url: Secret;
  /** Bearer token of a proxy before it; null: none. */
  token: Secret | null;
}

/** Mail. */
export interface SmtpConfig {
  host: string;
  port: number;
  /** `starttls`: insisted on; `none`: in clear, for a server on this machine. */
  tls: "starttls" | "tls" | "none";
  user: string | null;
  password: Secret | null;
  from: string;
  to: readonly string[];
}

/** How to tell somebody. The secrets are empty where they were not this program's to read. */
export type AlertChannelConfig = AnyChannelConfig &
  (
    | ({ type: "webhook" } & WebhookConfig)
    | ({ type: "slack" } & SlackConfig)
    | ({ type: "ntfy" } & NtfyConfig)
    | ({ type: "alertmanager" } & AlertmanagerConfig)
    | ({ type: "smtp" } & SmtpConfig)
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
