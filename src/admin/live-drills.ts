import type { DrillPlan } from "../continuity/drill/plan.ts";
import type { DrillRecord } from "../continuity/drill/record.ts";
import type { PlanState } from "../continuity/drill/schedule.ts";
import type { DrillRow } from "../storage/store.ts";

/** How a drill is started. */
export interface DrillStartOptions {
  startedBy: string;
  /** Preconditions that may be forced do not count. */
  isForced: boolean;
  /** Writes it down before it begins, with an entry in the audit trail. */
  write(row: DrillRow): Promise<void>;
}

export interface DrillNote {
  by: string;
  text: string;
  /** What is to be done about it; null: it is a note only. */
  action: { owner: string | null; dueOn: string | null } | null;
}

/** The drills of a running gateway, as the admin routes see them. */
export interface LiveDrills {
  /** The one that runs, as it is now, or null. */
  readonly running: DrillRecord | null;
  /** Rejects with `drill_refused`, and every reason. */
  start(plan: DrillPlan, options: DrillStartOptions): Promise<DrillRecord>;
  /** Lifts the block before it returns. Null where no drill of that id runs. */
  abort(id: string, reason: string): Promise<DrillRecord> | null;
  /** False where no drill of that id runs. */
  note(id: string, note: DrillNote): boolean;
  states(): PlanState[];
}
