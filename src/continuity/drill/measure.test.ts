import { describe, expect, it } from "vitest";
import { drillPlan } from "./__fixtures__/drill-record.ts";
import { DrillMeasure, type DrillRequest } from "./measure.ts";

const CLOUD = "provider/openai";
const HOME = "node/forge";

function started(fields: Parameters<typeof drillPlan>[0] = {}) {
  const measure = new DrillMeasure(drillPlan(fields), 0);
  let number = 0;
  const ask = (
    openedAtMs: number,
    targets: ReadonlyArray<readonly [string, boolean]>,
    more: Partial<DrillRequest> = {},
  ) => {
    number += 1;
    measure.request({
      id: `request-${number}`,
      model: "gpt",
      workflow: "letters",
      openedAtMs,
      durationMs: 100,
      outcome: targets.at(-1)?.[1] === true ? "ok" : "error",
      attempts: targets.map(([target, ok], at) => ({
        target,
        ok,
        startedAtMs: openedAtMs + at * 10,
        endedAtMs: openedAtMs + at * 10 + 10,
      })),
      ...more,
    });
  };
  return { measure, ask };
}

describe("DrillMeasure", () => {
  it("measures detection, switch and recovery from the attempts of requests", () => {
    const { measure, ask } = started();
    ask(1_000, [[CLOUD, true]]);
    measure.blocked(30_000);
    ask(31_000, [
      [CLOUD, false],
      [HOME, true],
    ]);
    measure.opened(CLOUD, 33_000);
    ask(40_000, [[HOME, true]]);
    measure.unblocked(90_000);
    ask(91_000, [[HOME, true]]);
    ask(100_000, [[CLOUD, true]]);
    expect(measure.times()).toEqual({
      detectMs: 10,
      knownBadMs: 2_000,
      switches: 1,
      switchP50Ms: 10,
      switchP95Ms: 10,
      switchMaxMs: 10,
      recoveryMs: 10_010,
      relapses: 0,
    });
    const { before, during, after } = measure.figures();
    expect([before.requests, during.requests, after.requests]).toEqual([1, 2, 2]);
    expect(during.servedBy).toEqual({ [HOME]: 2 });
    expect(measure.leaks).toBe(0);
    expect(measure.recoveries).toBe(1);
  });

  it("counts a good answer of what is blocked as a leak, but for requests outside the share and those of before", () => {
    const { measure, ask } = started();
    measure.blocked(30_000);
    ask(29_999, [[CLOUD, true]]);
    expect(measure.leaks).toBe(0);
    ask(30_001, [[CLOUD, true]]);
    expect(measure.leaks).toBe(1);
    // It waited until the block was over.
    measure.unblocked(90_000);
    ask(89_999, [[CLOUD, true]], { attempts: [{ target: CLOUD, ok: true, startedAtMs: 90_000, endedAtMs: 90_100 }] });
    expect(measure.leaks).toBe(1);
    const few = started({ scope: { ...drillPlan().scope, share: 0.000001 } });
    few.measure.blocked(30_000);
    few.ask(31_000, [[CLOUD, true]]);
    expect(few.measure.leaks).toBe(0);
  });

  it("counts a failure after the recovery as a relapse, and none before it", () => {
    const { measure, ask } = started();
    measure.blocked(30_000);
    measure.unblocked(90_000);
    ask(91_000, [
      [CLOUD, false],
      [HOME, true],
    ]);
    expect(measure.times().relapses).toBe(0);
    ask(92_000, [[CLOUD, true]]);
    ask(93_000, [
      [CLOUD, false],
      [HOME, true],
    ]);
    expect(measure.times().relapses).toBe(1);
  });

  it("leaves out what is not in scope, what callers did wrong and what they gave up", () => {
    const { measure, ask } = started({ scope: { ...drillPlan().scope, workflows: ["letters"] } });
    measure.blocked(0);
    ask(1, [[HOME, true]], { workflow: "other" });
    ask(2, [[HOME, true]], { outcome: "mistake" });
    ask(3, [[HOME, true]], { outcome: "left" });
    expect(measure.figures().during.requests).toBe(0);
    ask(4, [], { model: null });
    expect(measure.figures().during).toMatchObject({ requests: 1, errors: 1 });
  });

  it("says when to stop: too many errors, or too slow, and not from a handful of requests", () => {
    const { measure, ask } = started({ stop: { errorRatio: 0.2, minRequests: 5, p95Ms: 1_000 } });
    measure.blocked(0);
    for (let at = 0; at < 4; at++) ask(at, [[CLOUD, false]]);
    expect(measure.stopReason()).toBeNull();
    ask(5, [[CLOUD, false]]);
    expect(measure.stopReason()).toContain("5 of 5");
    const slow = started({ stop: { errorRatio: 0.2, minRequests: 1, p95Ms: 1_000 } });
    slow.measure.blocked(0);
    slow.ask(1, [[HOME, true]], { durationMs: 2_000 });
    expect(slow.measure.stopReason()).toContain("p95");
  });

  it("does not grow with what it measures", () => {
    const { measure, ask } = started();
    measure.blocked(0);
    for (let at = 0; at < 5_000; at++) ask(at, [[HOME, true]], { workflow: `w${at}`, durationMs: at % 900 });
    expect(measure.workflows().length).toBeLessThanOrEqual(100);
    ask(10 ** 12, [[HOME, true]]);
    expect(measure.series().points.length).toBeLessThanOrEqual(241);
    expect(measure.figures().during.requests).toBe(5_001);
  });
});
