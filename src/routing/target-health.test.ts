import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { planTarget } from "./__fixtures__/plan-target.ts";
import { FAILURES_IN_A_ROW, OPEN_MS, WINDOW_MS } from "./circuit-breaker.ts";
import { type PlanTarget, planAttempts } from "./plan.ts";
import { DEFAULT_ROUTING } from "./strategy.ts";
import { type BreakerChange, MAX_TARGETS, TargetHealths } from "./target-health.ts";

const A = planTarget("a");
const B = planTarget("b");
const C = planTarget("c");

/** In the order of the list where health makes no difference. */
function order(health: TargetHealths, targets: readonly PlanTarget[], nowMs: number, turn = 0): PlanTarget[] {
  const rankOf = (id: string) => targets.findIndex((one) => one.id === id);
  const routing = { ...DEFAULT_ROUTING, strategy: "priority", rankOf } as const;
  const fixed = { canAsk: () => true, mayLeave: true, pinnedNode: null, prefers: null, affinityKey: () => null };
  return planAttempts({ targets, routing, health, turn, nowMs, ...fixed }).targets;
}

function breakIt(healths: TargetHealths, id: string, nowMs = 0): void {
  for (let time = 0; time < FAILURES_IN_A_ROW; time++) {
    healths.began(id, nowMs);
    healths.failed(id, "engine_unreachable", nowMs);
  }
}

describe("TargetHealths", () => {
  test("leaves a plan as it is while all are well", () => {
    expect(order(new TargetHealths(), [B, A, C], 0)).toEqual([B, A, C]);
  });

  test("puts what is broken last", () => {
    const healths = new TargetHealths();
    breakIt(healths, "a");
    expect(order(healths, [A, B, C], 1)).toEqual([B, C, A]);
    expect(healths.canTry("a", 1)).toBe(false);
    expect(healths.view("a")).toEqual({ state: "open", reason: "engine_unreachable", untilMs: OPEN_MS });
  });

  test("keeps one candidate where all are broken: the one whose time is over first", () => {
    const healths = new TargetHealths();
    breakIt(healths, "a", 5);
    breakIt(healths, "b", 1);
    breakIt(healths, "c", 3);
    expect(order(healths, [A, B, C], 6)).toEqual([B]);
  });

  test("lets one request probe in the target's own place, and keeps the others away meanwhile", () => {
    const healths = new TargetHealths();
    breakIt(healths, "a");
    expect(order(healths, [A, B], OPEN_MS, 3)).toEqual([A, B]);
    healths.began("a", OPEN_MS);
    expect(order(healths, [A, B], OPEN_MS)).toEqual([B, A]);
  });

  test("lets a target that has come back have its share only", () => {
    const healths = new TargetHealths();
    breakIt(healths, "a");
    for (let probe = 0; probe < 2; probe++) {
      healths.began("a", OPEN_MS);
      healths.succeeded("a", { firstTokenMs: null }, OPEN_MS);
    }
    const share = Array.from({ length: 100 }, (_, turn) => order(healths, [A, B], OPEN_MS, turn)[0]);
    expect(share.filter((one) => one === A)).toHaveLength(27);
    expect(order(healths, [A, B], OPEN_MS + 30_000, 3)).toEqual([A, B]);
  });

  test("makes a target that fails at once look busy, not idle", () => {
    const healths = new TargetHealths();
    healths.failed("a", "engine_failed", 0);
    expect(healths.burden("a", 0, 0)).toBeGreaterThan(healths.burden("b", 7, 0));
    expect(healths.burden("a", 0, WINDOW_MS)).toBe(0);
    // Failing every other time, never often enough in a row.
    const half = new TargetHealths();
    for (let time = 0; time < 2; time++) {
      half.failed("a", "engine_failed", 0);
      half.succeeded("a", { firstTokenMs: 1 }, 0);
    }
    expect(half.burden("a", 5, 0)).toBeGreaterThan(half.burden("b", 7, 0));
  });

  test("tells each change of a breaker once", () => {
    const changes: BreakerChange[] = [];
    const healths = new TargetHealths((change) => changes.push(change));
    breakIt(healths, "a");
    healths.began("a", OPEN_MS);
    healths.succeeded("a", { firstTokenMs: 1 }, OPEN_MS);
    healths.began("a", OPEN_MS);
    healths.succeeded("a", { firstTokenMs: 1 }, OPEN_MS);
    expect(changes.map(({ from, to, reason }) => [from, to, reason])).toEqual([
      ["closed", "open", "engine_unreachable"],
      ["open", "half-open", "engine_unreachable"],
      ["half-open", "closed", "recovered"],
    ]);
  });

  test("keeps a running mean of the first token, errors about requests left out", () => {
    const healths = new TargetHealths();
    expect(healths.latencyMs("a")).toBeNull();
    healths.succeeded("a", { firstTokenMs: 100 }, 0);
    healths.succeeded("a", { firstTokenMs: null }, 0);
    healths.succeeded("a", { firstTokenMs: 200 }, 0);
    expect(healths.latencyMs("a")).toBe(120);
  });

  test("remembers a bounded number of targets", () => {
    const healths = new TargetHealths();
    breakIt(healths, "first");
    for (let index = 0; index < MAX_TARGETS; index++) healths.succeeded(`t${index}`, { firstTokenMs: 1 }, 0);
    expect(healths.state("first")).toBe("closed");
  });

  test("never empties a plan and never invents a target, whatever has happened", () => {
    const step = fc.record({
      id: fc.constantFrom("a", "b", "c"),
      what: fc.constantFrom("began", "succeeded", "failed", "busy", "abandoned"),
      afterMs: fc.nat({ max: 40_000 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), fc.nat(), (steps, turn) => {
        const healths = new TargetHealths();
        let nowMs = 0;
        for (const { id, what, afterMs } of steps) {
          nowMs += afterMs;
          if (what === "began") healths.began(id, nowMs);
          else if (what === "succeeded") healths.succeeded(id, { firstTokenMs: 5 }, nowMs);
          else if (what === "failed") healths.failed(id, "engine_failed", nowMs);
          else if (what === "busy") healths.failed(id, "engine_refused", nowMs, 1_000);
          else healths.abandoned(id);
        }
        const planned = order(healths, [A, B, C], nowMs, turn);
        expect(planned.length).toBeGreaterThan(0);
        expect(new Set(planned).size).toBe(planned.length);
        for (const one of planned) expect([A, B, C]).toContain(one);
        for (const one of [A, B, C]) if (healths.canTry(one.id, nowMs)) expect(planned).toContain(one);
      }),
    );
  });
});
