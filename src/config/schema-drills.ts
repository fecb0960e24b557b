import { z } from "zod";
import { FAULT_KINDS, FAULTS } from "../continuity/drill/fault.ts";
import { MAX_DURATION_MS } from "../continuity/drill/plan.ts";
import { parseCron } from "../lib/cron.ts";
import { count, duration } from "./schema-values.ts";

// `continuity.drills`: failover drills by name. The same schema reads the plans of `postern drill run --file`.

/** Most names in one list of a scope. */
const MAX_NAMES = 64;
const MAX_PROMPTS = 50;
const HOUR_MS = 3_600_000;

const glob = z
  .string()
  .min(1)
  .max(256)
  .regex(/^[^\p{Cc}\s]+$/u, { error: "must be a name or glob without spaces" });
const globs = z.array(glob).min(1).max(MAX_NAMES);
const line = z
  .string()
  .min(1)
  .max(512)
  .regex(/^[^\p{Cc}]*$/u, { error: "must be one line without control characters" });

const time = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$/, { error: 'must be a time of the day in UTC, like "04:30"' });

const prompt = z.strictObject({
  model: glob.describe("The public name that is asked."),
  prompt: z
    .string()
    .min(1)
    .max(4_000)
    .describe("What is asked. Keep it small: it is sent many times, and kept in the report with its answer."),
  workflow: glob
    .optional()
    .describe("Asked with the policy of this workflow's newest key. Left out: with one that may use the model."),
  expect: line.optional().describe("What a good answer contains. Left out: only a person can tell."),
});

const stop = z.strictObject({
  errorRatio: z.number().min(0).max(1).optional().describe("Share of requests with an error that ends the drill."),
  minRequests: count(1, 100_000).optional().describe("Not before so many requests."),
  p95: duration({ minMs: 100, min: "100ms" })
    .optional()
    .describe("Latency (p95) that ends the drill. Left out: none does."),
});

const scope = z.strictObject({
  providers: globs.optional().describe("Providers that are blocked, by name or glob."),
  nodes: globs.optional().describe("Nodes that are blocked, by name or glob."),
  models: globs.optional().describe("Only for these models, by public name or glob."),
  workflows: globs.optional().describe("Only for keys of these workflows."),
  share: z.number().gt(0).max(1).optional().describe("Only for this share of the requests, above 0 to 1."),
});

export const drill = z
  .strictObject({
    hypothesis: line.optional().describe("What should turn out to be true, in one sentence."),
    owner: line.optional().describe("Who answers for it. Without one the last proof stays open."),
    fault: z
      .enum(FAULT_KINDS as [(typeof FAULT_KINDS)[number], ...typeof FAULT_KINDS])
      .optional()
      .describe(`What goes wrong: ${FAULT_KINDS.map((kind) => `\`${kind}\` (${FAULTS[kind].text})`).join(", ")}.`),
    delay: duration({ minMs: 1, min: "1ms", maxMs: HOUR_MS, max: "1h" })
      .optional()
      .describe("How late `slow-first-token` and `slow-link` are."),
    scope: scope
      .refine((one) => one.providers !== undefined || one.nodes !== undefined, {
        error: "needs `providers` or `nodes`: a drill that blocks everything proves nothing",
      })
      .describe("What is blocked, and for whom."),
    block: z
      .enum(["gateway", "system"])
      .optional()
      .describe(
        "`gateway`: where attempts begin. `system`: the addresses of the providers, by nftables (Linux, with the right to do so).",
      ),
    before: duration({ minMs: 1_000, min: "1s", maxMs: HOUR_MS, max: "1h" })
      .optional()
      .describe("How long is measured before the block."),
    duration: duration({ minMs: 1_000, min: "1s", maxMs: MAX_DURATION_MS, max: "1h" })
      .optional()
      .describe("How long the block lasts."),
    after: duration({ minMs: 1_000, min: "1s", maxMs: HOUR_MS, max: "1h" })
      .optional()
      .describe("How long recovery is waited for, at most."),
    traffic: z
      .enum(["synthetic", "real"])
      .optional()
      .describe("`synthetic`: the prompts below as well as what callers send. `real`: only what callers send."),
    prompts: z.array(prompt).max(MAX_PROMPTS).optional().describe("What synthetic traffic asks, in turn."),
    perMinute: count(1, 600).optional().describe("Prompts a minute."),
    maxPrompts: count(1, 10_000).optional().describe("Most prompts of one drill."),
    stop: stop.optional().describe("What ends it early."),
    alerts: z
      .union([z.enum(["any", "none"]), z.array(glob).min(1).max(MAX_NAMES)])
      .optional()
      .describe("Rules whose alerts must be delivered: their names, `any`, or `none`."),
    switchWithin: duration({ minMs: 1, min: "1ms", maxMs: HOUR_MS, max: "1h" })
      .optional()
      .describe("Longest that a request may take to get to another target."),
    recoveries: count(1, 1_000).optional().describe("Good answers of what was blocked that make a recovery."),
    schedule: z
      .string()
      .refine((text) => text === "monthly" || text === "quarterly" || parseCron(text) !== null, {
        error: 'must be "monthly", "quarterly" or a cron line in UTC, like "0 4 1 * *"',
      })
      .optional()
      .describe("When it runs by itself: `monthly`, `quarterly` or a cron line in UTC. Left out: only by hand."),
    window: z
      .strictObject({
        from: time.describe("UTC."),
        to: time.describe("UTC. Before `from`: on the next day."),
        days: z
          .array(z.enum(["sun", "mon", "tue", "wed", "thu", "fri", "sat"]))
          .min(1)
          .max(7)
          .optional()
          .describe("Left out: every day."),
      })
      .optional()
      .describe("Part of the week in which it may start. `postern drill schedule --suggest` finds a quiet one."),
  })
  .refine((one) => one.traffic === "real" || (one.prompts ?? []).length > 0, {
    error: "needs `prompts`, or `traffic: real`",
    path: ["prompts"],
  });

export type RawDrill = z.output<typeof drill>;
