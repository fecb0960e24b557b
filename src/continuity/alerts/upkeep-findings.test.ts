import { describe, expect, test } from "vitest";
import {
  type BudgetReading,
  findBudgets,
  findContingency,
  findDeepQueue,
  findEndingCertificates,
  findStoreTrouble,
  findWaitingApprovals,
} from "./upkeep-findings.ts";

const NOW_MS = 1_700_000_000_000;
const DAY_MS = 86_400_000;

describe("findEndingCertificates()", () => {
  const find = (inMs: number, problem: string | null = null) => [
    ...findEndingCertificates(
      [{ listener: "public", names: ["ai.example.org"], notAfterMs: NOW_MS + inMs, problem }],
      7 * DAY_MS,
      NOW_MS,
    ),
  ];

  test("finds one that ends within the threshold, and why it was not renewed", () => {
    expect(find(7 * DAY_MS)).toEqual([]);
    expect(find(6.5 * DAY_MS, "the authority does not answer")).toMatchObject([
      {
        rule: "certificate",
        key: "public ai.example.org",
        summary: "The certificate for ai.example.org ends in 6 days; it was not renewed: the authority does not answer",
      },
    ]);
  });

  test("is critical on the last day, and after it", () => {
    expect(find(DAY_MS / 2)).toMatchObject([
      { severity: "critical", summary: expect.stringContaining("within a day") },
    ]);
    expect(find(-1)).toMatchObject([{ severity: "critical", summary: expect.stringContaining("has ended") }]);
  });
});

describe("findBudgets()", () => {
  const find = (fields: Partial<BudgetReading>) => [
    ...findBudgets(
      [{ owner: "laptop", kind: "key", budget: "tokensPerDay", spent: 0, soft: null, hard: 1_000, ...fields }],
      0.9,
    ),
  ];

  test("finds what is near its hard edge", () => {
    expect(find({ spent: 899 })).toEqual([]);
    expect(find({ spent: 900 })).toMatchObject([
      { key: "key laptop tokensPerDay", summary: "Key laptop used 90% of the budget tokensPerDay" },
    ]);
  });

  test("finds what reached its soft edge, with a hard one or without", () => {
    expect(find({ spent: 500, soft: 500 })).toMatchObject([
      { summary: "Key laptop used 50% of the budget tokensPerDay" },
    ]);
    expect(find({ spent: 500, soft: 500, hard: null })).toMatchObject([
      { summary: "Key laptop used 100% of the soft edge of its budget tokensPerDay" },
    ]);
    expect(find({ spent: 0, hard: 0 })).toHaveLength(1);
  });
});

test("findContingency() finds scopes in contingency, with who and why, and none on its way back", () => {
  const cause = { cause: "command" as const, reason: "bad bill", by: "ada", sinceMs: 1, expiresAtMs: null };
  const scopes = [
    { workflow: "audit", state: "contingency" as const, causes: [cause], share: 0, normalAtMs: null },
    { workflow: null, state: "returning" as const, causes: [], share: 0.5, normalAtMs: 5 },
  ];
  expect([...findContingency(scopes)]).toMatchObject([
    { rule: "contingency", key: "audit", summary: "Contingency is on for workflow audit (command: bad bill)" },
  ]);
});

test("findWaitingApprovals() finds one thing per workflow or key, however many wait", () => {
  const waiting = (id: string, scope: string, to: "cloud" | "local") => {
    return { id, scope, to, keyId: "k", model: "chat", sinceMs: 1, untilMs: 2 };
  };
  expect([...findWaitingApprovals([])]).toEqual([]);
  const found = [
    ...findWaitingApprovals([
      waiting("a", "audit", "cloud"),
      waiting("b", "key:k", "local"),
      waiting("c", "audit", "cloud"),
    ]),
  ];
  expect(found.map(({ key, summary }) => [key, summary])).toEqual([
    ["audit", "2 requests wait for an approval to leave for a provider (audit, model chat)"],
    ["key:k", "A request waits for an approval to go to your own machines (key:k, model chat)"],
  ]);
});

test("findStoreTrouble() tells the store and the journal apart", () => {
  expect([...findStoreTrouble({ store: null, journal: null })]).toEqual([]);
  expect([...findStoreTrouble({ store: "The disk is full", journal: "spooling" })].map(({ key }) => key)).toEqual([
    "store",
    "journal",
  ]);
});

test("findDeepQueue() adds models up, and compares with the threshold, lower while it fires", () => {
  const queues = (depth: number) => [
    { model: "small", depth: 5 },
    { model: "large", depth: depth - 5 },
  ];
  expect([...findDeepQueue(queues(20), 20, () => false)]).toEqual([]);
  expect([...findDeepQueue(queues(21), 20, () => false)]).toMatchObject([
    { rule: "queue-depth", key: "", summary: "21 requests wait for a slot, most of them for model large" },
  ]);
  expect([...findDeepQueue(queues(19), 20, () => true)]).toHaveLength(1);
  expect([...findDeepQueue([], 20, () => true)]).toEqual([]);
});
