import { describe, expect, test } from "vitest";
import type { Answer, AnswerContext } from "../conversation.ts";
import { anthropicConversation as messages } from "./conversation.ts";

const CONTEXT: AnswerContext = {
  id: "a-b-c",
  model: "public",
  createdAtMs: 0,
  wantsUsage: false,
  estimatedTokensIn: 9,
};
const ANSWER: Answer = {
  parts: [
    { type: "reasoning", text: "hm" },
    { type: "text", text: "a" },
    { type: "tool_call", id: "t", name: "f", argumentsJson: '{"x":1}' },
  ],
  finish: "tool_calls",
  stopSequence: null,
  usage: { tokensIn: 12, tokensInCached: 2, tokensOut: 3, tokensReasoning: null, isEstimated: false },
  logprobs: null,
};

describe("whole answers", () => {
  test("are written with all that clients read unguarded", () => {
    expect(messages.writeAnswer(ANSWER, CONTEXT)).toEqual({
      id: "msg_abc",
      type: "message",
      role: "assistant",
      model: "public",
      content: [
        { type: "thinking", thinking: "hm", signature: expect.stringMatching(/./) },
        { type: "text", text: "a" },
        { type: "tool_use", id: "t", name: "f", input: { x: 1 } },
      ],
      stop_reason: "tool_use",
      stop_sequence: null,
      usage: { input_tokens: 10, cache_creation_input_tokens: 0, cache_read_input_tokens: 2, output_tokens: 3 },
    });
    const silent = messages.writeAnswer({ ...ANSWER, parts: [{ type: "text", text: "" }], usage: null }, CONTEXT);
    expect(silent).toMatchObject({
      content: [],
      stop_reason: "end_turn",
      usage: { input_tokens: 9, output_tokens: 0 },
    });
  });

  test("say again what was written", () => {
    expect(messages.readAnswer(messages.writeAnswer(ANSWER, CONTEXT))).toEqual(ANSWER);
  });

  test.each([
    ["end_turn", null, "stop", null],
    ["max_tokens", null, "length", null],
    ["model_context_window_exceeded", null, "length", null],
    ["stop_sequence", "###", "stop_sequence", "###"],
    // llama-server tells a stop string as end_turn.
    ["end_turn", "###", "stop_sequence", "###"],
    ["refusal", null, "content_filter", null],
    ["pause_turn", null, "stop", null],
    ["unheard of", 5, "stop", null],
  ])("read stop_reason %s with %j as %s", (stop_reason, stop_sequence, finish, stopSequence) => {
    const body = { type: "message", content: [{ type: "text", text: "a" }], stop_reason, stop_sequence };
    expect(messages.readAnswer(body)).toMatchObject({ finish, stopSequence, usage: null });
  });

  test("trap 4: a call is a call, whatever the engine's reason", () => {
    const content = [{ type: "tool_use", id: "t", name: "f", input: null }];
    expect(messages.readAnswer({ content, stop_reason: "end_turn" })).toMatchObject({
      finish: "tool_calls",
      parts: [{ type: "tool_call", id: "t", name: "f", argumentsJson: "{}" }],
    });
  });

  test("trap 8: ids that are missing or repeated become ones of their own", () => {
    const content = [1, 2, 3].map((at) => ({
      type: "tool_use",
      id: at === 1 ? undefined : "same",
      name: "f",
      input: {},
    }));
    const answer = messages.readAnswer({ content });
    const ids = answer?.parts.map((part) => (part.type === "tool_call" ? part.id : ""));
    expect(new Set(ids).size).toBe(3);
  });

  test.each([
    [{}],
    [{ content: "text" }],
    [{ type: "error", content: [] }],
    [{ content: [], error: { message: "x" } }],
    [{ content: [], error: "x" }],
  ])("are not made of %j", (body) => {
    expect(messages.readAnswer(body)).toBeNull();
  });

  test("survive hostile content", () => {
    const content = [null, 5, "x", [], { type: "text", text: 5 }, { type: "tool_use" }, { type: "new" }];
    expect(messages.readAnswer({ content, usage: "x", stop_reason: {} })?.parts).toEqual([
      { type: "tool_call", id: expect.stringMatching(/^toolu_/), name: "", argumentsJson: "{}" },
    ]);
  });

  test("errors carry our request id", () => {
    expect(messages.writeError({ status: 404, kind: "not_found", message: "m" }, CONTEXT)).toEqual({
      type: "error",
      error: { type: "not_found_error", message: "m" },
      request_id: "a-b-c",
    });
  });
});
