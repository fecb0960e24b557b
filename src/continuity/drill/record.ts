import { z } from "zod";
import { FAULT_KINDS } from "./fault.ts";

/** Most of an answer that is kept for a person to judge. */
export const MAX_SAMPLE_CHARACTERS = 2_000;
/** Most entries of the lists that grow while a drill runs or is worked on. */
export const MAX_SAMPLES = 40;
export const MAX_TIMELINE = 200;
export const MAX_NOTES = 200;

export const PHASES = ["before", "during", "after"] as const;
export type Phase = (typeof PHASES)[number];

const timeMs = z.int().nonnegative();
const count = z.int().nonnegative();
const milliseconds = z.number().nonnegative().nullable();

const figures = z.object({
  requests: count.describe("Requests in scope, those that their caller gave up left out."),
  errors: count.describe("Those that ended without a good answer."),
  p50Ms: milliseconds,
  p95Ms: milliseconds,
  servedBy: z.record(z.string(), count).describe("Good answers by `node/NAME` or `provider/NAME`."),
});

const byPhase = z.object({ before: figures, during: figures, after: figures });

const point = z.object({
  blocked: count.describe("Good answers of what the drill blocks."),
  others: count,
  errors: count,
  p95Ms: milliseconds,
});

const judgement = z.object({ ok: z.boolean(), note: z.string().nullable(), by: z.string(), atMs: timeMs });

const sample = z.object({
  number: z.int().positive(),
  phase: z.enum(PHASES),
  workflow: z.string().nullable(),
  model: z.string(),
  prompt: z.string(),
  answer: z.string(),
  servedBy: z.string().nullable(),
  durationMs: z.number().nonnegative(),
  expected: z
    .boolean()
    .nullable()
    .describe("Whether it contains what the plan expects; null where the plan does not say."),
  judgement: judgement.nullable(),
});

const alertEvidence = z.object({
  rule: z.string(),
  summary: z.string(),
  severity: z.string(),
  raisedAtMs: timeMs,
  resolvedAtMs: timeMs.nullable(),
  deliveries: z.array(z.object({ channel: z.string(), atMs: timeMs, ok: z.boolean() })),
});

const proof = z.object({
  number: z.int().min(1).max(8),
  title: z.string(),
  verdict: z
    .enum(["passed", "failed", "open", "not-shown"])
    .describe("`open`: a person has to say something yet. `not-shown`: this drill could not show it."),
  words: z.array(z.string()),
});

const times = z.object({
  detectMs: milliseconds.describe("From the start of the first attempt that met the fault to its failure."),
  knownBadMs: milliseconds.describe(
    "From that start until the target was left out of plans; null where that did not happen.",
  ),
  switches: count.describe("Requests that met the fault and were answered elsewhere."),
  switchP50Ms: milliseconds.describe("From such a request's first attempt to the start of the one that answered."),
  switchP95Ms: milliseconds,
  switchMaxMs: milliseconds,
  recoveryMs: milliseconds.describe("From the end of the block to the first good answer of what was blocked."),
  relapses: count.describe("Failures of what was blocked after it had answered again."),
});

/** A drill as it is kept, shown and reported. Holds no caller's prompt and no caller's answer. */
export const drillRecord = z.object({
  id: z.string(),
  plan: z.string(),
  hypothesis: z.string().nullable(),
  owner: z.string().nullable(),
  fault: z.enum(FAULT_KINDS as [(typeof FAULT_KINDS)[number], ...typeof FAULT_KINDS]),
  block: z.enum(["gateway", "system"]),
  scope: z.object({
    providers: z.array(z.string()).nullable(),
    nodes: z.array(z.string()).nullable(),
    models: z.array(z.string()).nullable(),
    workflows: z.array(z.string()).nullable(),
    share: z.number(),
  }),
  traffic: z.enum(["synthetic", "real"]),
  startedBy: z.string().describe("`schedule`, or who asked."),
  /** `before`, `during`, `after`: it runs. */
  state: z.enum([...PHASES, "done"]),
  result: z.enum(["passed", "failed", "aborted", "refused"]).nullable(),
  reason: z.string().nullable().describe("Why it was refused or ended early."),
  startedAtMs: timeMs,
  blockedAtMs: timeMs.nullable(),
  unblockedAtMs: timeMs.nullable(),
  endedAtMs: timeMs.nullable(),
  /** The latest time at which the block may still be there, whatever happens. */
  deadlineMs: timeMs,
  rules: z.object({
    alerts: z.union([z.enum(["any", "none"]), z.array(z.string())]),
    switchWithinMs: z.number().nonnegative(),
    recoveries: count,
  }),
  checks: z.array(z.object({ ok: z.boolean(), text: z.string(), forced: z.boolean() })),
  synthetic: count.describe("Requests that the drill itself sent."),
  injected: count.describe("Attempts that met the fault."),
  figures: byPhase,
  workflows: z.array(z.object({ workflow: z.string().nullable(), figures: byPhase })),
  series: z.object({ startMs: timeMs, stepMs: z.int().positive(), points: z.array(point) }),
  times,
  leaks: count.describe("Good answers that came from what was blocked, in scope and during the block."),
  probes: z.array(z.object({ target: z.string(), ok: z.boolean(), reason: z.string().nullable() })),
  alerts: z.array(alertEvidence).nullable().describe("Null: no alerts are set up."),
  samples: z.array(sample),
  proofs: z.array(proof),
  timeline: z.array(z.object({ atMs: timeMs, text: z.string() })),
  notes: z.array(z.object({ atMs: timeMs, by: z.string(), text: z.string() })),
  actions: z.array(
    z.object({
      atMs: timeMs,
      by: z.string(),
      text: z.string(),
      owner: z.string().nullable(),
      dueOn: z.string().nullable().describe("`YYYY-MM-DD`."),
    }),
  ),
  nextAtMs: timeMs.nullable().describe("When the schedule runs it again."),
});

export type DrillRecord = z.output<typeof drillRecord>;
export type Figures = z.output<typeof figures>;
export type FiguresByPhase = z.output<typeof byPhase>;
export type SeriesPoint = z.output<typeof point>;
export type DrillTimes = z.output<typeof times>;
export type Proof = z.output<typeof proof>;
export type DrillSample = z.output<typeof sample>;
export type AlertEvidence = z.output<typeof alertEvidence>;

/** The record again, or null where the text is none. */
export function parseDrill(text: string): DrillRecord | null {
  try {
    return drillRecord.parse(JSON.parse(text));
  } catch {
    return null;
  }
}
