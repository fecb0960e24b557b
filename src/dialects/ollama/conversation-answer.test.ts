import { describe, expect, test } from "vitest";
import type { Answer, AnswerContext } from "../conversation.ts";
import { ollamaChatConversation as chat, ollamaGenerateConversation as generate } from "./conversation.ts";

const CONTEXT: AnswerContext = {
  id: "019a0000-0000-7000-8000-000000000000",
  model: "llama3",
  createdAtMs: Date.UTC(2026, 10, 20, 14),
  wantsUsage: false,
  estimatedTokensIn: 0,
};
const ANSWER: Answer = {
  parts: [
    { type: "reasoning", text: "hm" },
    { type: "text", text: "Hello" },
    { type: "tool_call", id: "a", name: "f", argumentsJson: '{"x":1}' },
  ],
  finish: "tool_calls",
  stopSequence: null,
  usage: { tokensIn: 26, tokensInCached: 0, tokensOut: 9, tokensReasoning: null, isEstimated: false },
  logprobs: [{ token: "Hello", logprob: -0.5, bytes: null, top: [{ token: "Hi", logprob: -1, bytes: [72, 105] }] }],
};
const WRITTEN = {
  model: "llama3",
  created_at: "2026-11-20T14:00:00.000Z",
  message: {
    role: "assistant",
    content: "Hello",
    thinking: "hm",
    tool_calls: [{ id: "a", function: { index: 0, name: "f", arguments: { x: 1 } } }],
  },
  done: true,
  done_reason: "stop",
  prompt_eval_count: 26,
  eval_count: 9,
  logprobs: [{ token: "Hello", logprob: -0.5, top_logprobs: [{ token: "Hi", logprob: -1, bytes: [72, 105] }] }],
};

describe("a whole answer", () => {
  test("is written in Ollama's members and read back from them", () => {
    expect(chat.writeAnswer(ANSWER, CONTEXT)).toEqual(WRITTEN);
    expect(chat.readAnswer(WRITTEN)).toEqual(ANSWER);
  });

  test("of generate has its text at the top", () => {
    const answer: Answer = { ...ANSWER, parts: [{ type: "text", text: "Hello" }], finish: "length", logprobs: null };
    const written = generate.writeAnswer(answer, CONTEXT);
    expect(written).toMatchObject({ response: "Hello", done: true, done_reason: "length" });
    expect(generate.readAnswer(written)).toEqual(answer);
  });

  test("is counted as the engine counted it, and not at all where it did not", () => {
    const read = (more: Record<string, unknown>): unknown =>
      chat.readAnswer({ message: { content: "hi" }, done: true, ...more })?.usage;
    expect(read({ eval_count: 2 })).toMatchObject({ tokensIn: 0, tokensOut: 2, isEstimated: false });
    expect(read({})).toBeNull();
    expect(read({ eval_count: -1, prompt_eval_count: 1.5 })).toBeNull();
    expect(chat.readAnswer({ message: { content: "" }, done: true, done_reason: "load" })?.usage).toMatchObject({
      tokensIn: 0,
      tokensOut: 0,
      isEstimated: false,
    });
  });

  test.each([
    {},
    { message: { content: "x" } },
    { message: { content: "x" }, done: false },
    { message: "x", done: true },
    { response: "x", done: true },
    { message: {}, done: true, error: "x" },
    { error: "x" },
  ])("is none: %j", (body) => {
    expect(chat.readAnswer(body)).toBeNull();
  });
});

describe("errors", () => {
  test.each([
    [404, { error: "model 'x' not found" }, "not_found", 404],
    [400, { error: "the input length exceeds the context length" }, "context_length", 400],
    [400, { error: '"x" does not support thinking' }, "invalid", 400],
    [503, { error: "server busy, please try again.  maximum pending requests exceeded" }, "overloaded", 503],
    [500, { error: "llama runner process has terminated: exit status 2" }, "other", 500],
    [500, { error: { message: "boom", type: "x" } }, "other", 500],
    [500, undefined, "other", 500],
    [401, { error: "unauthorized", signin_url: "https://x" }, "auth", 401],
    [0, { error: "stopped" }, "other", 502],
  ] as const)("of an engine are understood: %d %j", (status, body, kind, as) => {
    expect(chat.readError(status, body)).toMatchObject({ kind, status: as });
  });

  test("are one text for Ollama's clients", () => {
    const error = chat.readError(404, { error: "model 'x' not found", signin_url: "https://x" });
    expect(chat.writeError(error, CONTEXT)).toEqual({ error: "model 'x' not found" });
  });
});
