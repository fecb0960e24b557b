import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PosternError } from "../errors.ts";
import { planTarget as target } from "./__fixtures__/plan-target.ts";
import { hashText } from "./hash.ts";
import { MAX_PLANNED, type Plan, type PlanFacts, type PlanTarget, planAttempts } from "./plan.ts";
import { ALWAYS_WELL, type PlanHealth } from "./score.ts";
import { DEFAULT_ROUTING } from "./strategy.ts";

function plan(targets: readonly PlanTarget[], more: Partial<PlanFacts<PlanTarget>> = {}): Plan<PlanTarget> {
  return planAttempts({
    targets,
    routing: DEFAULT_ROUTING,
    health: ALWAYS_WELL,
    canAsk: (operations) => operations.has("openai.chat"),
    mayLeave: true,
    pinnedNode: null,
    prefers: null,
    affinityKey: () => null,
    turn: 0,
    nowMs: 0,
    ...more,
  });
}

function order(targets: readonly PlanTarget[], more: Partial<PlanFacts<PlanTarget>> = {}): string[] {
  const made = plan(targets, more);
  expect(made.wait).toBeNull();
  return made.targets.map(({ id }) => id);
}

function refusal(targets: PlanTarget[], more: Partial<PlanFacts<PlanTarget>> = {}): PosternError {
  try {
    order(targets, more);
  } catch (error) {
    if (error instanceof PosternError) return error;
  }
  throw new Error("there was a plan");
}

function sick(shares: Record<string, number>): PlanHealth {
  return { ...ALWAYS_WELL, share: (id) => shares[id] ?? 1 };
}

