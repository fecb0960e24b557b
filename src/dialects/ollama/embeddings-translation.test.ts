import { describe, expect, test } from "vitest";
import { PosternError } from "../../errors.ts";
import { scanBody } from "../../lib/json-scan.ts";
import type { AttemptFormat } from "../attempt-format.ts";
import { codecFor } from "../codecs.ts";
import type { AnswerContext } from "../conversation.ts";
import { operationById } from "../operations.ts";
import { embeddingsTranslation } from "./embeddings-translation.ts";

const CONTEXT: AnswerContext = {
  id: "019a0000-0000-7000-8000-000000000000",
  model: "nomic",
  createdAtMs: 0,
  wantsUsage: false,
  estimatedTokensIn: 0,
};

function format(caller: string, engine: string): AttemptFormat {
  return embeddingsTranslation(operationById(caller)!, operationById(engine)!);
}

/** What the engine is asked for, or the refusal. */
function encode(one: AttemptFormat, caller: string, body: unknown): unknown {
  const scan = scanBody(Buffer.from(JSON.stringify(body)));
  const codec = codecFor(caller);
  try {
    const { body: sent, removedFields } = one.encode(scan, codec.inspect(scan), {
      model: "engine/m",
      forceUsage: false,
    });
    return { ...JSON.parse(sent.toString()), ...(removedFields.length === 0 ? {} : { removedFields }) };
  } catch (error) {
    if (error instanceof PosternError) return `${error.code} ${error.param ?? ""}`;
    throw error;
  }
}

function answer(one: AttemptFormat, body: unknown): unknown {
  const read = one.readAnswer(Buffer.from(typeof body === "string" ? body : JSON.stringify(body)), 40, CONTEXT);
  return read === null ? null : { body: JSON.parse(read.body.toString()), usage: read.usage };
}

const usage = (tokensIn: number, isEstimated = false): unknown => ({
  tokensIn,
  tokensInCached: 0,
  tokensOut: 0,
  tokensReasoning: null,
  isEstimated,
});

describe("an Ollama caller at an OpenAI engine", () => {
  test("is asked and answered in its own words", () => {
    const one = format("ollama.embed", "openai.embeddings");
    expect(one).toMatchObject({ isTranslated: true, operation: { path: "/v1/embeddings" } });
    const body = { model: "nomic", input: ["a", "b"], dimensions: 2, truncate: true, keep_alive: "5m" };
    expect(encode(one, "ollama.embed", body)).toEqual({
      model: "engine/m",
      input: ["a", "b"],
      encoding_format: "float",
      dimensions: 2,
      removedFields: ["truncate"],
    });
    const data = [
      { object: "embedding", index: 1, embedding: [3, 4] },
      { object: "embedding", index: 0, embedding: [1, 2] },
    ];
    expect(answer(one, { object: "list", data, usage: { prompt_tokens: 7, total_tokens: 7 } })).toEqual({
      body: {
        model: "nomic",
        embeddings: [
          [1, 2],
          [3, 4],
        ],
        prompt_eval_count: 7,
      },
      usage: usage(7),
    });
  });

  test("of the older kind gets one vector", () => {
    const one = format("ollama.embeddings", "openai.embeddings");
    expect(encode(one, "ollama.embeddings", { model: "nomic", prompt: "a" })).toMatchObject({ input: "a" });
    expect(answer(one, { data: [{ embedding: [1, 2] }] })).toEqual({
      body: { embedding: [1, 2] },
      usage: usage(10, true),
    });
  });

  test("gets numbers where the engine sends base64 all the same", () => {
    const one = format("ollama.embed", "openai.embeddings");
    encode(one, "ollama.embed", { model: "nomic", input: "a" });
    const embedding = Buffer.from(new Float32Array([0.5, -2]).buffer).toString("base64");
    expect(answer(one, { data: [{ index: 0, embedding }] })).toMatchObject({ body: { embeddings: [[0.5, -2]] } });
  });

  test("gets errors as text", () => {
    const one = format("ollama.embed", "openai.embeddings");
    const body = Buffer.from(
      '{"error":{"message":"too long","type":"invalid_request_error","code":"context_length_exceeded"}}',
    );
    expect(one.readError(400, "application/json", body, CONTEXT)).toEqual({
      status: 400,
      body: Buffer.from('{"error":"too long"}'),
    });
    expect(one.readError(401, "application/json", body, CONTEXT)).toBeNull();
    expect(one.readError(502, "text/html", Buffer.from("<html>"), CONTEXT)).toBeNull();
  });
});

