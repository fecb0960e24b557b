import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PosternError } from "../errors.ts";
import { type Admission, KeyLimits, type LimitRules } from "./key-limits.ts";
import { LEASE_TTL_MS } from "./leases.ts";

const NOW_MS = Date.UTC(2026, 10, 30, 12);
const at = (monotonicMs = 0) => ({ monotonicMs, nowMs: NOW_MS + monotonicMs });
const amount = (tokens: number, costMicros = 0) => ({ tokens, costMicros });

function refusal(act: () => unknown): PosternError {
  try {
    act();
  } catch (error) {
    if (error instanceof PosternError) return error;
    throw error;
  }
  throw new Error("was not refused");
}

/** Admits and reserves, or gives the code of the refusal and costs nothing, as the pipeline does it. */
function ask(limits: KeyLimits, rules: LimitRules, monotonicMs: number, tokens = 0): Admission | string {
  let admission: Admission | null = null;
  try {
    admission = limits.admit("k", rules, 1000, 1000, at(monotonicMs));
    admission.reserve(amount(tokens), at(monotonicMs));
    return admission;
  } catch (error) {
    admission?.cancel();
    if (error instanceof PosternError) return error.code;
    throw error;
  }
}

describe("KeyLimits under any interleaving", () => {
  const event = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("ask" as const), tokens: fc.integer({ min: 0, max: 40 }) }) },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant("settle" as const),
        which: fc.nat(20),
        share: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("cancel" as const), which: fc.nat(20) }) },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 40_000 }) }),
    },
  );
  const rules: LimitRules = {
    requestsPerMinute: 6,
    tokensPerMinute: 100,
    concurrency: 3,
    budgets: { tokensPerDay: { hard: 300 } },
  };

  test("never admits more than there is, and gives everything back", () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 80 }), (events) => {
        const limits = new KeyLimits();
        const running: { admission: Admission; tokens: number; begun: { atMs: number } }[] = [];
        /** What was served or runs; what was cancelled costs nothing. */
        let counted: { atMs: number }[] = [];
        const used: { atMs: number; tokens: number }[] = [];
        let nowMs = 0;
        const total = (list: readonly { tokens: number }[]) => list.reduce((sum, { tokens }) => sum + tokens, 0);
        const lastMinute = () => used.filter(({ atMs }) => nowMs - atMs < 60_000);
        for (const one of events) {
          for (const { admission } of running) admission.renew(nowMs);
          if (one.kind === "wait") {
            nowMs += one.ms;
          } else if (one.kind === "ask") {
            const admission = ask(limits, rules, nowMs, one.tokens);
            if (typeof admission === "string") continue;
            const begun = { atMs: nowMs };
            running.push({ admission, tokens: one.tokens, begun });
            counted.push(begun);
            expect(counted.filter(({ atMs }) => nowMs - atMs < 60_000).length).toBeLessThanOrEqual(6);
            expect(running.length).toBeLessThanOrEqual(3);
            expect(total(running) + total(lastMinute())).toBeLessThanOrEqual(100);
            expect(total(running) + total(used)).toBeLessThanOrEqual(300);
          } else {
            const [ended] = running.splice(one.which % Math.max(1, running.length), 1);
            if (ended === undefined) continue;
            if (one.kind === "cancel") {
              ended.admission.cancel();
              counted = counted.filter((begun) => begun !== ended.begun);
            } else {
              const tokens = Math.floor(ended.tokens * one.share);
              ended.admission.settle(amount(tokens), at(nowMs));
              used.push({ atMs: nowMs, tokens });
            }
            ended.admission.cancel();
          }
        }
        for (const { admission } of running) admission.cancel();
        expect(limits.open("k")).toBe(0);
        const rates = limits.rates("k", rules, nowMs + 120_000);
        expect(rates).toMatchObject({ requests: { remaining: 6 }, tokens: { remaining: 100 } });
        expect(limits.spent("k", NOW_MS + nowMs).month.tokens).toBe(total(used));
      }),
      { numRuns: 300 },
    );
  });

  test("a refused request costs nothing: the next one finds what it would have found", () => {
    const limits = new KeyLimits();
    for (let count = 0; count < 100; count++) expect(ask(limits, rules, 0, 101)).toBe("token_rate_exceeded");
    for (let count = 0; count < 3; count++) expect(typeof ask(limits, rules, 0, 33)).toBe("object");
    for (let count = 0; count < 100; count++) expect(ask(limits, rules, 0, 1)).toBe("too_many_requests");
    expect(limits.rates("k", rules, 0)).toMatchObject({ requests: { remaining: 3 }, tokens: { remaining: 1 } });
  });
});

