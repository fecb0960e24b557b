import { describe, expect, test } from "vitest";
import { ERRORS } from "../errors.ts";
import type { FailureKind, FailurePhase } from "../lib/exchange.ts";
import { classifyAnswer, classifyFailure } from "./classify-failure.ts";
import { MAX_ATTEMPTS, planRetry } from "./retry.ts";

const CURABLE = classifyFailure({ kind: "unreachable", phase: "connect" });
const FACTS = { hasContent: false, attempts: 1, remainingMs: 1000 };

describe("planRetry()", () => {
  test("goes on while nothing reached the caller and another target could help", () => {
    expect(planRetry(CURABLE, FACTS)).toBe(true);
  });

  test("refuses once content reached the caller", () => {
    expect(planRetry(CURABLE, { ...FACTS, hasContent: true })).toBe(false);
  });

  test("refuses after the last attempt, and when the time is over", () => {
    expect(planRetry(CURABLE, { ...FACTS, attempts: MAX_ATTEMPTS - 1 })).toBe(true);
    expect(planRetry(CURABLE, { ...FACTS, attempts: MAX_ATTEMPTS })).toBe(false);
    expect(planRetry(CURABLE, { ...FACTS, remainingMs: 0 })).toBe(false);
  });

  test.each([400, 404, 409, 413, 415, 422, 501])(
    "refuses after %d, which another target would answer too",
    (status) => {
      expect(planRetry(classifyAnswer(status), FACTS)).toBe(false);
    },
  );

  // 401 and 403 of an engine are about the agent's key, not about the caller's request.
  test.each([401, 403, 408, 429, 500, 502, 503, 504, 529])("goes on after %d", (status) => {
    expect(planRetry(classifyAnswer(status), FACTS)).toBe(true);
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
