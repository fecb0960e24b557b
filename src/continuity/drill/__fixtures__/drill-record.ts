import type { DrillPlan } from "../plan.ts";
import type { DrillRecord, Figures } from "../record.ts";

const NONE: Figures = { requests: 0, errors: 0, p50Ms: null, p95Ms: null, servedBy: {} };

/** A plan for tests: the cloud is away for a minute. */
export function drillPlan(fields: Partial<DrillPlan> = {}): DrillPlan {
  return {
    name: "cloud-away",
    hypothesis: "The machine at home answers while the cloud is away",
    owner: "Ada",
    fault: "refused",
    delayMs: 20_000,
    scope: { providers: ["*"], nodes: null, models: null, workflows: null, share: 1 },
    block: "gateway",
    beforeMs: 30_000,
    durationMs: 60_000,
    afterMs: 120_000,
    traffic: { kind: "real", perMinute: 60, max: 500, prompts: [] },
    stop: { errorRatio: 0.5, minRequests: 10, p95Ms: null },
    alerts: "any",
    switchWithinMs: 5_000,
    recoveries: 3,
    schedule: "monthly",
    window: null,
    ...fields,
  };
}

/** The record of a drill that went as it should. */
export function drillRecord(fields: Partial<DrillRecord> = {}): DrillRecord {
  const startedAtMs = Date.UTC(2026, 11, 1, 4, 0, 0);
  return {
    id: "01a0",
    plan: "cloud-away",
    hypothesis: "The machine at home answers while the cloud is away",
    owner: "Ada",
    fault: "refused",
    block: "gateway",
    scope: { providers: ["*"], nodes: null, models: null, workflows: null, share: 1 },
    traffic: "synthetic",
    startedBy: "schedule",
    state: "done",
    result: "passed",
    reason: null,
    startedAtMs,
    blockedAtMs: startedAtMs + 30_000,
    unblockedAtMs: startedAtMs + 90_000,
    endedAtMs: startedAtMs + 150_000,
    deadlineMs: startedAtMs + 90_000,
    rules: { alerts: "any", switchWithinMs: 5_000, recoveries: 3 },
    checks: [{ ok: true, text: "provider/openai is well.", forced: false }],
    synthetic: 60,
    injected: 4,
    figures: {
      before: { requests: 10, errors: 0, p50Ms: 400, p95Ms: 600, servedBy: { "provider/openai": 10 } },
      during: { requests: 20, errors: 0, p50Ms: 900, p95Ms: 1_400, servedBy: { "node/forge": 20 } },
      after: { requests: 20, errors: 0, p50Ms: 420, p95Ms: 640, servedBy: { "provider/openai": 18, "node/forge": 2 } },
    },
    workflows: [],
    series: { startMs: startedAtMs, stepMs: 30_000, points: [{ blocked: 10, others: 0, errors: 0, p95Ms: 600 }] },
    times: {
      detectMs: 3,
      knownBadMs: 2_000,
      switches: 3,
      switchP50Ms: 4,
      switchP95Ms: 9,
      switchMaxMs: 9,
      recoveryMs: 31_000,
      relapses: 0,
    },
    leaks: 0,
    probes: [{ target: "provider/openai", ok: true, reason: null }],
    alerts: [
      {
        rule: "breaker-open",
        summary: "provider/openai is left out",
        severity: "warning",
        raisedAtMs: startedAtMs + 32_000,
        resolvedAtMs: startedAtMs + 121_000,
        deliveries: [{ channel: "webhook", atMs: startedAtMs + 32_500, ok: true }],
      },
    ],
    samples: [
      {
        number: 1,
        phase: "during",
        workflow: "letters",
        model: "gpt",
        prompt: "Name a primary colour",
        answer: "Blue",
        servedBy: "node/forge",
        durationMs: 900,
        expected: true,
        judgement: { ok: true, note: null, by: "ada", atMs: startedAtMs + 200_000 },
      },
    ],
    proofs: [],
    timeline: [{ atMs: startedAtMs, text: "started" }],
    notes: [],
    actions: [],
    nextAtMs: startedAtMs + 31 * 86_400_000,
    ...fields,
  };
}

export { NONE as NO_FIGURES };
