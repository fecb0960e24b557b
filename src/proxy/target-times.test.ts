import { expect, test } from "vitest";
import { PlayedTarget } from "../../test/support/played-target.ts";
import { DEFAULT_TIMEOUTS } from "../config/defaults.ts";
import { betweenTokensLimitMs, firstTokenLimitMs } from "./target-times.ts";

const CLOUD = Object.assign(new PlayedTarget("m", "cloud"), {
  isLoaded: null,
  times: { firstTokenMs: 15_000, betweenTokensMs: 60_000, wholeMs: 300_000 },
});

test("a target's own times count, for a stream and for an answer in one piece", () => {
  expect(firstTokenLimitMs(CLOUD, true, DEFAULT_TIMEOUTS)).toBe(15_000);
  expect(firstTokenLimitMs(CLOUD, false, DEFAULT_TIMEOUTS)).toBe(300_000);
  expect(betweenTokensLimitMs(CLOUD, DEFAULT_TIMEOUTS)).toBe(60_000);
  expect(firstTokenLimitMs(CLOUD, false, { ...DEFAULT_TIMEOUTS, totalMs: 1_000 })).toBe(1_000);
});

test("an engine gets the gateway's times, more where its model has to be loaded", () => {
  const engine = new PlayedTarget("m", "forge");
  expect(firstTokenLimitMs(engine, true, DEFAULT_TIMEOUTS)).toBe(60_000);
  expect(betweenTokensLimitMs(engine, DEFAULT_TIMEOUTS)).toBe(120_000);
  Object.assign(engine, { isLoaded: false, sizeBytes: 2 * 1024 ** 3 });
  expect(firstTokenLimitMs(engine, true, DEFAULT_TIMEOUTS)).toBe(300_000 + 2 * 20_000);
  expect(firstTokenLimitMs(engine, false, DEFAULT_TIMEOUTS)).toBe(DEFAULT_TIMEOUTS.totalMs);
});