describe("KeyLimits", () => {
  test("says when to come back, in seconds that are true", () => {
    const limits = new KeyLimits();
    const rules = { requestsPerMinute: 2 };
    limits.admit("k", rules, 10, 0, at(0)).settle(amount(0), at(0));
    limits.admit("k", rules, 10, 0, at(10_000)).settle(amount(0), at(10_000));
    const error = refusal(() => limits.admit("k", rules, 10, 0, at(20_000)));
    expect(error).toMatchObject({ code: "request_rate_limited", retryAfterSeconds: 45 });
    expect(error.message).toBe("This key may send 2 requests a minute. Try again in 45s");
    expect(limits.open("k")).toBe(0);
    limits.admit("k", rules, 10, 0, at(65_000));
    refusal(() => limits.admit("k", rules, 10, 0, at(65_000)));
  });

  test("waits for others where the budget is only reserved, and for the reset where it is spent", () => {
    const limits = new KeyLimits();
    const rules = { budgets: { tokensPerMonth: { hard: 100 } } };
    const first = ask(limits, rules, 0, 80);
    expect(ask(limits, rules, 0, 30)).toBe("budget_reserved");
    if (typeof first !== "string") first.settle(amount(90), at());
    const admission = limits.admit("k", rules, 10, 0, at());
    const error = refusal(() => admission.reserve(amount(30), at()));
    expect(error).toMatchObject({ code: "budget_spent", retryAfterSeconds: 43_200 });
    expect(error.message).toBe(
      "Token budget reached (monthly; resets 2026-12-01T00:00:00Z): the request may use up to 30 tokens, and 10 are left",
    );
    admission.cancel();
    expect(typeof ask(limits, rules, 0, 10)).toBe("object");
  });

  test("begins with what the store says, so that a restart gives no budget twice", () => {
    const seed = { atMs: NOW_MS, day: amount(95), month: amount(95) };
    const limits = new KeyLimits(new Map([["k", seed]]));
    const rules = { budgets: { tokensPerDay: { hard: 100 } } };
    expect(ask(limits, rules, 0, 6)).toBe("budget_spent");
    expect(typeof ask(limits, rules, 0, 5)).toBe("object");
    expect(limits.spent("other", NOW_MS).day.tokens).toBe(0);
  });

  test("in shadow reports what it would have refused, and refuses nothing", () => {
    const limits = new KeyLimits();
    const shadow = true;
    const rules = {
      requestsPerMinute: 1,
      concurrency: 1,
      tokensPerMinute: 10,
      budgets: { tokensPerDay: { hard: 5 } },
      shadow,
    };
    ask(limits, rules, 0, 9);
    const second = ask(limits, rules, 0, 9);
    if (typeof second === "string") throw new Error(second);
    expect(second.shadow).toEqual(["request_rate_limited", "too_many_requests", "token_rate_limited", "budget_spent"]);
    second.cancel();
    second.cancel();
    expect(limits.open("k")).toBe(1);
  });

  test("a request that was lost holds nothing for longer than a lease, whatever the wall clock does", () => {
    const limits = new KeyLimits();
    const rules = { concurrency: 1 };
    ask(limits, rules, 0);
    expect(ask(limits, rules, LEASE_TTL_MS - 1)).toBe("too_many_requests");
    const jumped = { monotonicMs: LEASE_TTL_MS - 1, nowMs: NOW_MS + 1e12 };
    const admission = limits.admit("k", rules, 10, 0, jumped);
    expect(refusal(() => admission.reserve(amount(0), jumped)).code).toBe("too_many_requests");
    admission.cancel();
    expect(typeof ask(limits, rules, LEASE_TTL_MS)).toBe("object");
  });

  test("bounds the requests of any one key, those whose body is still coming included", () => {
    const limits = new KeyLimits();
    const held = [1, 2].map(() => limits.admit("k", {}, 2, 1000, at()));
    expect(refusal(() => limits.admit("k", {}, 2, 1000, at())).code).toBe("too_many_requests");
    limits.admit("other", {}, 2, 1000, at());
    for (const admission of held) admission.cancel();
    limits.admit("k", {}, 2, 1000, at());
    limits.forget("k");
    expect(limits.size).toBe(1);
  });
});

test("who asks again for less after a spent budget holds one place, and gives that back", () => {
  const limits = new KeyLimits();
  const rules: LimitRules = { concurrency: 2, budgets: { costMicrosPerDay: { hard: 10 } } };
  const admission = limits.admit("k", rules, 1000, 1000, at());
  const refused = refusal(() => admission.reserve(amount(5, 11), at()));
  expect(refused).toMatchObject({ code: "budget_spent", detail: { budget: "costMicrosPerDay" } });
  admission.reserve(amount(5, 0), at());
  const second = ask(limits, rules, 0);
  expect(second).not.toBeTypeOf("string");
  expect(ask(limits, rules, 0)).toBe("too_many_requests");
  admission.settle(amount(5), at());
  expect(ask(limits, rules, 0)).not.toBeTypeOf("string");
});
