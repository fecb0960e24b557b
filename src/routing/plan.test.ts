import { describe, expect, test } from "vitest";
import { PosternError } from "../errors.ts";
import { type PlanFacts, type PlanTarget, planAttempts } from "./plan.ts";

interface Known extends PlanTarget {
  id: string;
}

function target(id: string, more: Partial<PlanTarget> = {}): Known {
  return {
    id,
    backend: { kind: "node", id: `id-${id}`, name: id, label: `node/${id}`, locality: "own", tags: [] },
    isLoaded: true,
    operations: new Set(["openai.chat"]),
    inFlight: 0,
    leaves: false,
    isLoading: false,
    canAccept: () => true,
    ...more,
  };
}

function order(targets: Known[], more: Partial<PlanFacts<Known>> = {}): string[] {
  return planAttempts({
    targets,
    canAsk: (operations) => operations.has("openai.chat"),
    mayLeave: true,
    pinnedNode: null,
    turn: 0,
    ...more,
  }).map(({ id }) => id);
}

function refusal(targets: Known[], more: Partial<PlanFacts<Known>> = {}): PosternError {
  try {
    order(targets, more);
  } catch (error) {
    if (error instanceof PosternError) return error;
  }
  throw new Error("there was a plan");
}

describe("planAttempts()", () => {
  test("puts the least busy first, cold models last", () => {
    const targets = [
      target("busy", { inFlight: 3 }),
      target("cold", { isLoaded: false }),
      target("free"),
      target("unknown", { isLoaded: null, inFlight: 1 }),
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
    const targets = [target("cloud", { leaves: true }), target("own", { inFlight: 9 })];
    expect(order(targets, { mayLeave: false })).toEqual(["own"]);
    expect(order(targets)).toContain("cloud");
    expect(refusal([target("cloud", { leaves: true })], { mayLeave: false })).toMatchObject({ code: "no_target" });
  });

  test("says that the model is being loaded where that is all that is missing", () => {
    const loading = [target("a", { isLoading: true, canAccept: () => false }), target("b", { canAccept: () => false })];
    expect(refusal(loading)).toMatchObject({ code: "engine_loading", retryAfterSeconds: 5 });
    // One that was never ready has told no operations yet.
    const fresh = target("c", { isLoading: true, canAccept: () => false, operations: new Set() });
    expect(refusal([fresh]).code).toBe("engine_loading");
    const other = target("d", { isLoading: true, canAccept: () => false, operations: new Set(["openai.embeddings"]) });
    expect(refusal([other, target("e", { canAccept: () => false })]).code).toBe("no_target");
  });

  test("does not change what it was given", () => {
    const targets = Object.freeze([target("b", { inFlight: 1 }), target("a")]);
    expect(
      planAttempts({
        targets,
        canAsk: (operations) => operations.has("openai.chat"),
        mayLeave: true,
        pinnedNode: null,
        turn: 7,
      }).map(({ id }) => id),
    ).toEqual(["a", "b"]);
  });
});
