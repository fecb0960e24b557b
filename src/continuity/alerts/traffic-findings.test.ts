import { describe, expect, test } from "vitest";
import { DEFAULT_RULES } from "./rules.ts";
import { TrafficFindings } from "./traffic-findings.ts";

const never = () => false;

function setUp() {
  const traffic = new TrafficFindings(DEFAULT_RULES);
  return {
    traffic,
    serve(
      count: number,
      atMs: number,
      fields: { model?: string | null; isFailure?: boolean; firstTokenMs?: number } = {},
    ) {
      const { model = "qwen3", isFailure = false, firstTokenMs = null } = fields;
      for (let index = 0; index < count; index++) traffic.ended({ model, isFailure, firstTokenMs }, atMs);
    },
    find: (atMs: number, isFiring: (rule: string, key: string) => boolean = never) => [...traffic.find(isFiring, atMs)],
  };
}

describe("TrafficFindings", () => {
  test("finds a share of failures above the threshold, of the model and of all", () => {
    const { serve, find } = setUp();
    serve(18, 0);
    serve(2, 0, { isFailure: true });
    expect(find(1_000)).toMatchObject([
      { rule: "error-ratio", key: "", summary: "2 of 20 requests failed within 5 min" },
      { rule: "error-ratio", key: "qwen3", labels: { model: "qwen3" } },
    ]);
  });

  test("concludes nothing from few requests", () => {
    const { serve, find } = setUp();
    serve(19, 0, { isFailure: true, firstTokenMs: 60_000 });
    expect(find(1_000)).toEqual([]);
  });

  test("finds a model that fails although it is a small part of the whole", () => {
    const { serve, find } = setUp();
    serve(1_000, 0);
    serve(20, 0, { model: "rare", isFailure: true });
    expect(find(1_000).map(({ key }) => key)).toEqual(["rare"]);
  });

  test("a share at the threshold is fine; what fires is over only well below it", () => {
    const { serve, find } = setUp();
    serve(95, 0);
    serve(5, 0, { isFailure: true });
    expect(find(1_000)).toEqual([]);
    expect(find(1_000, () => true)).toHaveLength(2);
    serve(16, 0);
    expect(find(1_000, () => true)).toEqual([]);
  });

  test("forgets what is older than the window", () => {
    const { serve, find } = setUp();
    serve(100, 0, { isFailure: true });
    expect(find(289_000)).toHaveLength(2);
    expect(find(300_000)).toEqual([]);
    // However long nothing came.
    expect(find(86_400_000)).toEqual([]);
  });

  test("finds slow first tokens by the 95th percentile, never reported faster than they were", () => {
    const { serve, find } = setUp();
    serve(96, 0, { firstTokenMs: 100 });
    serve(4, 0, { firstTokenMs: 30_000 });
    expect(find(1_000)).toEqual([]);
    serve(3, 0, { firstTokenMs: 30_000 });
    const [finding] = find(1_000);
    expect(finding).toMatchObject({ rule: "slow-first-token", key: "qwen3" });
    const seconds = Number(/takes ([\d.]+) s/.exec(finding?.summary ?? "")?.[1]);
    expect(seconds).toBeGreaterThanOrEqual(30);
    expect(seconds).toBeLessThanOrEqual(36);
  });

  test("takes times beyond its last bin for the last", () => {
    const { serve, find } = setUp();
    serve(20, 0, { firstTokenMs: 10_000_000 });
    expect(find(1_000)).toMatchObject([{ rule: "slow-first-token" }]);
  });

  test("finds a target that requests flee from", () => {
    const { traffic, find } = setUp();
    for (let index = 0; index < 10; index++) traffic.failover("node/forge", 0);
    expect(find(1_000)).toEqual([]);
    traffic.failover("node/forge", 0);
    traffic.failover("node/anvil", 0);
    expect(find(1_000)).toMatchObject([
      { rule: "failovers", key: "node/forge", summary: "11 requests left node/forge for another target within 5 min" },
    ]);
  });

  test("counts 200 names apart, and all others in the whole", () => {
    const { serve, find } = setUp();
    for (let index = 0; index < 5_000; index++) serve(1, 0, { model: `m-${index}` });
    serve(300, 0, { model: "one-too-many", isFailure: true });
    expect(find(1_000).map(({ key }) => key)).toEqual([""]);
    // Names that were not seen for a window make room.
    find(400_000);
    serve(20, 400_000, { model: "one-too-many", isFailure: true });
    expect(find(400_000).map(({ key }) => key)).toEqual(["", "one-too-many"]);
  });
});
