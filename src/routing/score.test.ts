import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hashText } from "./hash.ts";
import { ALWAYS_WELL, EXPLORE_EVERY, type PlanHealth, type ScoredTarget, type ScoreFacts, scorer } from "./score.ts";
import { DEFAULT_ROUTING, type ModelRouting, type Strategy } from "./strategy.ts";

function target(id: string, more: Partial<ScoredTarget> = {}): ScoredTarget {
  return { id, hash: hashText(id), busy: 0, slots: null, isLoaded: true, ...more };
}

function best(targets: readonly ScoredTarget[], strategy: Strategy, more: Partial<ScoreFacts> = {}): string {
  const routing = { ...DEFAULT_ROUTING, ...more.routing, strategy };
  const scoreOf = scorer(targets, {
    health: ALWAYS_WELL,
    turn: 1,
    nowMs: 0,
    affinityKey: () => null,
    ...more,
    routing,
  });
  return targets.reduce((first, one) => (scoreOf(one) < scoreOf(first) ? one : first)).id;
}

function weights(of: Record<string, number>): ModelRouting {
  return { ...DEFAULT_ROUTING, weightOf: (id) => of[id] ?? 1 };
}

describe("least-busy", () => {
  test("compares shares of slots, not counts", () => {
    expect(best([target("small", { busy: 1, slots: 2 }), target("big", { busy: 4, slots: 16 })], "least-busy")).toBe(
      "big",
    );
  });

  test("is not drawn to a target that fails at once", () => {
    const health: PlanHealth = { ...ALWAYS_WELL, burden: (id, busy) => (id === "fails" ? busy + 8 : busy) };
    expect(best([target("fails"), target("works", { busy: 5 })], "least-busy", { health })).toBe("works");
  });
});

describe("weighted", () => {
  test("gives each target its share over many requests, and the same turn the same answer", () => {
    const targets = [target("blue"), target("green")];
    const routing = weights({ blue: 9, green: 1 });
    const turns = Array.from({ length: 5000 }, (_, turn) => best(targets, "weighted", { routing, turn }));
    const share = turns.filter((id) => id === "green").length / turns.length;
    expect(share).toBeGreaterThan(0.08);
    expect(share).toBeLessThan(0.12);
    expect(best(targets, "weighted", { routing, turn: 77 })).toBe(turns[77]);
  });
});

describe("priority", () => {
  test("keeps the operator's order whatever the load, and takes the least busy within a rank", () => {
    const ranks: Record<string, number> = { first: 0, second: 1, also: 1 };
    const routing: ModelRouting = { ...DEFAULT_ROUTING, rankOf: (id) => ranks[id] ?? 9 };
    const second = target("second", { busy: 2 });
    expect(best([second, target("also"), target("first", { busy: 100, slots: 1 })], "priority", { routing })).toBe(
      "first",
    );
    expect(best([second, target("also")], "priority", { routing })).toBe("also");
  });
});

describe("lowest-latency", () => {
  const times: Record<string, number> = { fast: 100, slow: 900 };
  const health: PlanHealth = { ...ALWAYS_WELL, latencyMs: (id) => times[id] ?? null };

  test("takes the fastest, until it is so busy that another one is faster", () => {
    expect(best([target("slow"), target("fast")], "lowest-latency", { health })).toBe("fast");
    expect(best([target("slow"), target("fast", { busy: 20 })], "lowest-latency", { health })).toBe("slow");
  });

  test("tries one that has never answered, one request at a time", () => {
    expect(best([target("fast", { busy: 1 }), target("new")], "lowest-latency", { health })).toBe("new");
    expect(best([target("fast"), target("new", { busy: 1 })], "lowest-latency", { health })).toBe("fast");
  });

  test("looks at slow ones now and then, so that one that became fast is noticed", () => {
    const targets = [target("slow"), target("fast")];
    const turns = Array.from({ length: 100 * EXPLORE_EVERY }, (_, turn) =>
      best(targets, "lowest-latency", { health, turn }),
    );
    const explored = turns.filter((id) => id === "slow").length;
    expect(explored).toBeGreaterThan(20);
    expect(explored).toBeLessThan(90);
  });
});

describe("affinity", () => {
  const key = (text: string) => ({ affinityKey: () => hashText(text) });

  test("sends a session where it was, in any order of the targets", () => {
    const targets = ["a", "b", "c", "d"].map((id) => target(id));
    const places = new Set<string>();
    for (let session = 0; session < 50; session++) {
      const place = best(targets, "affinity", key(`s${session}`));
      expect(best(targets.toReversed(), "affinity", key(`s${session}`))).toBe(place);
      places.add(place);
    }
    expect(places.size).toBe(4);
  });

  test("moves only the sessions of a target that goes", () => {
    const targets = ["a", "b", "c", "d"].map((id) => target(id));
    for (let session = 0; session < 100; session++) {
      const place = best(targets, "affinity", key(`s${session}`));
      const left = targets.filter(({ id }) => id !== "c");
      if (place !== "c") expect(best(left, "affinity", key(`s${session}`))).toBe(place);
    }
  });

  test("never loads one target with more than one request above the least busy", () => {
    const busyness = fc.array(fc.nat(20), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(busyness, fc.string(), (counts, session) => {
        const targets = counts.map((busy, index) => target(`t${index}`, { busy }));
        const id = best(targets, "affinity", key(session));
        const chosen = targets.find((one) => one.id === id);
        expect(chosen?.busy).toBeLessThanOrEqual(Math.min(...counts) + 1);
      }),
    );
  });

  test("is not drawn to a cold model, and is least-busy without a key", () => {
    const targets = [target("cold", { isLoaded: false }), target("warm", { busy: 1 })];
    for (let session = 0; session < 20; session++) expect(best(targets, "affinity", key(`s${session}`))).toBe("warm");
    expect(best([target("a", { busy: 1 }), target("b")], "affinity")).toBe("b");
  });
});
