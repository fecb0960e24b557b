import { describe, expect, test } from "vitest";
import { PosternError } from "../../errors.ts";
import { scanBody } from "../../lib/json-scan.ts";
import { codecFor } from "../codecs.ts";
import { modelItemBody, modelListBody } from "./models.ts";

const CONTEXT = {
  id: "r",
  model: "m",
  createdAtMs: 0,
  wantsUsage: false,
  estimatedTokensIn: 1,
};

const chat = codecFor("openai.chat");
const embeddings = codecFor("openai.embeddings");

describe("readAnswer()", () => {
  test("takes the engine's word for usage", () => {
    const body =
      '{"id":"x","choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":5}}}';
    expect(chat.readAnswer(Buffer.from(body), 100)).toEqual({
      tokensIn: 9,
      tokensInCached: 5,
      tokensOut: 2,
      tokensReasoning: null,
      isEstimated: false,
    });
    expect(
      embeddings.readAnswer(
        Buffer.from('{"data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":3,"total_tokens":3}}'),
        1,
      ),
    ).toEqual({
      tokensIn: 3,
      tokensInCached: 0,
      tokensOut: 0,
      tokensReasoning: null,
      isEstimated: false,
    });
  });

  test("estimates, flagged, where the engine says nothing usable", () => {
    for (const usage of ["null", "{}", '"x"', '{"prompt_tokens":-1}', '{"prompt_tokens":1.5}']) {
      const body = Buffer.from(`{"choices":[],"usage":${usage}}`);
      expect(chat.readAnswer(body, 40)).toEqual({
        tokensIn: 10,
        tokensInCached: 0,
        tokensOut: Math.ceil(body.length / 4),
        tokensReasoning: null,
        isEstimated: true,
      });
    }
    expect(embeddings.readAnswer(Buffer.from('{"data":[]}'), 40)).toMatchObject({
      tokensIn: 10,
      tokensOut: 0,
      tokensReasoning: null,
      isEstimated: true,
    });
  });

  test.each([
    "",
    "hello",
    "[]",
    '{"choices":[]',
    '{"error":{"message":"x"}}',
    '{"choices":[],"error":{"message":"x"}}',
    '{"data":[]}',
    '{"choices":{}}',
    '{"choices":[]}x',
  ])("says that %j is no answer", (body) => {
    expect(chat.readAnswer(Buffer.from(body), 0)).toBeNull();
  });
});

describe("the stream's own words", () => {
  test("are an error event without [DONE], and a comment", () => {
    const error = new PosternError("engine_cut", {
      message: "line\nbreak",
      hint: "secret hint",
      detail: { host: "10.0.0.1" },
    });
    expect(chat.inBandError(error, CONTEXT).toString()).toBe(
      'data: {"error":{"message":"line\\nbreak","type":"server_error","param":null,"code":"engine_cut"}}\n\n',
    );
    const facts = chat.inspect(scanBody(Buffer.from('{"model":"m","messages":[]}')));
    expect(chat.keepAlive(facts, 0).toString()).toBe(": ping\n\n");
  });
});

test("codecFor() knows the operations that go to targets and no other", () => {
  expect(() => codecFor("openai.models")).toThrow(TypeError);
  expect(codecFor("openai.completions").dialect).toBe("openai-completions");
});

const UNKNOWN = { contextLength: null, sizeBytes: null, quantization: null, capabilities: [], isLoaded: null };

test("model lists are sorted and say nothing of machines", () => {
  const models = [
    { ...UNKNOWN, id: "b", createdAtMs: 1_763_600_000_999 },
    { ...UNKNOWN, id: "a/x", createdAtMs: 0 },
  ];
  expect(JSON.parse(modelListBody(models).toString())).toEqual({
    object: "list",
    data: [
      { id: "a/x", object: "model", created: 0, owned_by: "postern" },
      { id: "b", object: "model", created: 1_763_600_000, owned_by: "postern" },
    ],
  });
  expect(JSON.parse(modelItemBody(models[1]!).toString())).toEqual({
    id: "a/x",
    object: "model",
    created: 0,
    owned_by: "postern",
  });
});
