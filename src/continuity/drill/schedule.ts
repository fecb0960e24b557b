import { nextCronTime, parseCron } from "../../lib/cron.ts";
import type { DrillPlan } from "./plan.ts";
import type { DrillRecord } from "./record.ts";

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;
/** When a day's drill begins where the plan has no window: 4:00 UTC. */
const DEFAULT_FROM_MINUTES = 4 * 60;
/** How long after its time a drill is overdue. */
export const OVERDUE_AFTER_MS = DAY_MS;
/** Months that are looked at for a next time. */
const HORIZON_MONTHS = 24;

type Scheduled = Pick<DrillPlan, "schedule" | "window">;

/**
 * When a plan runs next, in UTC: `monthly` and `quarterly` on the first day of the month or quarter that its window allows, when the
 * window opens; a cron line as it says.
 *
 * @returns null where it runs only by hand.
 */
export function nextDrill({ schedule, window }: Scheduled, afterMs: number): number | null {
  if (schedule === null) return null;
  if (schedule !== "monthly" && schedule !== "quarterly") {
    const times = parseCron(schedule);
    return times === null ? null : nextCronTime(times, afterMs);
  }
  const from = (window?.from ?? DEFAULT_FROM_MINUTES) * MINUTE_MS;
  const start = new Date(afterMs);
  for (let ahead = 0; ahead <= HORIZON_MONTHS; ahead++) {
    const firstMs = Date.UTC(start.getUTCFullYear(), start.getUTCMonth() + ahead, 1);
    if (schedule === "quarterly" && new Date(firstMs).getUTCMonth() % 3 !== 0) continue;
    for (let day = 0; day < 7; day++) {
      const dayMs = firstMs + day * DAY_MS;
      if (window !== null && window.days !== null && !window.days.includes(new Date(dayMs).getUTCDay())) continue;
      if (dayMs + from > afterMs) return dayMs + from;
      break;
    }
  }
  return null;
}

/** When the plan should have run, if that is more than a day ago and it has not; null otherwise. @param lastMs Its last whole run, or when it was first seen. */
export function overdueSince(plan: Scheduled, lastMs: number, nowMs: number): number | null {
  const dueMs = nextDrill(plan, lastMs);
  return dueMs !== null && dueMs + OVERDUE_AFTER_MS <= nowMs ? dueMs : null;
}

/** A plan with what its schedule comes to. */
export interface PlanState {
  plan: DrillPlan;
  nextAtMs: number | null;
  last: PastDrill | null;
  /** When it should have run and did not; null where it is in time. */
  overdueSinceMs: number | null;
}

/** As much of a drill of before as its plan's state needs. */
export type PastDrill = Pick<DrillRecord, "id" | "startedAtMs" | "result">;

/** What a plan's schedule comes to. @param past Its drills, newest first. @param firstSeenMs Before its first whole run it is overdue from then on. */
export function planState(plan: DrillPlan, past: readonly PastDrill[], firstSeenMs: number, nowMs: number): PlanState {
  // One that was refused or ended early has shown nothing.
  const whole = past.find(({ result }) => result === "passed" || result === "failed");
  return {
    plan,
    nextAtMs: nextDrill(plan, nowMs),
    last: past[0] ?? null,
    overdueSinceMs: overdueSince(plan, whole?.startedAtMs ?? firstSeenMs, nowMs),
  };
}
