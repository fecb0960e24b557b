import type { Check } from "../../continuity/drill/checks.ts";
import type { DrillPlan } from "../../continuity/drill/plan.ts";
import type { DrillRecord, Figures } from "../../continuity/drill/record.ts";
import type { DrillRow } from "../../storage/store.ts";

/** How a drill is begun. */
export interface DrillStart {
  id: string;
  /** `schedule`, or who asked. */
  startedBy: string;
  checks: readonly Check[];
  isForced: boolean;
}

/** The record of a drill that begins now. */
export function newRecord(plan: DrillPlan, { id, startedBy, checks }: DrillStart, nowMs: number): DrillRecord {
  const nothing = (): Figures => ({ requests: 0, errors: 0, p50Ms: null, p95Ms: null, servedBy: {} });
  const list = (names: readonly string[] | null): string[] | null => (names === null ? null : [...names]);
  const { scope, traffic } = plan;
  return {
    id,
    plan: plan.name,
    hypothesis: plan.hypothesis,
    owner: plan.owner,
    fault: plan.fault,
    block: plan.block,
    scope: {
      providers: list(scope.providers),
      nodes: list(scope.nodes),
      models: list(scope.models),
      workflows: list(scope.workflows),
      share: scope.share,
    },
    traffic: traffic.kind,
    startedBy,
    state: "before",
    result: null,
    reason: null,
    startedAtMs: nowMs,
    blockedAtMs: null,
    unblockedAtMs: null,
    endedAtMs: null,
    deadlineMs: nowMs + plan.beforeMs + plan.durationMs,
    rules: {
      alerts: typeof plan.alerts === "string" ? plan.alerts : [...plan.alerts],
      switchWithinMs: plan.switchWithinMs,
      recoveries: plan.recoveries,
    },
    checks: checks.map(({ ok, text }) => ({ ok, text, forced: !ok })),
    synthetic: 0,
    injected: 0,
    figures: { before: nothing(), during: nothing(), after: nothing() },
    workflows: [],
    series: { startMs: nowMs, stepMs: 1_000, points: [] },
    times: {
      detectMs: null,
      knownBadMs: null,
      switches: 0,
      switchP50Ms: null,
      switchP95Ms: null,
      switchMaxMs: null,
      recoveryMs: null,
      relapses: 0,
    },
    leaks: 0,
    probes: [],
    alerts: null,
    samples: [],
    proofs: [],
    timeline: [],
    notes: [],
    actions: [],
    nextAtMs: null,
  };
}

/** What a drill is in the store. */
export function toRow(record: DrillRecord): DrillRow {
  const { id, plan, startedAtMs, endedAtMs } = record;
  return { id, plan, startedAtMs, endedAtMs, body: JSON.stringify(record) };
}