describe("planAttempts()", () => {
  test("puts the least busy first, cold models last", () => {
    const targets = [
      target("busy", { busy: 3 }),
      target("cold", { isLoaded: false }),
      target("free"),
      target("unknown", { isLoaded: null, busy: 1 }),
    ];
    expect(order(targets)).toEqual(["free", "unknown", "busy", "cold"]);
  });

  test("lets equals take turns", () => {
    const targets = [target("a"), target("b"), target("c")];
    expect([0, 1, 2, 3].map((turn) => order(targets, { turn })[0])).toEqual(["a", "b", "c", "a"]);
    expect(order(targets, { turn: 1 }).toSorted()).toEqual(["a", "b", "c"]);
  });

  test("leaves out what cannot accept or does not speak the operation", () => {
    const targets = [
      target("away", { canAccept: () => false }),
      target("other", { operations: new Set(["openai.embeddings"]) }),
      target("here"),
    ];
    expect(order(targets)).toEqual(["here"]);
  });

  test("keeps to the pinned node, by name or id", () => {
    const targets = [target("a"), target("b")];
    expect(order(targets, { pinnedNode: "b" })).toEqual(["b"]);
    expect(order(targets, { pinnedNode: "id-a" })).toEqual(["a"]);
    expect(refusal(targets, { pinnedNode: "c" }).code).toBe("no_target");
  });

  test("says whether it is worth coming back", () => {
    const away = [target("a", { canAccept: () => false })];
    expect(refusal(away)).toMatchObject({ code: "no_target", retryAfterSeconds: 5 });
    expect(refusal([])).toMatchObject({ code: "no_target", retryAfterSeconds: 5 });
    expect(refusal([target("a", { operations: new Set() })]).code).toBe("no_target");
    expect(refusal([target("a")], { canAsk: (operations) => operations.has("openai.embeddings") }).code).toBe(
      "body_invalid",
    );
  });

  test("keeps what must not leave away from somebody else's cloud", () => {
    const targets = [target("cloud", { leaves: true }), target("own", { busy: 9 })];
    expect(order(targets, { mayLeave: false })).toEqual(["own"]);
    expect(order(targets)).toContain("cloud");
    expect(refusal([target("cloud", { leaves: true })], { mayLeave: false })).toMatchObject({ code: "no_target" });
  });

  test("puts what policy prefers before any load, and full targets after all that are free", () => {
    const prefers = (a: PlanTarget, b: PlanTarget) => Number(a.leaves) - Number(b.leaves);
    const targets = [
      target("cloud", { leaves: true }),
      target("busy", { busy: 3, slots: 4 }),
      target("full", { busy: 4, slots: 4 }),
    ];
    expect(order(targets, { prefers })).toEqual(["busy", "cloud", "full"]);
  });

  test("waits for a loading engine where nothing is free, also for one of which nothing is known yet", () => {
    const away = { canAccept: () => false };
    const loading = [target("a", { ...away, isLoading: true }), target("b", away)];
    expect(plan(loading)).toMatchObject({ wait: "loading", targets: [{ id: "a" }] });
    const fresh = target("c", { ...away, isLoading: true, operations: new Set() });
    expect(plan([fresh]).wait).toBe("loading");
    const other = target("d", { ...away, isLoading: true, operations: new Set(["openai.embeddings"]) });
    expect(refusal([other, target("e", away)]).code).toBe("no_target");
  });

  test("waits for a slot before a cold load, and for a sleeping machine last of all", () => {
    const full = target("full", { busy: 2, slots: 2 });
    const loading = target("loading", { canAccept: () => false, isLoading: true });
    const asleep = target("asleep", { canAccept: () => false, isAsleep: true });
    expect(plan([asleep, loading, full])).toMatchObject({ wait: "busy", targets: [{ id: "full" }] });
    expect(plan([asleep, loading])).toMatchObject({ wait: "loading", targets: [{ id: "loading" }] });
    expect(plan([asleep])).toMatchObject({ wait: "asleep", targets: [{ id: "asleep" }] });
    expect(order([asleep, target("free"), full])).toEqual(["free", "full"]);
  });

  test("keeps broken targets for the end, and uses one where nobody could be waited for", () => {
    const health = sick({ broken: 0 });
    expect(order([target("broken"), target("well", { busy: 9 })], { health })).toEqual(["well", "broken"]);
    expect(order([target("broken")], { health })).toEqual(["broken"]);
    expect(plan([target("broken"), target("full", { busy: 1, slots: 1 })], { health }).wait).toBe("busy");
    const asleep = target("asleep", { canAccept: () => false, isAsleep: true });
    expect(order([target("broken"), asleep], { health })).toEqual(["broken"]);
  });

  test("gives a target that comes back its share of the first attempts", () => {
    const health = sick({ returning: 0.25 });
    const targets = [target("returning"), target("well", { busy: 3 })];
    const first = Array.from({ length: 2000 }, (_, turn) => order(targets, { health, turn })[0]);
    const share = first.filter((id) => id === "returning").length / first.length;
    expect(share).toBeGreaterThan(0.2);
    expect(share).toBeLessThan(0.3);
    expect(order([target("returning")], { health })).toEqual(["returning"]);
  });

  test("gives the whole strategy to those that policy prefers", () => {
    const routing = { ...DEFAULT_ROUTING, strategy: "affinity" } as const;
    const prefers = (a: PlanTarget, b: PlanTarget) => Number(a.leaves) - Number(b.leaves);
    const targets = ["a", "b", "c"].map((id) => target(id));
    const clouds = ["d", "e", "f", "g", "h"].map((id) => target(id, { leaves: true }));
    for (let key = 0; key < 20; key++) {
      const affinityKey = () => hashText(`session ${key}`);
      expect(order([...clouds, ...targets], { routing, prefers, affinityKey })[0]).toBe(
        order(targets, { routing, affinityKey })[0],
      );
    }
  });

  test("does not change what it was given", () => {
    const targets = Object.freeze([target("b", { busy: 1 }), target("a")]);
    expect(order(targets, { turn: 7 })).toEqual(["a", "b"]);
  });

  test("names each target once, the free ones that can be asked first, and no more than it should", () => {
    const facts = fc.record({
      busy: fc.nat(5),
      slots: fc.constantFrom(null, 1, 4),
      isLoaded: fc.constantFrom(true, false, null),
      isUp: fc.boolean(),
      leaves: fc.boolean(),
      share: fc.constantFrom(0, 0.5, 1),
    });
    const routing = fc.constantFrom(
      ...(["least-busy", "weighted", "priority", "lowest-latency", "affinity"] as const).map((strategy) => ({
        ...DEFAULT_ROUTING,
        strategy,
      })),
    );
    fc.assert(
      fc.property(
        fc.array(facts, { maxLength: 40 }),
        routing,
        fc.nat(),
        fc.boolean(),
        (all, chosen, turn, mayLeave) => {
          const shares: Record<string, number> = {};
          const targets = all.map(({ isUp, share, ...more }, index) => {
            shares[`t${index}`] = share;
            return target(`t${index}`, { ...more, canAccept: () => isUp });
          });
          const health = sick(shares);
          const usable = targets.filter((one) => one.canAccept() && (mayLeave || !one.leaves));
          if (usable.length === 0) return;
          const { wait, targets: planned } = plan(targets, { routing: chosen, turn, mayLeave, health });
          expect(new Set(planned).size).toBe(planned.length);
          expect(planned.length).toBeGreaterThan(0);
          for (const one of planned) expect(usable).toContain(one);
          const isFree = ({ id, busy, slots }: PlanTarget) => shares[id] !== 0 && (slots === null || busy < slots);
          if (wait === null) {
            const opened = usable.filter(({ id }) => shares[id] === 0).length;
            expect(planned.length).toBe(Math.min(MAX_PLANNED, usable.length - Math.max(0, opened - 1)));
            if (usable.some(isFree)) expect(isFree(planned[0] as PlanTarget)).toBe(true);
          } else {
            expect(usable.some(isFree)).toBe(false);
          }
        },
      ),
    );
  });
});
