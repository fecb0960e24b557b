import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ERRORS } from "../errors.ts";
import type { FailureKind, FailurePhase } from "../lib/exchange.ts";
import { type AttemptFailure, classifyAnswer, classifyFailure } from "./classify-failure.ts";
import { BURST_MS, MAX_BURST, MAX_REPEATS, planRetry, type RetryFacts } from "./retry.ts";

const LOST = classifyFailure({ kind: "reset", phase: "request" });
const SILENT = classifyFailure({ kind: "timeout", phase: "request" });
const FACTS: RetryFacts = {
  maxAttempts: 6,
  hasContent: false,
  attempts: 1,
  attemptsHere: 1,
  elapsedMs: 0,
  remainingMs: 60_000,
  pauseMs: null,
  next: "alike",
  draw: 0,
};

describe("planRetry()", () => {
  test("goes to a target like the one that failed, at once", () => {
    expect(planRetry(LOST, FACTS)).toEqual({ to: "next", waitMs: 0 });
    expect(planRetry(SILENT, FACTS)).toEqual({ to: "next", waitMs: 0 });
  });

  test("tries the same target once more before it goes to another model, somewhere else or nowhere", () => {
    expect(planRetry(LOST, { ...FACTS, next: "other" })).toEqual({ to: "same", waitMs: 200 });
    expect(planRetry(LOST, { ...FACTS, next: "none", draw: 1 })).toEqual({ to: "same", waitMs: 100 });
    expect(planRetry(LOST, { ...FACTS, next: "other", attempts: 2, attemptsHere: 2 })).toEqual({
      to: "next",
      waitMs: 0,
    });
    expect(planRetry(LOST, { ...FACTS, next: "none", attempts: 2, attemptsHere: 2 })).toBeNull();
  });

  test.each<AttemptFailure>([
    SILENT,
    classifyAnswer(401),
    classifyFailure({ kind: "protocol", phase: "body" }),
    classifyFailure({ kind: "denied", phase: "request" }),
    classifyFailure({ kind: "unreachable", phase: "connect" }),
  ])("does not try a target twice after $code", (failure) => {
    expect(planRetry(failure, { ...FACTS, next: "none" })).toBeNull();
    expect(planRetry(failure, { ...FACTS, next: "other" })).toEqual({ to: "next", waitMs: 0 });
  });

  test("waits for a busy target only where nobody else is left, at most three times, and not for long", () => {
    const busy = { ...FACTS, pauseMs: 2_000 };
    const failure = classifyAnswer(429);
    expect(planRetry(failure, { ...busy, next: "other" })).toEqual({ to: "next", waitMs: 0 });
    expect(planRetry(failure, { ...busy, next: "none" })).toEqual({ to: "same", waitMs: 2_200 });
    expect(planRetry(failure, { ...busy, next: "none", attempts: 2, attemptsHere: 2 })?.waitMs).toBe(2_400);
    expect(planRetry(failure, { ...busy, next: "none", attempts: 3, attemptsHere: 3 })).toBeNull();
    expect(planRetry(failure, { ...busy, next: "none", pauseMs: 6_000 })).toBeNull();
    expect(planRetry(failure, { ...busy, next: "none", remainingMs: 2_100 })).toBeNull();
  });

  test("refuses once content reached the caller", () => {
    expect(planRetry(LOST, { ...FACTS, hasContent: true })).toBeNull();
  });

  test("makes four attempts within three seconds, six in all, and none when the time is over", () => {
    expect(planRetry(LOST, { ...FACTS, attempts: MAX_BURST - 1 })?.waitMs).toBe(0);
    expect(planRetry(LOST, { ...FACTS, attempts: MAX_BURST, elapsedMs: 500 })?.waitMs).toBe(BURST_MS - 500);
    expect(planRetry(LOST, { ...FACTS, attempts: MAX_BURST, elapsedMs: BURST_MS })?.waitMs).toBe(0);
    expect(planRetry(LOST, { ...FACTS, attempts: 6, elapsedMs: BURST_MS })).toBeNull();
    expect(planRetry(LOST, { ...FACTS, remainingMs: 0 })).toBeNull();
  });

  test.each([400, 404, 409, 413, 415, 422, 501])(
    "refuses after %d, which another target would answer too",
    (status) => {
      expect(planRetry(classifyAnswer(status), FACTS)).toBeNull();
    },
  );

  // 401 and 403 of an engine are about the agent's key, not about the caller's request.
  test.each([401, 403, 408, 429, 500, 502, 503, 504, 529])("goes on after %d", (status) => {
    expect(planRetry(classifyAnswer(status), FACTS)).not.toBeNull();
  });

  test("never exceeds its bounds, whatever the facts", () => {
    const facts = fc.record<RetryFacts>({
      maxAttempts: fc.integer({ min: 1, max: 6 }),
      hasContent: fc.boolean(),
      attempts: fc.integer({ min: 1, max: 9 }),
      attemptsHere: fc.integer({ min: 1, max: 9 }),
      elapsedMs: fc.nat({ max: 10_000 }),
      remainingMs: fc.integer({ min: -1, max: 10_000 }),
      pauseMs: fc.option(fc.nat({ max: 400_000 })),
      next: fc.constantFrom("none", "alike", "other"),
      draw: fc.double({ min: 0, max: 1, noNaN: true }),
    });
    fc.assert(
      fc.property(fc.constantFrom(400, 401, 429, 500, 503, 504), facts, (status, given) => {
        const retry = planRetry(classifyAnswer(status), given);
        if (retry === null) return;
        expect(given.hasContent).toBe(false);
        expect(given.attempts).toBeLessThan(given.maxAttempts);
        expect(retry.waitMs).toBeLessThan(given.remainingMs);
        if (given.attempts >= MAX_BURST) expect(given.elapsedMs + retry.waitMs).toBeGreaterThanOrEqual(BURST_MS);
        if (retry.to === "next") expect(given.next).not.toBe("none");
        else expect(given.attemptsHere).toBeLessThan(MAX_REPEATS.busy);
      }),
    );
  });
});

test.each<[FailureKind, FailurePhase, string]>([
  ["unreachable", "connect", "engine_unreachable"],
  ["refused", "connect", "engine_refused"],
  ["refused", "request", "engine_refused"],
  ["reset", "connect", "engine_unreachable"],
  ["reset", "request", "link_lost"],
  ["reset", "body", "link_lost"],
  ["cut", "body", "engine_cut"],
  ["timeout", "connect", "engine_unreachable"],
  ["timeout", "request", "engine_timeout"],
  ["timeout", "body", "engine_stalled"],
  ["protocol", "body", "engine_bad_answer"],
  ["denied", "request", "agent_denied"],
])("classifyFailure() calls %s in %s %s", (kind, phase, code) => {
  expect(classifyFailure({ kind, phase })).toEqual({ code, isCurable: true });
});

test("classifyAnswer() never blames the caller's key, and never answers below 400", () => {
  for (let status = 100; status < 1000; status++) {
    const { code } = classifyAnswer(status);
    expect(ERRORS[code].status).toBeGreaterThanOrEqual(500);
  }
});
