import { describe, expect, test } from "vitest";
import { PosternError } from "../../errors.ts";
import type { AnswerContext, AnswerEvent } from "../conversation.ts";
import { responsesConversation as responses } from "./conversation.ts";

const CONTEXT: AnswerContext = {
  id: "a-1",
  model: "public",
  createdAtMs: 5000,
  wantsUsage: true,
  estimatedTokensIn: 5,
};
const USAGE = { tokensIn: 5, tokensInCached: 2, tokensOut: 3, tokensReasoning: 1, isEstimated: false };

function event(type: string, members: Record<string, unknown> = {}): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...members })}\n\n`;
}

function read(records: readonly string[]): { events: AnswerEvent[]; isComplete: boolean } {
  const reader = responses.reader();
  const events = [...structuredClone(reader.push(Buffer.from(records.join(""))))];
  events.push(...structuredClone(reader.end()));
  return { events, isComplete: reader.isComplete };
}

function written(
  events: readonly Exclude<AnswerEvent, { type: "error" }>[],
): { type: string; [name: string]: unknown }[] {
  const writer = responses.writer(CONTEXT);
  return records(events.map((one) => writer.write(one)).join("") + writer.end());
}

function records(text: string): { type: string; [name: string]: unknown }[] {
  return text
    .split("\n\n")
    .filter((one) => one !== "")
    .map((one) => {
      const [name, data] = one.split("\n");
      const value = JSON.parse(data!.slice(6));
      expect(name).toBe(`event: ${value.type}`);
      return value;
    });
}

describe("writing a stream", () => {
  test("is what Codex needs: every item added and done, numbers without gaps, all of it at the end", () => {
    const out = written([
      { type: "reasoning", text: "h" },
      { type: "reasoning", text: "m" },
      { type: "text", text: "He" },
      { type: "text", text: "llo" },
      { type: "tool_start", index: 0, id: "c1", name: "shell" },
      { type: "tool_start", index: 1, id: "c2", name: "mcp__git-ns-log" },
      { type: "tool_arguments", index: 1, json: "{}" },
      { type: "tool_arguments", index: 0, json: '{"a":1}' },
      { type: "usage", usage: USAGE },
      { type: "finish", reason: "tool_calls", stopSequence: null },
    ]);
    expect(out.map(({ type }) => type.replace("response.", ""))).toEqual([
      "created",
      "in_progress",
      "output_item.added",
      "reasoning_summary_part.added",
      "reasoning_summary_text.delta",
      "reasoning_summary_text.delta",
      "reasoning_summary_text.done",
      "reasoning_summary_part.done",
      "output_item.done",
      "output_item.added",
      "content_part.added",
      "output_text.delta",
      "output_text.delta",
      "output_text.done",
      "content_part.done",
      "output_item.done",
      "output_item.added",
      "output_item.added",
      "function_call_arguments.delta",
      "function_call_arguments.delta",
      "function_call_arguments.done",
      "output_item.done",
      "function_call_arguments.done",
      "output_item.done",
      "completed",
    ]);
    expect(out.map((one) => one["sequence_number"])).toEqual(out.map((_, index) => index));
    expect(out.at(-1)).toMatchObject({
      response: {
        id: "resp_a1",
        status: "completed",
        model: "public",
        created_at: 5,
        output: [
          { id: "rs_a1_0", type: "reasoning", summary: [{ type: "summary_text", text: "hm" }] },
          { id: "msg_a1_1", type: "message", role: "assistant", content: [{ type: "output_text", text: "Hello" }] },
          { type: "function_call", call_id: "c1", name: "shell", arguments: '{"a":1}' },
          { type: "function_call", call_id: "c2", namespace: "mcp__git", name: "log", arguments: "{}" },
        ],
        usage: {
          input_tokens: 5,
          input_tokens_details: { cached_tokens: 2 },
          output_tokens: 3,
          output_tokens_details: { reasoning_tokens: 1 },
          total_tokens: 8,
        },
      },
    });
  });

  test("says why an answer is not whole", () => {
    const end = written([
      { type: "text", text: "a" },
      { type: "finish", reason: "length", stopSequence: null },
    ]).at(-1);
    expect(end).toMatchObject({
      type: "response.incomplete",
      response: { status: "incomplete", incomplete_details: { reason: "max_output_tokens" } },
    });
    const empty = written([{ type: "finish", reason: "stop", stopSequence: null }]);
    expect(empty.map(({ type }) => type)).toEqual(["response.created", "response.in_progress", "response.completed"]);
  });

  test("keeps alive and fails as the caller can understand it, before the answer and in it", () => {
    const writer = responses.writer(CONTEXT);
    expect(writer.keepAlive(0)).toBe(": ping\n\n");
    expect(records(responses.writer(CONTEXT).error(new PosternError("engine_cut")))).toMatchObject([
      { type: "response.created", sequence_number: 0 },
      { type: "response.in_progress", sequence_number: 1 },
      { type: "error", sequence_number: 2, code: "engine_cut" },
      { type: "response.failed", sequence_number: 3, response: { status: "failed", error: { code: "engine_cut" } } },
    ]);
    const begun = records(writer.write({ type: "text", text: "a" }));
    expect(records(writer.keepAlive(0))).toEqual([{ type: "keepalive", sequence_number: begun.length }]);
    const told = records(writer.error({ status: 400, kind: "context_length", message: "too long" }));
    expect(told).toMatchObject([
      { type: "error", sequence_number: begun.length + 1, code: "context_length_exceeded", message: "too long" },
      {
        type: "response.failed",
        sequence_number: begun.length + 2,
        response: { id: "resp_a1", status: "failed", error: { code: "context_length_exceeded", message: "too long" } },
      },
    ]);
  });
});

describe("reading a stream", () => {
  test("takes one of the two forms of thinking", () => {
    const { events } = read([
      event("response.reasoning_text.delta", { delta: "a" }),
      event("response.reasoning_summary_text.delta", { delta: "a" }),
      event("response.reasoning_text.delta", { delta: "b" }),
    ]);
    expect(events).toEqual([
      { type: "reasoning", text: "a" },
      { type: "reasoning", text: "b" },
    ]);
  });

  test("reads calls that are told only when they are done", () => {
    const item = { type: "function_call", call_id: "c", name: "f", arguments: '{"a":1}' };
    const { events } = read([event("response.output_item.done", { output_index: 0, item })]);
    expect(events).toEqual([
      { type: "tool_start", index: 0, id: "c", name: "f" },
      { type: "tool_arguments", index: 0, json: '{"a":1}' },
    ]);
  });

  test("reads a server that streams nothing but the end", () => {
    const response = {
      status: "completed",
      output: [
        { type: "message", content: [{ type: "output_text", text: "hi" }] },
        { type: "function_call", call_id: "c", name: "f", arguments: "{}" },
      ],
      usage: { input_tokens: 1, output_tokens: 2 },
    };
    const { events, isComplete } = read([event("response.completed", { response })]);
    expect(events.map(({ type }) => type)).toEqual(["text", "tool_start", "tool_arguments", "usage", "finish"]);
    expect(events.at(-1)).toMatchObject({ reason: "tool_calls" });
    expect(isComplete).toBe(true);
  });

  test("reads errors in every shape, and nothing behind them", () => {
    const failed = event("response.failed", { response: { error: { code: "rate_limit_exceeded", message: "slow" } } });
    expect(read([failed, event("response.output_text.delta", { delta: "x" })]).events).toEqual([
      { type: "error", error: { status: 429, kind: "rate_limit", message: "slow" } },
    ]);
    expect(read([event("error", { code: "server_error", message: "m" })]).events).toMatchObject([
      { error: { message: "m" } },
    ]);
    expect(read(['data: {"error":{"message":"m","code":500}}\n\n']).events).toMatchObject([{ error: { status: 500 } }]);
    expect(read([event("response.output_text.delta", { delta: "x" }), "data: [DONE]\n\n"]).isComplete).toBe(false);
  });

  test.each([
    "null",
    "[]",
    '{"type":"response.completed","response":7}',
    '{"type":"response.output_item.added","item":null}',
    '{"type":"response.output_text.delta","delta":{}}',
  ])("does not stumble over %s", (data) => {
    expect(() => read([`data: ${data}\n\n`])).not.toThrow();
  });
});
