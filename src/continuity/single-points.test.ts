import { describe, expect, test } from "vitest";
import { CompiledPolicy } from "../access/compiled-policy.ts";
import type { KeyPolicy } from "../access/policy.ts";
import { type ReviewTarget, reviewModels } from "./single-points.ts";

function node(name: string, more: Partial<ReviewTarget> = {}): ReviewTarget {
  const backend = { kind: "node" as const, name, tags: [] };
  return { backend, label: `node/${name}`, leaves: false, isReady: true, isTunnelled: true, ...more };
}

function provider(name: string): ReviewTarget {
  const backend = { kind: "provider" as const, name, tags: [] };
  return { backend, label: `provider/${name}`, leaves: true, isReady: true, isTunnelled: false };
}

function policy(words: Omit<KeyPolicy, "version"> = {}): CompiledPolicy {
  return new CompiledPolicy({ version: 1, ...words });
}

function review(targets: ReviewTarget[], ...policies: CompiledPolicy[]) {
  const [first] = reviewModels([{ model: "m", targets }], policies);
  if (first === undefined) throw new Error("no review");
  return first;
}

describe("reviewModels()", () => {
  test("names the one machine, the tunnel and the gateway of a model that has nothing else", () => {
    const { singlePoints, losses, keys } = review([node("forge")], policy(), policy({ mayLeave: "no" }));
    expect(keys).toBe(2);
    expect(singlePoints).toEqual(["node/forge", "every link", "the gateway"]);
    expect(losses[0]).toEqual({ what: "node/forge", left: [], served: 0, waiting: 0, refused: 2 });
  });

  test("says for how many keys a provider may stand in for the machine at home", () => {
    const { singlePoints, losses } = review(
      [node("forge"), provider("cloud")],
      policy(),
      policy({ mayLeave: "no" }),
      policy({ prefer: "local", fallback: "approval" }),
      policy({ prefer: "local", fallback: "never" }),
    );
    expect(losses).toEqual([
      { what: "node/forge", left: ["provider/cloud"], served: 1, waiting: 1, refused: 2 },
      { what: "provider/cloud", left: ["node/forge"], served: 4, waiting: 0, refused: 0 },
      { what: "every link", left: ["provider/cloud"], served: 1, waiting: 1, refused: 2 },
      { what: "every provider", left: ["node/forge"], served: 4, waiting: 0, refused: 0 },
      { what: "the gateway", left: [], served: 0, waiting: 0, refused: 4 },
    ]);
    expect(singlePoints).toEqual(["node/forge", "every link", "the gateway"]);
  });

  test("counts two machines as each other's reserve, but not their common tunnel", () => {
    const { singlePoints } = review([node("forge"), node("anvil")], policy());
    expect(singlePoints).toEqual(["every link", "the gateway"]);
    const direct = review([node("forge"), node("lan", { isTunnelled: false })], policy());
    expect(direct.singlePoints).toEqual(["the gateway"]);
  });

  test("does not count a machine that is away, nor keys that are not served now or may not use the model", () => {
    const { singlePoints, keys, targets } = review(
      [node("forge"), node("anvil", { isReady: false })],
      policy(),
      policy({ models: ["other"] }),
      policy({ targets: { nodes: ["anvil"] } }),
    );
    expect(keys).toBe(1);
    expect(targets).toEqual([
      { label: "node/forge", isReady: true },
      { label: "node/anvil", isReady: false },
    ]);
    expect(singlePoints).toContain("node/forge");
  });

  test("tells single points of a model that no key uses", () => {
    expect(review([node("forge")]).singlePoints).toContain("node/forge");
    expect(review([]).losses).toEqual([]);
  });
});
