import { expect, test } from "vitest";
import { Prices } from "./price.ts";

const prices = new Prices([
  { model: "gpt-mini", inputMicros: 150_000, cachedMicros: 75_000, outputMicros: 600_000 },
  { model: "gpt-*", inputMicros: 2_500_000, cachedMicros: 1_250_000, outputMicros: 10_000_000 },
]);

test("a price is that of the first rule that fits", () => {
  expect(prices.find("gpt-mini", null)?.inputMicros).toBe(150_000);
  expect(prices.find("gpt-large", null)?.inputMicros).toBe(2_500_000);
  expect(prices.find("llama3", null)).toBeNull();
});

test("a cost is in whole micro-dollars, rounded up, cached input at its own price", () => {
  expect(prices.costOf("gpt-large", null, { tokensIn: 1_000_000, tokensInCached: 400_000, tokensOut: 100_000 })).toBe(
    600_000 * 2.5 + 400_000 * 1.25 + 1_000_000,
  );
  expect(prices.costOf("gpt-mini", null, { tokensIn: 1, tokensInCached: 0, tokensOut: 0 })).toBe(1);
  expect(prices.costOf("gpt-mini", null, { tokensIn: 3, tokensInCached: 9, tokensOut: 0 })).toBe(1);
  expect(prices.costOf("gpt-mini", null, { tokensIn: 0, tokensInCached: 0, tokensOut: 0 })).toBe(0);
  expect(prices.costOf("llama3", null, { tokensIn: 1e9, tokensInCached: 0, tokensOut: 1e9 })).toBe(0);
});

test("a price may be that of a place, so that one name is free at home and paid for in a cloud", () => {
  const mixed = new Prices([
    { model: "provider/cloud/*", inputMicros: 3_000_000, cachedMicros: 0, outputMicros: 0 },
    { model: "llama*", inputMicros: 1_000_000, cachedMicros: 0, outputMicros: 0 },
  ]);
  const usage = { tokensIn: 10, tokensInCached: 0, tokensOut: 0 };
  expect(mixed.costOf("llama3", "provider/cloud/llama-70b", usage)).toBe(30);
  expect(mixed.costOf("llama3", "node/forge/llama3", usage)).toBe(10);
  expect(mixed.costOf("qwen", "node/forge/qwen", usage)).toBe(0);
  // A rule for names does not reach places: `*` is every name, whatever runs it.
  expect(
    new Prices([{ model: "forge*", inputMicros: 1, cachedMicros: 1, outputMicros: 1 }]).find("x", "node/forge/x"),
  ).toBeNull();
});
