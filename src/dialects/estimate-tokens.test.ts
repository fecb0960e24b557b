import { describe, expect, test } from "vitest";
import { scanBody } from "../lib/json-scan.ts";
import type { RequestFacts } from "./dialect.ts";
import { ASSUMED_OUTPUT_TOKENS, estimateTokens } from "./estimate-tokens.ts";

const FACTS: RequestFacts = {
  model: "m",
  isStream: false,
  wantsUsage: false,
  hasManyChoices: false,
  removedFields: [],
  clampedFields: [],
};

function estimate(body: unknown, facts: Partial<RequestFacts> = {}, canStream = true) {
  return estimateTokens(scanBody(Buffer.from(JSON.stringify(body))), { ...FACTS, ...facts }, { canStream });
}

describe("estimateTokens() takes for output", () => {
  test.each([
    [{}, ASSUMED_OUTPUT_TOKENS],
    [{ max_tokens: 7 }, 7],
    [{ max_tokens: 0 }, 0],
    [{ max_completion_tokens: 9, max_tokens: 7 }, 9],
    [{ max_output_tokens: 8 }, 8],
    [{ options: { num_predict: 11 } }, 11],
    [{ options: { num_predict: -1 } }, ASSUMED_OUTPUT_TOKENS],
    [{ max_tokens: 7, n: 3 }, 21],
    [{ max_tokens: 7, n: -3 }, 7],
    [{ max_tokens: 1, n: 1_000_000 }, 1024],
    [{ max_tokens: "7" }, ASSUMED_OUTPUT_TOKENS],
  ])("of %j: %i", (body, expected) => {
    expect(estimate(body).tokensOut).toBe(expected);
  });

  test("what the field policy leaves of it", () => {
    const clampedFields = [
      { name: "max_tokens", to: 100 },
      { name: "n", to: 2 },
    ];
    expect(estimate({ max_tokens: 5000, n: 9 }, { clampedFields }).tokensOut).toBe(200);
  });

  test("nothing where an operation writes nothing", () => {
    expect(estimate({ input: "x" }, {}, false).tokensOut).toBe(0);
  });
});

describe("estimateTokens() takes for input", () => {
  const image = Buffer.alloc(300_000, 1).toString("base64");

  test.each([
    [
      "an image as a data: URL",
      { messages: [{ content: [{ image_url: { url: `data:image/png;base64,${image}` } }] }] },
    ],
    ["an image of Ollama's", { messages: [{ content: "hi", images: [image] }] }],
    ["a source of Anthropic's", { messages: [{ content: [{ source: { type: "base64", data: image } }] }] }],
  ])("about 1,600 tokens for %s", (_what, body) => {
    expect(estimate(body).tokensIn).toBeGreaterThanOrEqual(1600);
    expect(estimate(body).tokensIn).toBeLessThan(1700);
  });

  test("four bytes to a token for text, however long, and whatever script", () => {
    for (const text of ["word ".repeat(10_000), "漢字".repeat(10_000)]) {
      expect(estimate({ prompt: text }).tokensIn).toBeGreaterThan(Buffer.byteLength(text) / 4);
    }
  });

  test("what the dialect says of a recording", () => {
    expect(estimate({ a: "x".repeat(9000) }, { textBytes: 40 }).tokensIn).toBe(10);
  });
});
