import { z } from "zod";
import { drill } from "../config/schema-drills.ts";
import { duration } from "../config/schema-values.ts";
import { FAULT_KINDS } from "../continuity/drill/fault.ts";
import { MAX_DURATION_MS } from "../continuity/drill/plan.ts";
import { drillRecord } from "../continuity/drill/record.ts";
import { configName, timestamp } from "./contract.ts";

/** The part of the contract about failover drills. */

const text = z
  .string()
  .min(1)
  .max(2_000)
  .regex(/^[^\p{Cc}]*$/u, "no control characters");

export const startDrillInput = z
  .strictObject({
    /** Name of a plan of the configuration, or of the one given in `inline`. */
    plan: configName,
    /** A plan as it would stand under `continuity.drills`. */
    inline: drill.optional(),
    /** Instead of the plan's own. */
    duration: duration({ minMs: 1_000, min: "1s", maxMs: MAX_DURATION_MS, max: "1h" }).optional(),
    fault: z.enum(FAULT_KINDS as [(typeof FAULT_KINDS)[number], ...typeof FAULT_KINDS]).optional(),
    /** Preconditions that an operator may set aside do not count. */
    force: z.boolean().default(false),
  })
  .describe("Durations are text like `15m`.");
export type StartDrillInput = z.output<typeof startDrillInput>;

export const drillQuery = z.strictObject({
  plan: configName.optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
});
export type DrillQuery = z.output<typeof drillQuery>;

export const drillSummary = drillRecord.pick({
  id: true,
  plan: true,
  state: true,
  result: true,
  reason: true,
  startedBy: true,
  startedAtMs: true,
  endedAtMs: true,
});
export type DrillSummary = z.output<typeof drillSummary>;

export const drillList = z.object({ drills: z.array(drillSummary) });

export const drillPlanView = z.object({
  name: z.string(),
  fault: z.string(),
  owner: z.string().nullable(),
  durationMs: z.number(),
  schedule: z.string().nullable(),
  nextAtMs: timestamp.nullable(),
  last: drillRecord.pick({ id: true, startedAtMs: true, result: true }).nullable(),
  /** When it should have run and did not. */
  overdueSinceMs: timestamp.nullable(),
});
export type DrillPlanView = z.output<typeof drillPlanView>;

export const drillPlanList = z.object({ plans: z.array(drillPlanView) });

export const drillWindowQuery = z.strictObject({ hours: z.coerce.number().int().min(1).max(12).default(1) });

export const drillWindows = z.object({
  /** How far back usage was looked at. */
  days: z.int(),
  requests: z.int(),
  /** Quietest first. Times are UTC; day 0 is Sunday. */
  windows: z.array(
    z.object({ day: z.int().min(0).max(6), fromHour: z.int().min(0).max(23), hours: z.int(), requests: z.int() }),
  ),
});
export type DrillWindows = z.output<typeof drillWindows>;

export const drillReportQuery = z.strictObject({ format: z.enum(["markdown", "html"]).default("markdown") });
export const drillReport = z.object({ format: z.enum(["markdown", "html"]), text: z.string() });
export type DrillReport = z.output<typeof drillReport>;

export const judgeSampleInput = z.strictObject({
  sample: z.int().positive(),
  ok: z.boolean(),
  note: text.nullable().default(null),
});
export type JudgeSampleInput = z.output<typeof judgeSampleInput>;

export const noteDrillInput = z.strictObject({
  text,
  /** What is to be done about it; null: it is a note only. */
  action: z
    .strictObject({
      owner: text.nullable().default(null),
      dueOn: z.iso.date().nullable().default(null),
    })
    .nullable()
    .default(null),
});
export type NoteDrillInput = z.output<typeof noteDrillInput>;
