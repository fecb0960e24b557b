import { describe, expect, it } from "vitest";
import { drillRecord, NO_FIGURES } from "./__fixtures__/drill-record.ts";
import { judgeProofs, resultOf } from "./proofs.ts";
import type { DrillRecord } from "./record.ts";

// A drill that cannot fail proves nothing: each way in which failover can be broken, seeded here, must turn the result.

const verdictOf = (record: DrillRecord, number: number) => judgeProofs(record)[number - 1]?.verdict;
const good = drillRecord();
const during = (fields: Partial<DrillRecord["figures"]["during"]>) => ({
  figures: { ...good.figures, during: { ...good.figures.during, ...fields } },
});

describe("judgeProofs()", () => {
  it("passes all eight where everything went as it should", () => {
    expect(judgeProofs(good).map(({ verdict }) => verdict)).toEqual(Array(8).fill("passed"));
    expect(resultOf(judgeProofs(good))).toBe("passed");
  });

  it.each<[string, number, Partial<DrillRecord>]>([
    ["a request got an error", 2, during({ errors: 1 })],
    ["nothing was asked", 2, during(NO_FIGURES)],
    ["what should be blocked answered", 2, { leaks: 1 }],
    ["requests met the fault and none was moved", 3, { times: { ...good.times, switches: 0 } }],
    ["moving took too long", 3, { times: { ...good.times, switchMaxMs: 5_001 } }],
    ["no alert was raised", 4, { alerts: [] }],
    [
      "an alert was raised and not delivered",
      4,
      {
        alerts: (good.alerts ?? []).map((one) => ({
          ...one,
          deliveries: one.deliveries.map((to) => ({ ...to, ok: false })),
        })),
      },
    ],
    ["the alert that the plan asks for is missing", 4, { rules: { ...good.rules, alerts: ["contingency-on"] } }],
    [
      "no alerts are set up and the plan names some",
      4,
      { alerts: null, rules: { ...good.rules, alerts: ["contingency-on"] } },
    ],
    [
      "an answer was judged bad",
      5,
      {
        samples: good.samples.map((one) => ({
          ...one,
          judgement: { ok: false, note: "nonsense", by: "ada", atMs: 1 },
        })),
      },
    ],
    [
      "an answer is not what the plan expects",
      5,
      { samples: good.samples.map((one) => ({ ...one, expected: false, judgement: null })) },
    ],
    ["what was blocked never came back", 6, { times: { ...good.times, recoveryMs: null } }],
    ["it came back and fell over again", 6, { times: { ...good.times, relapses: 1 } }],
    ["it came back too seldom", 6, { rules: { ...good.rules, recoveries: 19 } }],
    ["the block was not lifted", 7, { unblockedAtMs: null }],
    [
      "what was blocked does not answer a probe",
      7,
      { probes: [{ target: "provider/openai", ok: false, reason: "401" }] },
    ],
    ["nothing could be probed", 7, { probes: [] }],
  ])("fails the drill when %s", (_what, number, fields) => {
    const record = drillRecord(fields);
    expect(verdictOf(record, number)).toBe("failed");
    expect(resultOf(judgeProofs(record))).toBe("failed");
  });

  it("waits for a person with the quality of answers, and says of which workflows", () => {
    const record = drillRecord({ samples: good.samples.map((one) => ({ ...one, judgement: null })) });
    const proof = judgeProofs(record)[4];
    expect(proof).toMatchObject({ verdict: "open" });
    expect(proof?.words.join(" ")).toContain("letters");
    expect(resultOf(judgeProofs(record))).toBe("passed");
  });

  it("lets a person overrule what the plan expects", () => {
    const record = drillRecord({ samples: good.samples.map((one) => ({ ...one, expected: false })) });
    expect(verdictOf(record, 5)).toBe("passed");
  });

  it("does not claim what it could not show", () => {
    const unused = { ...good.figures, before: { ...good.figures.before, servedBy: { "node/forge": 10 } } };
    expect(verdictOf(drillRecord({ figures: unused }), 6)).toBe("not-shown");
    expect(verdictOf(drillRecord({ times: { ...good.times, detectMs: null, switches: 0 } }), 3)).toBe("not-shown");
    expect(verdictOf(drillRecord({ alerts: null }), 4)).toBe("not-shown");
    expect(verdictOf(drillRecord({ checks: [{ ok: false, text: "outside", forced: true }] }), 1)).toBe("not-shown");
    expect(verdictOf(drillRecord({ samples: [] }), 5)).toBe("not-shown");
    expect(verdictOf(drillRecord({ owner: null }), 8)).toBe("open");
  });
});
