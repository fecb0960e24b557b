import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FAILURES_IN_A_ROW, OPEN_MS } from "./circuit-breaker.ts";
import { type BreakerChange, MAX_TARGETS, TargetHealths } from "./target-health.ts";

const A = { id: "a" };
const B = { id: "b" };
const C = { id: "c" };

function breakIt(healths: TargetHealths, id: string, nowMs = 0): void {
  for (let time = 0; time < FAILURES_IN_A_ROW; time++) {
    healths.began(id, nowMs);
    healths.failed(id, "engine_unreachable", nowMs);
  }
}

describe("TargetHealths", () => {
  test("leaves a plan as it is while all are well", () => {
    expect(new TargetHealths().order([B, A, C], 0, 0.99)).toEqual([B, A, C]);
  });

  test("puts what is broken last", () => {
    const healths = new TargetHealths();
    breakIt(healths, "a");
    expect(healths.order([A, B, C], 1, 0.5)).toEqual([B, C, A]);
    expect(healths.canTry("a", 1)).toBe(false);
    expect(healths.view("a")).toEqual({ state: "open", reason: "engine_unreachable", untilMs: OPEN_MS });
  });

  test("keeps one candidate where all are broken: the one whose time is over first", () => {
    const healths = new TargetHealths();
    breakIt(healths, "a", 5);
    breakIt(healths, "b", 1);
    breakIt(healths, "c", 3);
    expect(healths.order([A, B, C], 6, 0.5)).toEqual([B]);
  });

  test("lets one request probe in the target's own place, and keeps the others away meanwhile", () => {
    const healths = new TargetHealths();
    breakIt(healths, "a");
    expect(healths.order([A, B], OPEN_MS, 0.99)).toEqual([A, B]);
    healths.began("a", OPEN_MS);
    expect(healths.order([A, B], OPEN_MS, 0)).toEqual([B, A]);
  });

  test("lets a target that has come back have its share only", () => {
    const healths = new TargetHealths();
    breakIt(healths, "a");
    for (let probe = 0; probe < 2; probe++) {
      healths.began("a", OPEN_MS);
      healths.succeeded("a", { firstTokenMs: null }, OPEN_MS);
    }
    const share = Array.from({ length: 100 }, (_, turn) => healths.order([A, B], OPEN_MS, turn / 100)[0]);
    expect(share.filter((one) => one === A)).toHaveLength(25);
    expect(healths.order([A, B], OPEN_MS + 30_000, 0.999)).toEqual([A, B]);
  });

  test("makes a target that fails at once look busy, not idle", () => {
    const healths = new TargetHealths();
    healths.failed("a", "engine_failed", 0);
    expect(healths.burden("a", 0)).toBeGreaterThan(healths.burden("b", 7));
    // Failing every other time, never often enough in a row.
    const half = new TargetHealths();
    for (let time = 0; time < 4; time++) {
      half.failed("a", "engine_failed", 0);
      half.succeeded("a", { firstTokenMs: 1 }, 0);
    }
    expect(half.burden("a", 4)).toBeGreaterThan(half.burden("b", 7));
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
      fc.property(fc.array(step, { maxLength: 40 }), fc.float({ min: 0, max: 1, noNaN: true }), (steps, draw) => {
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
        const planned = healths.order([A, B, C], nowMs, draw);
        expect(planned.length).toBeGreaterThan(0);
        expect(new Set(planned).size).toBe(planned.length);
        for (const one of planned) expect([A, B, C]).toContain(one);
        for (const one of [A, B, C]) if (healths.canTry(one.id, nowMs)) expect(planned).toContain(one);
      }),
    );
  });
});
