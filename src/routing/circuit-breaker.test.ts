import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  CircuitBreaker,
  FAILURES_IN_A_ROW,
  LEAST_SHARE,
  LONGEST_OPEN_MS,
  OPEN_MS,
  RAMP_MS,
  SUCCESSES_TO_CLOSE,
} from "./circuit-breaker.ts";

function fail(breaker: CircuitBreaker, nowMs: number, times = 1): void {
  for (let time = 0; time < times; time++) {
    breaker.began(nowMs);
    breaker.failed("engine_failed", nowMs, null);
  }
}

function opened(): CircuitBreaker {
  const breaker = new CircuitBreaker();
  fail(breaker, 0, FAILURES_IN_A_ROW);
  return breaker;
}

describe("CircuitBreaker", () => {
  test("opens after failures in a row, and not before", () => {
    const breaker = new CircuitBreaker();
    fail(breaker, 0, FAILURES_IN_A_ROW - 1);
    expect(breaker.state).toBe("closed");
    for (let success = 0; success < 5; success++) breaker.succeeded(1);
    fail(breaker, 2, FAILURES_IN_A_ROW - 1);
    expect(breaker.state).toBe("closed");
    fail(breaker, 3);
    expect(breaker).toMatchObject({ state: "open", reason: "engine_failed", untilMs: 3 + OPEN_MS });
  });

  test("opens when half of at least five attempts in a minute failed, and forgets what is older", () => {
    const breaker = new CircuitBreaker();
    for (const ok of [false, true, false, true]) ok ? breaker.succeeded(0) : fail(breaker, 0);
    expect(breaker.state).toBe("closed");
    fail(breaker, 30_000);
    expect(breaker.state).toBe("open");
    const slow = new CircuitBreaker();
    for (const ok of [false, true, false, true]) ok ? slow.succeeded(0) : fail(slow, 0);
    fail(slow, 70_000);
    expect(slow.state).toBe("closed");
  });

  test("lets one probe through when its time is over, and closes after two that succeed", () => {
    const breaker = opened();
    expect(breaker.canTry(OPEN_MS - 1)).toBe(false);
    expect(breaker.canTry(OPEN_MS)).toBe(true);
    breaker.began(OPEN_MS);
    expect(breaker.state).toBe("half-open");
    expect(breaker.canTry(OPEN_MS)).toBe(false);
    for (let success = 1; success <= SUCCESSES_TO_CLOSE; success++) {
      expect(breaker.state).toBe("half-open");
      breaker.succeeded(OPEN_MS + success);
      expect(breaker.canTry(OPEN_MS + success)).toBe(true);
    }
    expect(breaker).toMatchObject({ state: "closed", reason: "recovered" });
  });

  test("gives the probe's place back when its caller leaves", () => {
    const breaker = opened();
    breaker.began(OPEN_MS);
    breaker.abandoned();
    expect(breaker.canTry(OPEN_MS)).toBe(true);
  });

  test("stays open twice as long after each probe that fails from the second on, up to five minutes", () => {
    const breaker = opened();
    const lengths: number[] = [];
    for (let probe = 0; probe < 7; probe++) {
      const nowMs = breaker.untilMs;
      fail(breaker, nowMs);
      lengths.push(breaker.untilMs - nowMs);
    }
    expect(lengths).toEqual([30_000, 60_000, 120_000, 240_000, 300_000, 300_000, 300_000]);
    expect(lengths.at(-1)).toBe(LONGEST_OPEN_MS);
  });

  test("gets its traffic back little by little", () => {
    const breaker = opened();
    breaker.began(OPEN_MS);
    breaker.succeeded(OPEN_MS);
    breaker.began(OPEN_MS);
    breaker.succeeded(OPEN_MS);
    expect(breaker.share(OPEN_MS)).toBe(LEAST_SHARE);
    expect(breaker.share(OPEN_MS + RAMP_MS / 2)).toBeCloseTo((1 + LEAST_SHARE) / 2);
    expect(breaker.share(OPEN_MS + RAMP_MS)).toBe(1);
  });

  test("gives a busy target the pause that it asks for, and does not count it as broken", () => {
    const breaker = new CircuitBreaker();
    for (let time = 0; time < 10; time++) breaker.failed("engine_refused", 0, 2_000);
    expect(breaker).toMatchObject({ state: "open", reason: "throttled", failuresInARow: 0, untilMs: 2_000 });
    expect(breaker.canTry(1_999)).toBe(false);
    breaker.began(2_000);
    expect(breaker).toMatchObject({ state: "closed", reason: "recovered" });
    expect(breaker.share(2_000)).toBe(1);
  });

  test("believes no pause that is longer than five minutes", () => {
    const breaker = new CircuitBreaker();
    breaker.failed("engine_refused", 0, 86_400_000);
    expect(breaker.untilMs).toBe(300_000);
  });

  test("is not opened again by attempts that began before it opened", () => {
    const breaker = opened();
    breaker.failed("link_lost", OPEN_MS - 1, null);
    expect(breaker).toMatchObject({ reason: "engine_failed", untilMs: OPEN_MS });
  });

  test("whatever happens, is open for five minutes at most, and then lets an attempt through", () => {
    const event = fc.record({
      what: fc.constantFrom("began", "succeeded", "failed", "throttled", "abandoned"),
      afterMs: fc.nat({ max: 400_000 }),
    });
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), (events) => {
        const breaker = new CircuitBreaker();
        let nowMs = 0;
        for (const { what, afterMs } of events) {
          nowMs += afterMs;
          if (what === "began") breaker.began(nowMs);
          else if (what === "succeeded") breaker.succeeded(nowMs);
          else if (what === "failed") breaker.failed("engine_failed", nowMs, null);
          else if (what === "throttled") breaker.failed("engine_refused", nowMs, 1_000);
          else breaker.abandoned();
          const share = breaker.share(nowMs);
          expect(share).toBeGreaterThanOrEqual(0);
          expect(share).toBeLessThanOrEqual(1);
          if (breaker.state === "open") expect(breaker.untilMs - nowMs).toBeLessThanOrEqual(LONGEST_OPEN_MS);
        }
        breaker.abandoned();
        expect(breaker.canTry(nowMs + LONGEST_OPEN_MS)).toBe(true);
      }),
    );
  });

  test("of a target that is well again, closes whatever came before", () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 50 }), (answers) => {
        const breaker = new CircuitBreaker();
        let nowMs = 0;
        for (const isOk of answers) {
          nowMs += 5_000;
          if (!breaker.canTry(nowMs)) continue;
          breaker.began(nowMs);
          if (isOk) breaker.succeeded(nowMs);
          else breaker.failed("engine_failed", nowMs, null);
        }
        nowMs = Math.max(nowMs, breaker.untilMs);
        for (let probe = 0; probe < SUCCESSES_TO_CLOSE; probe++) {
          breaker.began(nowMs);
          breaker.succeeded(nowMs);
        }
        expect(breaker.state).toBe("closed");
        expect(breaker.share(nowMs + RAMP_MS)).toBe(1);
      }),
    );
  });
});
