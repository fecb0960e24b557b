import { describe, expect, test } from "vitest";
import { scanBody } from "../../lib/json-scan.ts";
import { classify } from "../classify.ts";
import { codecFor } from "../codecs.ts";

const codec = codecFor("openai.rerank");

function scan(body: unknown) {
  return scanBody(Buffer.from(JSON.stringify(body)));
}

describe("reranking", () => {
  test("is not there unless the operator asks for it", () => {
    for (const path of ["/v1/rerank", "/api/v1/rerank"]) {
      expect(() => classify("POST", path)).toThrow(expect.objectContaining({ code: "unknown_operation" }));
      expect(classify("POST", path, new Set(["openai.rerank"])).operation.id).toBe("openai.rerank");
    }
    expect(() => classify("POST", "/rerank", new Set(["openai.rerank"]))).toThrow();
  });

  test("passes texts, and nothing that would be fetched", () => {
    const body = scan({ model: "m", query: "q", documents: ["a", "b"], top_n: 1 });
    const facts = codec.inspect(body);
    expect(facts).toMatchObject({ model: "m", isStream: false, removedFields: [] });
    expect(codec.rewrite(body, facts, { model: "m", forceUsage: true, engineKind: "vllm" })).toBe(body.bytes);
    for (const documents of [[{ image_url: "http://h/" }], [[{ url: "http://h/" }]], "a"]) {
      expect(() => codec.inspect(scan({ model: "m", query: "q", documents }))).toThrow();
    }
    expect(() => codec.inspect(scan({ model: "m", query: { content: [] }, documents: [] }))).toThrow();
  });

  test.each([
    [{ prompt_tokens: 7, total_tokens: 7 }, 7, false],
    [{ total_tokens: 9 }, 9, false],
    [undefined, 10, true],
  ])("is metered by %j", (usage, tokensIn, isEstimated) => {
    const answer = { results: [{ index: 0, relevance_score: 0.5 }], usage };
    expect(codec.readAnswer(Buffer.from(JSON.stringify(answer)), 40)).toMatchObject({
      tokensIn,
      tokensOut: 0,
      isEstimated,
    });
  });

  test.each([{}, { data: [] }, { results: {} }, { results: [], error: { message: "x" } }])(
    "finds no answer in %j",
    (answer) => {
      expect(codec.readAnswer(Buffer.from(JSON.stringify(answer)), 40)).toBeNull();
    },
  );
});
