import { expect, test } from "vitest";
import type { ModelView, ProbeResult } from "../admin/contract-models.ts";
import { QUIET_LIMIT_MS, waitForFirstModel } from "./first-model.ts";

function model(
  name: string,
  fields: { ready?: boolean; loaded?: boolean; sizeBytes?: number; source?: ModelView["source"]; reason?: string } = {},
): ModelView {
  const { ready = true, loaded = false, sizeBytes = null, source = "node", reason = null } = fields;
  const target = {
    id: "t",
    weight: null,
    provider: null,
    node: "n",
    engine: "e",
    kind: "ollama" as const,
    engineModel: name,
    ready,
    reason,
    loaded,
    contextLength: null,
    sizeBytes,
    quantization: null,
  };
  return { name, ready, source, required: false, strategy: "least-busy", operations: [], targets: [target] };
}

/** `catalogues` are what is seen at each look; the last one stays. */
async function wait(
  catalogues: ModelView[][],
  answers: Record<string, string | null> = {},
  noModelReason: string | null = null,
) {
  let nowMs = 0;
  let looks = 0;
  const probed: string[] = [];
  const result = await waitForFirstModel({
    admin: {
      listModels: async () => catalogues[Math.min(looks++, catalogues.length - 1)] ?? [],
      async probeModel({ model: name }): Promise<ProbeResult> {
        probed.push(name);
        const reason = answers[name] ?? null;
        return { model: name, ok: reason === null, reason, target: null, durationMs: 1 };
      },
    },
    agent: { noModelReason: () => noModelReason, lastSignMs: () => 0 },
    nowMs: () => nowMs,
    async pause(ms) {
      nowMs += ms;
    },
    onProbe: () => {},
  });
  return { ...result, probed, nowMs };
}

test("waits until a model is there and has answered", async () => {
  expect(await wait([[], [], [model("a")]])).toMatchObject({ models: ["a"], reason: null, probed: ["a"] });
});

test("asks the loaded model first, then the smallest, and names the one that answered first", async () => {
  const catalogue = [
    model("big", { sizeBytes: 9e9 }),
    model("small", { sizeBytes: 1e9 }),
    model("warm", { loaded: true, sizeBytes: 5e9 }),
  ];
  const result = await wait([catalogue], { warm: "out of memory" });
  expect(result.probed).toEqual(["warm", "small"]);
  expect(result).toMatchObject({ models: ["small", "warm", "big"], reason: null });
});

test("says why when none of three answers", async () => {
  const catalogue = ["a", "b", "c", "d"].map((name) => model(name));
  const result = await wait([catalogue], { a: "x", b: "y", c: "z" });
  expect(result.probed).toEqual(["a", "b", "c"]);
  expect(result.reason).toBe('"c" did not answer: z');
});

test("gives the agent's reason at once, and does not count what is offered only", async () => {
  const result = await wait([[model("offered", { source: "offered" })]], {}, "No inference server was found.");
  expect(result).toMatchObject({ models: [], reason: "No inference server was found.", nowMs: 0 });
});

test("gives up after a quiet time with what the catalogue says", async () => {
  const result = await wait([[model("a", { ready: false, reason: "the engine is loading" })]]);
  expect(result.reason).toBe("the engine is loading");
  expect(result.nowMs).toBeGreaterThan(QUIET_LIMIT_MS);
  expect((await wait([[model("a", { source: "offered" })]])).reason).toMatch(/"a" is offered but not granted/);
});

test("asks no provider, which would cost money, and serves with what they offer where no engine is to come", async () => {
  const cloud = model("gpt");
  const target = { ...cloud.targets[0], node: null, provider: "cloud" } as ModelView["targets"][number];
  const catalogue = [[{ ...cloud, targets: [target] }]];
  expect(await wait(catalogue, {}, "No inference server was found.")).toMatchObject({
    models: ["gpt"],
    reason: null,
    probed: [],
  });
  expect((await wait(catalogue)).nowMs).toBeGreaterThan(QUIET_LIMIT_MS);
});
