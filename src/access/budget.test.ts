import { expect, test } from "vitest";
import { DAY_MS, monthStartMs, Spending } from "./budget.ts";

const NOON_MS = Date.UTC(2026, 10, 30, 12);
const amount = (tokens: number, costMicros = 0) => ({ tokens, costMicros });

test("Spending begins anew each UTC day and month", () => {
  const spending = new Spending(NOON_MS);
  spending.spend(amount(10, 5), NOON_MS);
  expect(spending.spent(NOON_MS)).toEqual({ day: amount(10, 5), month: amount(10, 5) });
  expect(spending.spent(NOON_MS + DAY_MS)).toEqual({ day: amount(0), month: amount(0) });
  const sameMonth = new Spending(NOON_MS - DAY_MS);
  sameMonth.spend(amount(7), NOON_MS - DAY_MS);
  expect(sameMonth.spent(NOON_MS)).toEqual({ day: amount(0), month: amount(7) });
  expect(monthStartMs(NOON_MS)).toBe(Date.UTC(2026, 10, 1));
});

test("Spending goes on from what was used before, and drops it when its day is over", () => {
  const spending = new Spending(NOON_MS, { day: amount(3), month: amount(30) });
  spending.spend(amount(1), NOON_MS);
  expect(spending.spent(NOON_MS)).toEqual({ day: amount(4), month: amount(31) });
  expect(spending.spent(NOON_MS + DAY_MS).day).toEqual(amount(0));
});

test("a clock that jumps ahead and back gives no budget twice", () => {
  const spending = new Spending(NOON_MS);
  spending.spend(amount(10), NOON_MS);
  spending.spend(amount(1), NOON_MS + 400 * DAY_MS);
  expect(spending.spent(NOON_MS)).toEqual({ day: amount(10), month: amount(10) });
});

test("Spending names the budget that stands in the way, and whether waiting for others would help", () => {
  const spending = new Spending(NOON_MS);
  const budgets = { tokensPerDay: { soft: 50, hard: 100 } };
  spending.reserve(amount(60));
  expect(spending.beyondHard(budgets, amount(40), NOON_MS)).toBeNull();
  expect(spending.beyondHard(budgets, amount(41), NOON_MS)).toMatchObject({ isFinal: false, spent: 0, limit: 100 });
  expect(spending.beyondSoft(budgets, NOON_MS)).toBeNull();
  spending.unreserve(amount(60));
  spending.spend(amount(70), NOON_MS);
  expect(spending.beyondHard(budgets, amount(31), NOON_MS)).toMatchObject({ isFinal: true, resetMs: DAY_MS / 2 });
  expect(spending.beyondSoft(budgets, NOON_MS)).toMatchObject({ name: "tokensPerDay", spent: 70, limit: 50 });
  expect(spending.isSettled).toBe(true);
});

test("what costs nothing goes on when the money is spent, what costs something does not", () => {
  const spending = new Spending(NOON_MS, { day: amount(0, 100), month: amount(0, 100) });
  const budgets = { costMicrosPerMonth: { hard: 100 } };
  expect(spending.beyondHard(budgets, amount(1000, 0), NOON_MS)).toBeNull();
  expect(spending.beyondHard(budgets, amount(1000, 1), NOON_MS)).toMatchObject({
    name: "costMicrosPerMonth",
    isFinal: true,
  });
});