describe("an OpenAI caller at Ollama", () => {
  test("is asked and answered in its own words; what does not fit is an error, not cut off", () => {
    const one = format("openai.embeddings", "ollama.embed");
    const body = { model: "nomic", input: "a", user: "u", dimensions: 2 };
    expect(encode(one, "openai.embeddings", body)).toEqual({
      model: "engine/m",
      input: "a",
      truncate: false,
      dimensions: 2,
      removedFields: ["user"],
    });
    expect(answer(one, { model: "x", embeddings: [[0.5, -2]], prompt_eval_count: 3 })).toEqual({
      body: {
        object: "list",
        data: [{ object: "embedding", index: 0, embedding: [0.5, -2] }],
        model: "nomic",
        usage: { prompt_tokens: 3, total_tokens: 3 },
      },
      usage: usage(3),
    });
  });

  // The openai package asks for base64 unless told otherwise, and decodes what comes.
  test("gets base64 where it asked for it, although the engine sends numbers", () => {
    const one = format("openai.embeddings", "ollama.embed");
    encode(one, "openai.embeddings", { model: "nomic", input: ["a"], encoding_format: "base64" });
    const { body } = answer(one, { embeddings: [[0.5, -2, 1e-3]] }) as { body: { data: { embedding: string }[] } };
    const bytes = Buffer.from(body.data[0]!.embedding, "base64");
    expect(new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))).toEqual(
      new Float32Array([0.5, -2, 1e-3]),
    );
  });

  test("gets errors with their kind", () => {
    const one = format("openai.embeddings", "ollama.embed");
    const body = Buffer.from('{"error":"the input length exceeds the context length"}');
    const reply = one.readError(500, "application/json; charset=utf-8", body, CONTEXT);
    expect(reply?.status).toBe(400);
    expect(JSON.parse(reply?.body.toString() ?? "").error).toMatchObject({ code: "context_length_exceeded" });
  });

  test.each([
    [{ input: [1, 2, 3] }, "untranslatable input"],
    [{ input: [[1, 2]] }, "untranslatable input"],
    [{ input: ["a"], encoding_format: "int8" }, "body_invalid encoding_format"],
    [{ input: ["a", null] }, "body_invalid input[1]"],
    [{ input: "a", dimensions: "many" }, "body_invalid dimensions"],
  ])("is refused for %j", (more, expected) => {
    expect(encode(format("openai.embeddings", "ollama.embed"), "openai.embeddings", { model: "m", ...more })).toBe(
      expected,
    );
  });

  test("may be one vector at a time only, where the engine is old", () => {
    const one = format("openai.embeddings", "ollama.embeddings");
    expect(encode(one, "openai.embeddings", { model: "m", input: ["a"] })).toEqual({ model: "engine/m", prompt: "a" });
    expect(answer(one, { embedding: [1] })).toMatchObject({ usage: usage(10, true) });
    expect(encode(one, "openai.embeddings", { model: "m", input: ["a", "b"] })).toBe("untranslatable input");
  });
});

describe("what is no answer", () => {
  test.each([
    "",
    "[]",
    '{"embeddings":[[1]],"error":"x"}',
    '{"embeddings":[[1]]}',
    '{"embeddings":[[1],[2],[3]]}',
    '{"embeddings":[[1],["x"]]}',
    '{"embeddings":[[1],{}]}',
    '{"embedding":[1]}',
  ])("of Ollama to two texts: %j", (body) => {
    const one = format("openai.embeddings", "ollama.embed");
    encode(one, "openai.embeddings", { model: "m", input: ["a", "b"] });
    expect(answer(one, body)).toBeNull();
  });

  test.each([
    '{"data":{}}',
    '{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}',
    '{"data":[{"index":0,"embedding":[1]},{"index":9,"embedding":[1]}]}',
    '{"data":[{"index":0,"embedding":[1]},{"index":0.5,"embedding":[1]}]}',
    '{"data":[{"index":"0","embedding":[1]},{"index":1,"embedding":[1]}]}',
    '{"data":[7,8]}',
    '{"data":[{"embedding":"x"},{"embedding":"x"}]}',
  ])("of OpenAI to two texts: %j", (body) => {
    const one = format("ollama.embed", "openai.embeddings");
    encode(one, "ollama.embed", { model: "m", input: ["a", "b"] });
    expect(answer(one, body)).toBeNull();
  });

  test("an operation that makes none has no translation", () => {
    expect(() => format("ollama.chat", "openai.embeddings")).toThrow(TypeError);
  });
});
