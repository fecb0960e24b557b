import { describe, expect, test } from "vitest";
import { scanBody } from "../../lib/json-scan.ts";
import { countTokensBody, countTokensEstimate } from "./count-tokens.ts";

function estimate(body: unknown): number {
  return countTokensEstimate(scanBody(Buffer.from(JSON.stringify(body))));
}

describe("countTokensEstimate()", () => {
  test("counts system, messages and tools by their bytes, and nothing else", () => {
    const messages = [{ role: "user", content: "x".repeat(400) }];
    const alone = estimate({ model: "m", messages });
    expect(alone).toBeGreaterThanOrEqual(100);
    expect(alone).toBeLessThan(120);
    expect(estimate({ model: "m".repeat(200), metadata: { user_id: "u".repeat(500) }, messages })).toBe(alone);
    expect(estimate({ system: "s".repeat(400), messages })).toBeGreaterThanOrEqual(alone + 100);
    expect(estimate({ tools: [{ description: "s".repeat(400) }], messages })).toBeGreaterThanOrEqual(alone + 100);
  });

  test("counts an image as an image, not as its base64, wherever it stands", () => {
    const image = { type: "image", source: { type: "base64", media_type: "image/png", data: "A".repeat(1_000_000) } };
    const one = estimate({ messages: [{ role: "user", content: [image] }] });
    expect(one).toBeGreaterThan(1500);
    expect(one).toBeLessThan(2000);
    const inside = { type: "tool_result", tool_use_id: "t", content: [image, image] };
    expect(estimate({ messages: [{ role: "user", content: [inside] }] })).toBeLessThan(4000);
  });

  test("counts a document in plain text as text", () => {
    const document = { type: "document", source: { type: "text", media_type: "text/plain", data: "A".repeat(8000) } };
    expect(estimate({ messages: [{ role: "user", content: [document] }] })).toBeGreaterThan(2000);
  });

  test("says something of anything", () => {
    expect(estimate({})).toBe(0);
    expect(estimate({ messages: 5, system: null, tools: {} })).toBeGreaterThan(0);
  });
});

test("countTokensBody() is the dialect's answer", () => {
  expect(countTokensBody(7).toString()).toBe('{"input_tokens":7}');
});
