import { describe, expect, test } from "vitest";
import {
  findAwayNodes,
  findMissingModels,
  findOpenBreakers,
  findSlowEngines,
  type NodeReading,
} from "./place-findings.ts";

const nodeOf = (name: string, fields: Partial<NodeReading> = {}): NodeReading => ({
  name,
  isKnown: true,
  isServing: true,
  ...fields,
});
const away = { isServing: false };

describe("findAwayNodes()", () => {
  const find = (...nodes: NodeReading[]) => [...findAwayNodes(nodes)].map(({ rule, key }) => `${rule} ${key}`.trim());

  test("finds a node that was there and is not", () => {
    expect(find(nodeOf("forge", away), nodeOf("anvil"))).toEqual(["node-away forge"]);
    const [finding] = findAwayNodes([nodeOf("forge", away), nodeOf("anvil")]);
    expect(finding?.summary).toBe("Node forge is away");
  });

  test("does not miss a node that is only invited", () => {
    expect(find(nodeOf("forge", { ...away, isKnown: false }))).toEqual([]);
    expect(find(nodeOf("forge", { ...away, isKnown: false }), nodeOf("anvil", away))).toEqual([
      "node-away anvil",
      "all-nodes-away",
    ]);
  });

  test("finds that all are away, and nothing where there are none", () => {
    expect(find(nodeOf("forge", away), nodeOf("anvil", away))).toEqual([
      "node-away forge",
      "node-away anvil",
      "all-nodes-away",
    ]);
    expect(find()).toEqual([]);
  });
});

test("findMissingModels() finds those that cannot answer", () => {
  const found = [...findMissingModels(["qwen3", "llama3"], (model) => model === "qwen3")];
  expect(found).toMatchObject([{ rule: "model-missing", key: "llama3", labels: { model: "llama3" } }]);
});

test("findOpenBreakers() finds each, with why", () => {
  const found = [...findOpenBreakers([{ target: "node/forge", reason: "failures" }])];
  expect(found).toMatchObject([
    { rule: "breaker-open", key: "node/forge", summary: expect.stringContaining("failures") },
  ]);
});

describe("findSlowEngines()", () => {
  const reading = (throughMs: number, engineMs: number | null = null) => [
    { node: "forge", engine: "ollama", throughMs, engineMs, why: "the way to the node takes 400 ms" },
  ];

  test("judges the whole way, and says how much of it the engine took and which side is slow", () => {
    const [finding] = findSlowEngines(reading(550, 20), 500, () => false);
    expect(finding).toMatchObject({ rule: "slow-engine", key: "forge/ollama" });
    expect(finding?.summary).toBe(
      "Engine ollama on node forge takes 550 ms to answer, 20 ms of them in the engine: the way to the node takes 400 ms",
    );
    expect([...findSlowEngines(reading(500), 500, () => false)]).toEqual([]);
  });

  test("what fires is over only well below the threshold", () => {
    expect([...findSlowEngines(reading(480), 500, () => true)]).toHaveLength(1);
    expect([...findSlowEngines(reading(440), 500, () => true)]).toEqual([]);
  });
});
