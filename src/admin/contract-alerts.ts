import { z } from "zod";
import { RULE_NAMES, type RuleName, SEVERITIES } from "../continuity/alerts/rules.ts";
import { label, timestamp } from "./contract.ts";

/** The part of the contract about alerts: what fires, who is told, what was told before. */

const ruleName = z.enum(RULE_NAMES as [RuleName, ...RuleName[]]);
const severity = z.enum(SEVERITIES);
const LONGEST_SILENCE_MS = 30 * 24 * 3600 * 1000;

const silence = z.object({
  id: z.string(),
  /** Name of a rule, or `*` for all. */
  rule: z.string(),
  /** Only what it finds of this, like a node's name; null: everything. */
  key: z.string().nullable(),
  reason: z.string(),
  createdBy: z.string(),
  createdAtMs: timestamp,
  untilMs: timestamp,
});
export type SilenceView = z.infer<typeof silence>;

const ack = z.object({ atMs: timestamp, by: z.string(), note: z.string().nullable() });

const alert = z.object({
  id: z.string(),
  /** Texts, because an older gateway may have had other rules. */
  rule: z.string(),
  /** What it is about, like a node's name; empty where the rule is about one thing only. */
  key: z.string(),
  severity: z.string(),
  summary: z.string(),
  labels: z.record(z.string(), z.string()),
  startedAtMs: timestamp,
  firedAtMs: timestamp,
  /** Null while it fires. */
  resolvedAtMs: timestamp.nullable(),
  /** When a message about it was first taken; null: none was. */
  toldAtMs: timestamp.nullable(),
  ack: ack.nullable(),
});

const firingAlert = alert.extend({
  nextStep: z.string(),
  /** Id of the silence under which nobody is told. */
  silencedBy: z.string().nullable(),
});
export type FiringAlert = z.infer<typeof firingAlert>;

const channel = z.object({
  name: z.string(),
  type: z.enum(["webhook", "slack", "ntfy", "smtp", "alertmanager"]),
  /** Least severity that it is told. */
  severity,
  /** Null: all. */
  rules: z.array(z.string()).nullable(),
  /** Messages that wait. */
  waiting: z.int(),
  last: z.object({ atMs: timestamp, isDelivered: z.boolean(), detail: z.string() }).nullable(),
  /** Why messages do not get through now. */
  trouble: z.string().nullable(),
});
export type AlertChannelView = z.infer<typeof channel>;

const heartbeat = z.object({
  everyMs: z.int(),
  /** When the last one was taken; null: none was. */
  lastAtMs: timestamp.nullable(),
  trouble: z.string().nullable(),
});
export type HeartbeatView = z.infer<typeof heartbeat>;

/** What fires now. */
export const alertList = z.object({
  firing: z.array(firingAlert),
  /** What holds, but not yet as long as its rule asks. */
  pending: z.array(z.object({ rule: z.string(), key: z.string(), summary: z.string(), sinceMs: timestamp })),
  /** Those that are not over. */
  silences: z.array(silence),
  channels: z.array(channel),
  heartbeat: heartbeat.nullable(),
});
export type AlertList = z.infer<typeof alertList>;

/** A rule as it is set. */
const ruleView = z.object({
  name: ruleName,
  meaning: z.string(),
  nextStep: z.string(),
  enabled: z.boolean(),
  severity,
  forMs: z.int(),
  resolveAfterMs: z.int(),
  /** Milliseconds, a share of 1, or a number, as `unit` says; null where it compares nothing. */
  threshold: z.object({ unit: z.enum(["duration", "share", "count"]), value: z.number() }).nullable(),
  windowMs: z.int().nullable(),
  minRequests: z.int().nullable(),
});
export type AlertRuleView = z.infer<typeof ruleView>;
export const alertRules = z.object({ rules: z.array(ruleView) });

const delivery = z.object({
  /** Of the message; receivers of webhooks see it as `webhook-id`. */
  notificationId: z.string(),
  channel: z.string(),
  kind: z.enum(["change", "repeat"]),
  /** What the message said of the alert. */
  status: z.enum(["firing", "resolved"]),
  isDelivered: z.boolean(),
  attempts: z.int(),
  detail: z.string(),
  atMs: timestamp,
});

/** As it arrives in a query string. */
export const alertHistoryQuery = z.strictObject({
  rule: ruleName.optional(),
  /** Alerts that fired from then on. */
  sinceMs: z.coerce.number().int().nonnegative().optional(),
  /** `next` of the page before. */
  before: z.uuid().optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
});
export type AlertHistoryQuery = z.infer<typeof alertHistoryQuery>;

export const alertHistory = z.object({
  /** Newest first, each with what became of its messages. */
  alerts: z.array(alert.extend({ deliveries: z.array(delivery) })),
  next: z.string().nullable(),
});
export type AlertHistoryPage = z.infer<typeof alertHistory>;

export const testAlertsInput = z.strictObject({
  /** Null: all channels. */
  channel: z.string().min(1).max(64).nullable().default(null),
});
export type TestAlertsInput = z.infer<typeof testAlertsInput>;

export const alertTest = z.object({
  results: z.array(
    z.object({
      channel: z.string(),
      type: channel.shape.type,
      isDelivered: z.boolean(),
      detail: z.string(),
      /** What to do; null when it was delivered. */
      nextStep: z.string().nullable(),
      durationMs: z.number(),
    }),
  ),
});
export type AlertTest = z.infer<typeof alertTest>;

export const silenceInput = z.strictObject({
  rule: z.union([ruleName, z.literal("*")]),
  key: z.string().min(1).max(320).nullable().default(null),
  forMs: z.int().min(60_000).max(LONGEST_SILENCE_MS),
  reason: label,
});
export type SilenceInput = z.infer<typeof silenceInput>;

export { silence as silenceView };

export const acknowledgeInput = z.strictObject({ note: label.nullable().default(null) });
export type AcknowledgeInput = z.infer<typeof acknowledgeInput>;

export const acknowledged = z.object({ id: z.string(), ack });
export type Acknowledged = z.infer<typeof acknowledged>;
