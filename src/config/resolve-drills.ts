import type { DrillPlan } from "../continuity/drill/plan.ts";
import type { RawDrill } from "./schema-drills.ts";

const MINUTE_MS = 60_000;
const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] as const;

/** What a plan that says nothing more comes to. */
export const DEFAULT_DRILL = {
  fault: "refused",
  delayMs: 20_000,
  share: 1,
  block: "gateway",
  beforeMs: 2 * MINUTE_MS,
  durationMs: 15 * MINUTE_MS,
  afterMs: 15 * MINUTE_MS,
  traffic: "synthetic",
  perMinute: 12,
  maxPrompts: 500,
  errorRatio: 0.5,
  minRequests: 10,
  alerts: "any",
  switchWithinMs: 10_000,
  recoveries: 3,
} as const satisfies Partial<Record<string, unknown>>;

/** A plan with its defaults. */
export function resolveDrill(name: string, raw: RawDrill): DrillPlan {
  const { scope, stop = {}, window } = raw;
  return {
    name,
    hypothesis: raw.hypothesis ?? null,
    owner: raw.owner ?? null,
    fault: raw.fault ?? DEFAULT_DRILL.fault,
    delayMs: raw.delay ?? DEFAULT_DRILL.delayMs,
    scope: {
      // What is not named is not blocked.
      providers: scope.providers ?? [],
      nodes: scope.nodes ?? [],
      models: scope.models ?? null,
      workflows: scope.workflows ?? null,
      share: scope.share ?? DEFAULT_DRILL.share,
    },
    block: raw.block ?? DEFAULT_DRILL.block,
    beforeMs: raw.before ?? DEFAULT_DRILL.beforeMs,
    durationMs: raw.duration ?? DEFAULT_DRILL.durationMs,
    afterMs: raw.after ?? DEFAULT_DRILL.afterMs,
    traffic: {
      kind: raw.traffic ?? DEFAULT_DRILL.traffic,
      perMinute: raw.perMinute ?? DEFAULT_DRILL.perMinute,
      max: raw.maxPrompts ?? DEFAULT_DRILL.maxPrompts,
      prompts: (raw.prompts ?? []).map((one) => ({
        model: one.model,
        text: one.prompt,
        workflow: one.workflow ?? null,
        expect: one.expect ?? null,
      })),
    },
    stop: {
      errorRatio: stop.errorRatio ?? DEFAULT_DRILL.errorRatio,
      minRequests: stop.minRequests ?? DEFAULT_DRILL.minRequests,
      p95Ms: stop.p95 ?? null,
    },
    alerts: raw.alerts ?? DEFAULT_DRILL.alerts,
    switchWithinMs: raw.switchWithin ?? DEFAULT_DRILL.switchWithinMs,
    recoveries: raw.recoveries ?? DEFAULT_DRILL.recoveries,
    schedule: raw.schedule ?? null,
    window:
      window === undefined
        ? null
        : {
            from: minutesOf(window.from),
            to: minutesOf(window.to),
            days: window.days === undefined ? null : window.days.map((day) => DAYS.indexOf(day)),
          },
  };
}

function minutesOf(time: string): number {
  const [hours = "0", minutes = "0"] = time.split(":");
  return Number(hours) * 60 + Number(minutes);
}
