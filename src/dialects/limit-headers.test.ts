import { expect, test } from "vitest";
import { limitHeaders } from "./limit-headers.ts";

const NOW_MS = Date.UTC(2026, 10, 30, 12, 0, 0, 1);
const rate = (resetMs: number) => ({ limit: 60, remaining: 5, resetMs });

test("limitHeaders() speaks each dialect's own", () => {
  const rates = { requests: rate(61_000), tokens: rate(120) };
  expect(limitHeaders("openai", rates, NOW_MS)).toEqual([
    ...[
      "x-ratelimit-limit-requests",
      "60",
      "x-ratelimit-remaining-requests",
      "5",
      "x-ratelimit-reset-requests",
      "1m1s",
    ],
    ...["x-ratelimit-limit-tokens", "60", "x-ratelimit-remaining-tokens", "5", "x-ratelimit-reset-tokens", "120ms"],
  ]);
  expect(limitHeaders("anthropic", { requests: null, tokens: rate(6000) }, NOW_MS)).toEqual([
    ...["anthropic-ratelimit-tokens-limit", "60", "anthropic-ratelimit-tokens-remaining", "5"],
    ...["anthropic-ratelimit-tokens-reset", "2026-11-30T12:00:07Z"],
  ]);
  expect(limitHeaders("ollama", rates, NOW_MS)).toEqual([]);
});

test.each([
  [0, "0ms"],
  [999.5, "1s"],
  [1000, "1s"],
  [59_001, "1m0s"],
])("limitHeaders() writes %d ms as OpenAI does: %s", (resetMs, text) => {
  expect(limitHeaders("openai", { requests: rate(resetMs), tokens: null }, NOW_MS).at(-1)).toBe(text);
});
