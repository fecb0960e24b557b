import { describe, expect, it } from "vitest";
import { drillPlan } from "./__fixtures__/drill-record.ts";
import { type CheckFacts, checkStart, refusals } from "./checks.ts";

const FACTS: CheckFacts = {
  nowMs: Date.UTC(2026, 11, 1, 4),
  running: null,
  contingency: null,
  blocked: [{ label: "provider/openai", isReady: true }],
  models: [{ name: "gpt", others: [{ label: "node/forge", isReady: true }] }],
  unknownModels: [],
  unknownWorkflows: [],
  storeTrouble: null,
  systemTrouble: null,
};
const day = { from: 12 * 60, to: 13 * 60, days: null };

describe("checkStart()", () => {
  it("lets a drill start when everything is there", () => {
    expect(refusals(checkStart(drillPlan(), FACTS), false)).toEqual([]);
  });

  it.each<[string, Partial<CheckFacts>, Parameters<typeof drillPlan>[0], boolean]>([
    ["another drill runs", { running: "x" }, {}, false],
    ["records cannot be kept", { storeTrouble: "full" }, {}, false],
    ["contingency is on", { contingency: "outage" }, {}, true],
    ["nothing else can answer", { models: [{ name: "gpt", others: [] }] }, {}, true],
    [
      "what else could answer is away",
      { models: [{ name: "gpt", others: [{ label: "node/forge", isReady: false }] }] },
      {},
      true,
    ],
    ["what it blocks is away already", { blocked: [{ label: "provider/openai", isReady: false }] }, {}, true],
    ["nothing fits the scope", { blocked: [] }, {}, false],
    ["it is outside its window", {}, { window: day }, true],
    ["a prompt asks for a model that is not there", { unknownModels: ["x"] }, {}, false],
    ["a prompt names a workflow without a key", { unknownWorkflows: ["x"] }, {}, false],
    ["the system cannot block", { systemTrouble: "no nft" }, { block: "system" }, false],
  ])("refuses when %s", (_what, facts, plan, canForce) => {
    const checks = checkStart(drillPlan(plan), { ...FACTS, ...facts });
    expect(refusals(checks, false)).toHaveLength(1);
    expect(refusals(checks, true)).toHaveLength(canForce ? 0 : 1);
  });
});
