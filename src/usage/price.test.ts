import { expect, test } from "vitest";
import { Prices } from "./price.ts";

const prices = new Prices([
  { model: "gpt-mini", inputMicros: 150_000, cachedMicros: 75_000, outputMicros: 600_000 },
  { model: "gpt-*", inputMicros: 2_500_000, cachedMicros: 1_250_000, outputMicros: 10_000_000 },
]);

test("a price is that of the first rule that fits", () => {
  expect(prices.find("gpt-mini")?.inputMicros).toBe(150_000);
  expect(prices.find("gpt-large")?.inputMicros).toBe(2_500_000);
  expect(prices.find("llama3")).toBeNull();
});

test("a cost is in whole micro-dollars, rounded up, cached input at its own price", () => {
  expect(prices.costOf("gpt-large", { tokensIn: 1_000_000, tokensInCached: 400_000, tokensOut: 100_000 })).toBe(
    600_000 * 2.5 + 400_000 * 1.25 + 1_000_000,
  );
  expect(prices.costOf("gpt-mini", { tokensIn: 1, tokensInCached: 0, tokensOut: 0 })).toBe(1);
  expect(prices.costOf("gpt-mini", { tokensIn: 3, tokensInCached: 9, tokensOut: 0 })).toBe(1);
  expect(prices.costOf("gpt-mini", { tokensIn: 0, tokensInCached: 0, tokensOut: 0 })).toBe(0);
  expect(prices.costOf("llama3", { tokensIn: 1e9, tokensInCached: 0, tokensOut: 1e9 })).toBe(0);
});
