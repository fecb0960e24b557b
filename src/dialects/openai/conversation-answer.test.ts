import { describe, expect, test } from "vitest";
import type { AnswerContext } from "../conversation.ts";
import { openAiChatConversation as chat } from "./conversation.ts";

const CONTEXT: AnswerContext = {
  id: "a-b",
  model: "public",
  createdAtMs: 5000,
  wantsUsage: false,
  estimatedTokensIn: 5,
};

describe("whole answers", () => {
  const body = {
    id: "engine's",
    choices: [
      {
        index: 0,
        finish_reason: "stop",
        message: {
          role: "assistant",
          content: "hi",
          reasoning: "hm",
          tool_calls: [
            { id: "c", type: "function", function: { name: "f", arguments: "" } },
            { function: { name: "g", arguments: { a: 1 } } },
          ],
        },
        logprobs: { content: [{ token: "hi", logprob: -1, bytes: null, top_logprobs: [] }] },
      },
    ],
    usage: { prompt_tokens: 3, completion_tokens: 2 },
  };

  test("are read with tools, reasoning, logprobs and usage", () => {
    const answer = chat.readAnswer(body);
    expect(answer).toMatchObject({
      finish: "tool_calls",
      stopSequence: null,
      usage: { tokensIn: 3, tokensOut: 2, isEstimated: false },
      logprobs: [{ token: "hi", logprob: -1, bytes: null, top: [] }],
    });
    expect(answer?.parts).toEqual([
      { type: "reasoning", text: "hm" },
      { type: "text", text: "hi" },
      { type: "tool_call", id: "c", name: "f", argumentsJson: "{}" },
      { type: "tool_call", id: expect.stringMatching(/^call_/), name: "g", argumentsJson: '{"a":1}' },
    ]);
  });

  test("are written so that they read the same", () => {
    const answer = chat.readAnswer(body)!;
    const written = chat.writeAnswer(answer, CONTEXT);
    expect(written).toMatchObject({
      id: "chatcmpl-ab",
      object: "chat.completion",
      created: 5,
      model: "public",
      usage: { prompt_tokens: 3, completion_tokens: 2, total_tokens: 5 },
    });
    expect(chat.readAnswer(written)).toEqual(answer);
  });

  test.each([
    {},
    { choices: [] },
    { choices: {} },
    { choices: [null] },
    { choices: [{ message: "x" }] },
    { choices: [{ message: {}, finish_reason: "error" }] },
    { choices: [{ message: { content: "x" } }], error: { message: "m", code: 429 } },
    { error: "x" },
  ])("are not found in %j", (value) => {
    expect(chat.readAnswer(value)).toBeNull();
  });
});

describe("errors of engines", () => {
  test.each([
    [
      400,
      {
        error: {
          code: 400,
          message: "the request exceeds the available context size",
          type: "exceed_context_size_error",
        },
      },
      "context_length",
      400,
    ],
    [
      400,
      { error: { message: "This model's maximum context length is 4096 tokens.", type: "BadRequestError", code: 400 } },
      "context_length",
      400,
    ],
    [400, { error: { message: "x", code: "context_length_exceeded" } }, "context_length", 400],
    [
      500,
      {
        error: {
          message:
            "Trying to keep the first 9 tokens when context the overflows. However, the model is loaded with context length of only 8 tokens",
        },
      },
      "context_length",
      400,
    ],
    [503, { error: { code: 503, message: "Loading model", type: "unavailable_error" } }, "overloaded", 503],
    [429, { error: { message: "slow down", type: "requests" } }, "rate_limit", 429],
    [429, { error: { message: "no money", code: "insufficient_quota" } }, "quota", 429],
    [401, { error: "Unauthorized" }, "auth", 401],
    [404, { error: { message: 'model "x" not found' } }, "not_found", 404],
    [422, { detail: "bad" }, "invalid", 422],
    [400, { object: "error", message: "old vLLM", code: 400 }, "invalid", 400],
    [500, undefined, "other", 500],
    [500, { error: { message: { a: 1 }, type: 7, code: {} } }, "other", 500],
    [200, { error: { message: "m", code: 429 } }, "rate_limit", 429],
    [200, { error: { message: "m", type: "invalid_request_error" } }, "invalid", 400],
    [0, { error: { message: "m" } }, "other", 502],
  ])("%s %j is %s", (status, body, kind, said) => {
    expect(chat.readError(status, body)).toMatchObject({ kind, status: said });
  });

  test("keep their words, within bounds", () => {
    expect(chat.readError(422, { detail: "bad" }).message).toBe("bad");
    expect(chat.readError(500, null).message).toBe("The inference server reported an error");
    expect(chat.readError(500, { error: "x".repeat(10_000) }).message).toHaveLength(2048);
    expect(chat.writeError({ status: 429, kind: "quota", message: "m" }, CONTEXT)).toEqual({
      error: { message: "m", type: "insufficient_quota", param: null, code: "insufficient_quota" },
    });
  });
});
