import { z } from "zod";
import { CRON_RULE, parseCron } from "../lib/cron.ts";
import { drill } from "./schema-drills.ts";
import { configName, count, DAY_MS, duration, MAX_ENTRIES } from "./schema-values.ts";

// `continuity`: what happens when providers or nodes are away.

const HOUR_MS = 3_600_000;

const sentence = z
  .string()
  .min(1)
  .max(256)
  .regex(/^[^\p{Cc}]*$/u, { error: "must have no control characters" });

/** A time that comes again, in UTC. */
export function cronLine() {
  return z
    .string()
    .refine((text) => parseCron(text) !== null, { error: `must be ${CRON_RULE}` })
    .meta({ "x-kind": "cron line" });
}

const automatic = z.strictObject({
  failures: count(2, 10_000)
    .optional()
    .describe(
      "So many attempts at providers must have failed within `within`. The breaker of a target lets about three through.",
    ),
  within: duration({ minMs: 1000, min: "1s", maxMs: HOUR_MS, max: "1h" })
    .optional()
    .describe("The time in which they are counted."),
  share: z
    .number()
    .min(0.01)
    .max(1)
    .optional()
    .describe("So large a part of all attempts at providers must have failed, from 0.01 to 1."),
  hold: duration({ minMs: 1000, min: "1s", maxMs: DAY_MS, max: "1d" })
    .optional()
    .describe("How long providers are skipped then. Doubled each time that they still fail afterwards."),
  maxHold: duration({ minMs: 1000, min: "1s" }).optional().describe("The longest that it is doubled to."),
});

const window = z.strictObject({
  begins: cronLine().describe("When it begins, as a cron line in UTC: `0 2 * * 6` is Saturday, 2:00."),
  for: duration({ minMs: 60_000, min: "1m", maxMs: 7 * DAY_MS, max: "7d" }).describe("How long it lasts."),
  reason: sentence.describe("Why, for status, log and audit trail."),
  workflow: configName.optional().describe("Only for keys of this workflow. Left out: for everything."),
});

const contingency = z.strictObject({
  ramp: duration({ maxMs: DAY_MS, max: "1d" })
    .optional()
    .describe("How long the share of requests that may use providers grows after contingency ends. `0s`: all at once."),
  automatic: automatic
    .optional()
    .describe(
      "Skips providers by itself when they fail. Left out: only people and the schedule do. `{}`: by the defaults.",
    ),
  schedule: z.array(window).max(MAX_ENTRIES).optional().describe("Times at which providers are skipped by plan."),
});

const approvals = z.strictObject({
  wait: duration({ minMs: 1000, min: "1s", maxMs: HOUR_MS, max: "1h" })
    .optional()
    .describe("How long a request waits for an operator, from its arrival. Then it is refused."),
  requests: count(1, 10_000).optional().describe("Most requests that wait for one at one time; more are refused."),
});

export const continuity = z.strictObject({
  approvals: approvals
    .optional()
    .describe("Requests whose policy says `fallback: approval`, while the side that they prefer cannot serve."),
  contingency: contingency.optional().describe("The state in which providers are skipped."),
  drills: z.record(configName, drill).optional().describe("Failover drills, by name."),
});
