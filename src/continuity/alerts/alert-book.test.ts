import { describe, expect, test } from "vitest";
import type { Moment } from "../contingency-state.ts";
import { AlertBook, type Finding, MAX_ALERTS_PER_RULE } from "./alert-book.ts";
import { type AlertRules, DEFAULT_RULES } from "./rules.ts";

const START_MS = 1_700_000_000_000;

function setUp(rules: AlertRules = DEFAULT_RULES) {
  let made = 0;
  let elapsedMs = 0;
  const book = new AlertBook(rules, () => `id-${++made}`);
  const now = (): Moment => ({ nowMs: START_MS + elapsedMs, monotonicMs: elapsedMs });
  return {
    book,
    now,
    /** Looks, `afterMs` later. */
    look(afterMs: number, ...findings: Finding[]) {
      elapsedMs += afterMs;
      return book.observe(findings, now());
    },
  };
}

function away(key: string, fields: Partial<Finding> = {}): Finding {
  return { rule: "node-away", key, summary: `Node ${key} is away`, labels: { node: key }, ...fields };
}

describe("AlertBook", () => {
  test("fires when the condition held as long as the rule asks, once, with the time since when", () => {
    const { book, look } = setUp();
    expect(look(0, away("forge")).fired).toEqual([]);
    expect(book.pending()).toMatchObject([{ key: "forge", sinceMs: START_MS }]);
    expect(look(59_999, away("forge")).fired).toEqual([]);
    const { fired } = look(1, away("forge"));
    expect(fired).toMatchObject([
      { id: "id-1", rule: "node-away", key: "forge", severity: "warning", startedAtMs: START_MS, resolvedAtMs: null },
    ]);
    expect(fired[0]?.firedAtMs).toBe(START_MS + 60_000);
    expect(look(5_000, away("forge")).fired).toEqual([]);
    expect(book.firing()).toHaveLength(1);
  });

  test("forgets a condition that was gone before it fired", () => {
    const { book, look } = setUp();
    look(0, away("forge"));
    look(30_000);
    expect(book.pending()).toEqual([]);
    look(5_000, away("forge"));
    expect(look(59_000, away("forge")).fired).toEqual([]);
  });

  test("resolves only when the condition was gone for a while, so that a flapping node is one alert", () => {
    const { book, look } = setUp();
    look(0, away("forge"));
    look(60_000, away("forge"));
    expect(look(29_000).resolved).toEqual([]);
    expect(look(5_000, away("forge")).fired).toEqual([]);
    expect(look(29_000).resolved).toEqual([]);
    const { resolved } = look(1_000);
    expect(resolved).toMatchObject([{ id: "id-1", resolvedAtMs: START_MS + 124_000 }]);
    expect(book.firing()).toEqual([]);
    // The next time is another alert.
    look(5_000, away("forge"));
    expect(look(60_000, away("forge")).fired).toMatchObject([{ id: "id-2" }]);
  });

  test("measures spans with the monotonic clock: a wall clock that jumps an hour fires nothing", () => {
    const { book } = setUp();
    book.observe([away("forge")], { nowMs: START_MS, monotonicMs: 0 });
    expect(book.observe([away("forge")], { nowMs: START_MS + 3_600_000, monotonicMs: 5_000 }).fired).toEqual([]);
  });

  test("keeps the words of what is found last, and the severity of a finding before the rule's", () => {
    const { book, look } = setUp();
    look(0, away("forge", { severity: "critical" }));
    look(60_000, away("forge", { severity: "critical" }));
    look(5_000, away("forge", { summary: "Node forge is away, and was there for a moment" }));
    expect(book.firing()).toMatchObject([{ severity: "critical", summary: expect.stringContaining("for a moment") }]);
  });

  test("a rule that is off fires nothing", () => {
    const { book, look } = setUp({
      ...DEFAULT_RULES,
      "node-away": { ...DEFAULT_RULES["node-away"], isEnabled: false },
    });
    look(0, away("forge"));
    look(600_000, away("forge"));
    expect([book.firing(), book.pending()]).toEqual([[], []]);
  });

  test("two looks at one moment do not hide that something is over", () => {
    const { look } = setUp();
    const on: Finding = { rule: "contingency", key: "", summary: "Contingency is on", labels: {} };
    expect(look(0, on).fired).toHaveLength(1);
    expect(look(0).resolved).toHaveLength(1);
  });

  test(`keeps ${MAX_ALERTS_PER_RULE} alerts of one rule, and a flood pushes out none that fires`, () => {
    const { book, look } = setUp();
    look(0, away("forge"));
    look(60_000, away("forge"));
    const flood = Array.from({ length: 5_000 }, (_, index) => away(`node-${index}`));
    look(5_000, ...flood, away("forge"));
    look(60_000, ...flood, away("forge"));
    expect(book.firing()).toHaveLength(MAX_ALERTS_PER_RULE);
    expect(book.isFiring("node-away", "forge")).toBe(true);
  });

  test("keeps no more of one rule either when each look finds others, and what fired lasts", () => {
    const { book, look } = setUp();
    for (let round = 0; round < 3; round++) {
      const moved = (index: number): Finding => ({
        rule: "address-changed",
        key: `${round} ${index}`,
        summary: "",
        labels: {},
      });
      look(5_000, ...Array.from({ length: MAX_ALERTS_PER_RULE }, (_, index) => moved(index)));
    }
    expect(book.firing()).toHaveLength(MAX_ALERTS_PER_RULE);
  });

  test("cuts long texts and takes control characters out: they come from agents and engines", () => {
    const { book, look } = setUp();
    const name = `\u001b[2J\r\nBcc: x\u202e${"x".repeat(10_000)}`;
    look(0, away(name));
    look(60_000, away(name));
    expect(JSON.stringify(book.firing()).length).toBeLessThan(2_000);
    expect(book.firing()[0]?.summary).toMatch(/^Node \uFFFD\[2J\uFFFD\uFFFDBcc: x\uFFFDx/);
  });

  test("takes up what fired before a restart, and resolves what does not come back", () => {
    const { book: before, look } = setUp();
    look(0, away("forge"), away("anvil"));
    look(60_000, away("forge"), away("anvil"));
    const { book, now, look: lookAgain } = setUp();
    book.restore(before.firing(), now());
    expect(lookAgain(0, away("forge"))).toEqual({ fired: [], resolved: [] });
    expect(lookAgain(30_000, away("forge")).resolved).toMatchObject([{ key: "anvil" }]);
    expect(book.firing()).toMatchObject([{ id: "id-1", key: "forge" }]);
  });
});
