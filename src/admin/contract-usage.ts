import { z } from "zod";
import { timestamp } from "./contract.ts";

const usageGroup = z.enum(["key", "model", "node", "endpoint", "day"]);
export type UsageGroup = z.infer<typeof usageGroup>;

/** As it arrives in a query string. */
export const usageQuery = z.strictObject({
  by: usageGroup.default("model"),
  sinceMs: z.coerce.number().int().nonnegative().optional(),
  untilMs: z.coerce.number().int().nonnegative().optional(),
});

const usageRow = z.object({
  /** Key id, model, node id, endpoint or `YYYY-MM-DD`. */
  group: z.string(),
  /** What to show for it: the key's or node's name where it still has one. */
  label: z.string(),
  requests: z.int(),
  failed: z.int(),
  aborted: z.int(),
  tokensIn: z.int(),
  tokensInCached: z.int(),
  tokensOut: z.int(),
  /** Tokens of thinking, a part of `tokensOut`, where the engine tells them apart. */
  tokensReasoning: z.int(),
  estimated: z.int(),
  timeToFirstTokenMs: z.number().nullable(),
  tokensPerSecond: z.number().nullable(),
  costMicros: z.int(),
});

const usageTotal = usageRow.omit({ group: true, label: true, timeToFirstTokenMs: true, tokensPerSecond: true });
export type UsageTotal = z.infer<typeof usageTotal>;

export const usageReport = z.object({
  by: usageGroup,
  sinceMs: timestamp,
  untilMs: timestamp,
  rows: z.array(usageRow),
  total: usageTotal,
});
export type UsageReport = z.infer<typeof usageReport>;

const attemptView = z.object({
  id: z.string(),
  index: z.int(),
  target: z.string(),
  nodeId: z.string().nullable(),
  engine: z.string(),
  engineModel: z.string(),
  startedAtMs: timestamp,
  endedAtMs: timestamp,
  status: z.int(),
  errorCode: z.string().nullable(),
  bytesOut: z.int(),
});

export const requestView = z.object({
  id: z.string(),
  endpointId: z.string(),
  keyId: z.string(),
  operation: z.string(),
  model: z.string(),
  /** Label of the key's policy at that time. */
  workflow: z.string().nullable(),
  isStream: z.boolean(),
  openedAtMs: timestamp,
  requestBytes: z.int(),
  closedAtMs: timestamp,
  outcome: z.enum(["ok", "aborted", "failed", "stopped", "interrupted"]),
  status: z.int(),
  errorCode: z.string().nullable(),
  tokensIn: z.int(),
  tokensInCached: z.int(),
  tokensOut: z.int(),
  tokensReasoning: z.int().nullable(),
  isEstimated: z.boolean(),
  timeToFirstTokenMs: z.number().nullable(),
  durationMs: z.number(),
  costMicros: z.int(),
  /** What had put it under contingency: `command`, `automatic`, `schedule`; null: nothing. */
  contingency: z.string().nullable(),
  /** Why it was not served where it otherwise would be; null: it was. */
  fallback: z.string().nullable(),
  /** `node/NAME` or `provider/NAME` of the last attempt; null where nothing was tried. */
  servedBy: z.string().nullable(),
  attempts: z.array(attemptView),
});
export type RequestView = z.infer<typeof requestView>;
