import { describe, expect, test } from "vitest";
import { parseChatRequest, parseCompletionRequest, parseEmbeddingRequest } from "./request.ts";

const messages = [{ role: "user", content: "hi" }];

describe("parseChatRequest()", () => {
  test("reads what is asked and fills in llama-server's defaults", () => {
    expect(parseChatRequest({ messages })).toEqual({
      model: null,
      messages,
      isStream: false,
      includeUsage: false,
      maxTokens: null,
      stops: [],
      sampling: { temperature: 0.8, topP: 0.95, topK: 40, minP: 0.05, yieldEogToken: true },
      frequencyPenalty: 0,
      presencePenalty: 0,
    });
    const asked = parseChatRequest({
      model: "m",
      messages,
      stream: true,
      stream_options: { include_usage: true },
      max_tokens: 5,
      max_completion_tokens: 7,
      stop: "end",
      temperature: 0,
      seed: -3,
    });
    expect(asked).toMatchObject({
      isStream: true,
      includeUsage: true,
      maxTokens: 7,
      stops: ["end"],
      sampling: { seed: 3 },
    });
  });

  test("joins text parts, takes `developer` as `system` and a missing content as empty", () => {
    const parsed = parseChatRequest({
      messages: [
        {
          role: "developer",
          content: [
            { type: "text", text: "a" },
            { type: "text", text: "b" },
          ],
        },
        { role: "assistant", content: null },
        { role: "user", content: "c" },
      ],
    });
    expect(parsed.messages).toEqual([
      { role: "system", content: "ab" },
      { role: "assistant", content: "" },
      { role: "user", content: "c" },
    ]);
  });

  test.each([
    ["tools", [{ type: "function" }]],
    ["response_format", { type: "json_object" }],
    ["n", 2],
    ["logprobs", true],
    ["logit_bias", { 1: 5 }],
  ])("refuses %s, which it cannot honour, by name", (param, value) => {
    expect(() => parseChatRequest({ messages, [param]: value })).toThrow(
      expect.objectContaining({ code: "field_refused", status: 400, param }),
    );
  });

  test.each([
    ["tools", []],
    ["response_format", { type: "text" }],
    ["n", 1],
    ["logprobs", false],
    ["user", "somebody"],
    ["metadata", { a: "b" }],
  ])("accepts a harmless %s", (field, value) => {
    expect(parseChatRequest({ messages, [field]: value }).messages).toEqual(messages);
  });

  test.each([
    [{}, "messages"],
    [{ messages: [] }, "messages"],
    [{ messages: [{ role: "tool", content: "x" }] }, "messages.0.role"],
    [{ messages: [{ role: "user", content: [{ type: "image_url" }] }] }, "messages.0.content"],
    [{ messages, max_tokens: 0 }, "max_tokens"],
    [{ messages, temperature: "hot" }, "temperature"],
    [{ messages, stop: ["a".repeat(1000)] }, "stop.0"],
  ])("names the field that is wrong in %j", (body, param) => {
    expect(() => parseChatRequest(body)).toThrow(expect.objectContaining({ code: "body_invalid", param }));
  });

  test.each([null, [], "text", 1])("refuses %j, which is not an object", (body) => {
    expect(() => parseChatRequest(body)).toThrow(expect.objectContaining({ code: "body_invalid" }));
  });
});

describe("parseCompletionRequest()", () => {
  test("takes one prompt as text or tokens, also in an array of one", () => {
    expect(parseCompletionRequest({ prompt: "a" }).prompt).toBe("a");
    expect(parseCompletionRequest({ prompt: ["a"] }).prompt).toBe("a");
    expect(parseCompletionRequest({ prompt: [1, 2] }).prompt).toEqual([1, 2]);
    expect(parseCompletionRequest({ prompt: [[1, 2]] }).prompt).toEqual([1, 2]);
  });

  test("refuses several prompts", () => {
    expect(() => parseCompletionRequest({ prompt: ["a", "b"] })).toThrow(expect.objectContaining({ param: "prompt" }));
  });
});

describe("parseEmbeddingRequest()", () => {
  test("takes a text, a token list, or a list of either", () => {
    expect(parseEmbeddingRequest({ input: "a" }).inputs).toEqual(["a"]);
    expect(parseEmbeddingRequest({ input: [1, 2] }).inputs).toEqual([[1, 2]]);
    expect(parseEmbeddingRequest({ input: ["a", "b"] }).inputs).toEqual(["a", "b"]);
    expect(parseEmbeddingRequest({ input: [[1], [2]], encoding_format: "base64" })).toMatchObject({
      inputs: [[1], [2]],
      encoding: "base64",
    });
  });

  test.each([[""], [[]], [[""]], [{}]])("refuses %j as input", (input) => {
    expect(() => parseEmbeddingRequest({ input })).toThrow(
      expect.objectContaining({ code: "body_invalid", param: expect.stringMatching(/^input/) }),
    );
  });
});
