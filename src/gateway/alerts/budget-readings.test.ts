import { expect, test } from "vitest";
import { keyRecord } from "../../../test/support/key-record.ts";
import { KeyLimits } from "../../access/key-limits.ts";
import { Keyring } from "../../access/keyring.ts";
import { KeyBudgets, readProviderBudgets } from "./budget-readings.ts";

const NOW_MS = 1_700_000_000_000;

test("KeyBudgets reads what working keys used of their budgets, and takes up keys that come later", () => {
  const keyring = new Keyring();
  const day = { tokens: 900, costMicros: 0 };
  const limits = new KeyLimits(new Map([["aaaaaaaaaaaa", { day, month: day, atMs: NOW_MS }]]));
  const budgets = new KeyBudgets(keyring, limits);
  const policy = (words: object) => JSON.stringify({ version: 1, ...words });
  expect([...budgets.read(NOW_MS)]).toEqual([]);
  const budgeted = policy({ budgets: { tokensPerDay: { hard: 1_000 } } });
  keyring.put(keyRecord({ id: "aaaaaaaaaaaa", name: "laptop", policy: budgeted }));
  keyring.put(keyRecord({ id: "bbbbbbbbbbbb", name: "free", policy: policy({}) }));
  keyring.put(keyRecord({ id: "cccccccccccc", name: "gone", policy: budgeted, revokedAtMs: NOW_MS }));
  expect([...budgets.read(NOW_MS)]).toEqual([
    { owner: "laptop", kind: "key", budget: "tokensPerDay", spent: 900, soft: null, hard: 1_000 },
  ]);
});

test("readProviderBudgets() reads both periods", () => {
  const period = { spentMicros: 5, softMicros: null, hardMicros: 10 };
  const spending = [
    { ...period, period: "day" as const },
    { ...period, period: "month" as const },
  ];
  const view = { name: "openai", dialect: "openai" as const, models: 1, ready: true, reason: null, spending };
  expect([...readProviderBudgets([view])].map(({ owner, budget, hard }) => [owner, budget, hard])).toEqual([
    ["openai", "costMicrosPerDay", 10],
    ["openai", "costMicrosPerMonth", 10],
  ]);
});
