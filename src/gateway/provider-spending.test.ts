import { expect, test } from "vitest";
import { ProviderSpending } from "./provider-spending.ts";

const NOON = Date.UTC(2026, 10, 30, 12);
const DAY_MS = 86_400_000;
const NONE = { softMicros: null, hardMicros: null };

test("ProviderSpending lets requests through only with room for the most that all of them may cost", () => {
  const spending = new ProviderSpending({ day: { softMicros: null, hardMicros: 100 }, month: NONE }, NOON);
  expect([40, 40, 40].map((micros) => spending.reserve(micros, NOON))).toEqual([true, true, false]);
  expect(spending.spentCap(NOON)).toBeNull();
  spending.unreserve(40);
  spending.spend(30, NOON);
  expect(spending.reserve(30, NOON)).toBe(true);
  expect(spending.spentCap(NOON)).toContain("reserved by requests that run");
  spending.unreserve(40);
  spending.unreserve(30);
  expect(spending.isSettled).toBe(true);
});

test("ProviderSpending is closed until the period ends, and says when that is", () => {
  const spending = new ProviderSpending({ day: { softMicros: null, hardMicros: 2_500_000 }, month: NONE }, NOON);
  spending.spend(2_500_000, NOON);
  expect(spending.spentCap(NOON)).toBe("its cap of $2.50 for the day is spent, until 2026-12-01T00:00Z");
  expect(spending.reserve(1, NOON)).toBe(false);
  expect(spending.spentCap(NOON + DAY_MS)).toBeNull();
});

test("ProviderSpending goes on from what was spent before the process began", () => {
  const spending = new ProviderSpending({ day: NONE, month: { softMicros: null, hardMicros: 100 } }, NOON);
  spending.begin({ day: { tokens: 0, costMicros: 10 }, month: { tokens: 0, costMicros: 99 } }, NOON);
  expect(spending.spentCap(NOON)).toBeNull();
  spending.spend(1, NOON);
  expect(spending.spentCap(NOON)).toContain("for the month is spent");
  expect(spending.view(NOON).map(({ spentMicros }) => spentMicros)).toEqual([11, 100]);
});

test("ProviderSpending tells once that a soft cap is reached, and closes nothing for it", () => {
  const spending = new ProviderSpending({ day: { softMicros: 10, hardMicros: null }, month: NONE }, NOON);
  expect([5, 5, 5].map((micros) => spending.spend(micros, NOON))).toEqual([false, true, false]);
  expect(spending.spentCap(NOON)).toBeNull();
  expect(spending.isCapped).toBe(false);
});
