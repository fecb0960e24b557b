import { describe, expect, test } from "vitest";
import { explainLatency, type LatencyFacts } from "./explain-latency.ts";

function explain(facts: Partial<LatencyFacts>) {
  const well = { throughMs: 40, engineMs: 3, pingMs: 35, firstTokenMs: 300, busy: 0, slots: 4, queued: 0 };
  return explainLatency({ ...well, ...facts });
}

describe("explainLatency()", () => {
  test("is content with what is healthy between two places", () => {
    expect(explain({})).toMatchObject({ level: "good", side: "none" });
    expect(explain({ throughMs: 200, pingMs: 190 })).toMatchObject({ level: "fair", side: "none" });
    expect(explain({ throughMs: 500, pingMs: 400 })).toMatchObject({ level: "fair" });
  });

  test("blames the engine for its own time, and says how loaded it is", () => {
    expect(explain({ throughMs: 900, engineMs: 850, queued: 3 })).toMatchObject({ level: "alarm", side: "engine" });
    expect(explain({ throughMs: 900, engineMs: 850, queued: 3 }).text).toContain("overloaded, 3 wait");
    expect(explain({ throughMs: 900, engineMs: 850, busy: 4 }).text).toContain("all 4 slots");
    expect(explain({ throughMs: 900, engineMs: 850 }).text).toContain("something else uses its machine");
  });

  test("blames the network for what pings take too, and the machines for the rest", () => {
    expect(explain({ throughMs: 700, pingMs: 600 })).toMatchObject({ level: "alarm", side: "network" });
    expect(explain({ throughMs: 700, pingMs: 20 })).toMatchObject({ level: "alarm", side: "agent" });
    expect(explain({ throughMs: 700, engineMs: null, pingMs: null })).toMatchObject({
      level: "alarm",
      side: "network",
    });
  });

  test("notices slow first tokens on a quick way", () => {
    expect(explain({ firstTokenMs: 1400, busy: 2 })).toMatchObject({ level: "alarm", side: "engine" });
    expect(explain({ firstTokenMs: null })).toMatchObject({ level: "good" });
  });
});
