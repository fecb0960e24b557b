import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PosternError } from "../../errors.ts";
import type { AnswerContext, AnswerEvent } from "../conversation.ts";
import { MAX_RECORD_BYTES } from "../dialect.ts";
import { openAiChatConversation as chat } from "./conversation.ts";

const CONTEXT: AnswerContext = {
  id: "01890000-0000-7000-8000-000000000001",
  model: "public",
  createdAtMs: 1_763_600_000_999,
  wantsUsage: true,
  estimatedTokensIn: 5,
};

function record(value: unknown): string {
  return `data: ${JSON.stringify(value)}\n\n`;
}

function chunk(delta: unknown, finish: string | null = null, more: Record<string, unknown> = {}): string {
  return record({
    id: "x",
    object: "chat.completion.chunk",
    choices: [{ index: 0, delta, finish_reason: finish }],
    ...more,
  });
}

function read(records: readonly string[], cut = 0): { events: AnswerEvent[]; isComplete: boolean } {
  const reader = chat.reader();
  const events: AnswerEvent[] = [];
  const bytes = Buffer.from(records.join(""));
  const step = cut === 0 ? bytes.length : cut;
  for (let at = 0; at < bytes.length; at += step)
    events.push(...structuredClone(reader.push(bytes.subarray(at, at + step))));
  events.push(...reader.end());
  return { events, isComplete: reader.isComplete };
}

function calls(events: readonly AnswerEvent[]): { name: string; id: string; json: string }[] {
  const found: { name: string; id: string; json: string }[] = [];
  for (const event of events) {
    if (event.type === "tool_start") found[event.index] = { name: event.name, id: event.id, json: "" };
    if (event.type === "tool_arguments") found[event.index]!.json += event.json;
  }
  return found;
}

const DONE = "data: [DONE]\n\n";

describe("reading a stream", () => {
  test("tells text, reasoning, finish and usage", () => {
    const { events, isComplete } = read([
      chunk({ role: "assistant", content: "" }),
      chunk({ reasoning_content: "hm", reasoning: "hm" }),
      chunk({ reasoning: "so" }),
      chunk({ content: 'He "said"\n' }),
      chunk({ content: "é" }),
      chunk({ content: "!", tool_calls: [] }),
      chunk({}, "stop"),
      record({
        choices: [],
        usage: {
          prompt_tokens: 9,
          completion_tokens: 4,
          prompt_tokens_details: { cached_tokens: 3 },
          completion_tokens_details: { reasoning_tokens: 2 },
        },
      }),
      DONE,
    ]);
    expect(events).toEqual([
      { type: "reasoning", text: "hm" },
      { type: "reasoning", text: "so" },
      { type: "text", text: 'He "said"\n' },
      { type: "text", text: "é" },
      { type: "text", text: "!" },
      { type: "finish", reason: "stop", stopSequence: null },
      {
        type: "usage",
        usage: { tokensIn: 9, tokensInCached: 3, tokensOut: 4, tokensReasoning: 2, isEstimated: false },
      },
    ]);
    expect(isComplete).toBe(true);
  });

  test("reads chunks without a choice: usage, and what a filter thought of the prompt", () => {
    const { events } = read([record({ choices: [], prompt_filter_results: [{}] }), chunk({ content: "a" })]);
    expect(events).toEqual([{ type: "text", text: "a" }]);
  });

  test("takes an empty list of tool calls for nothing", () => {
    const { events } = read([
      chunk({ content: "a", tool_calls: [] }),
      chunk({ tool_calls: [] }),
      chunk({ tool_calls: [] }, "stop"),
    ]);
    expect(events.map(({ type }) => type)).toEqual(["text", "finish"]);
  });

  test("keeps the fragment of the delta that switches from text to a call", () => {
    const { events } = read([
      chunk({ content: "let me", tool_calls: [{ index: 0, id: "c", function: { name: "f", arguments: '{"a"' } }] }),
      chunk({ tool_calls: [{ index: 0, function: { arguments: ":1}" } }] }),
      chunk({}, "tool_calls"),
    ]);
    expect(events).toEqual([
      { type: "text", text: "let me" },
      { type: "tool_start", index: 0, id: "c", name: "f" },
      { type: "tool_arguments", index: 0, json: '{"a"' },
      { type: "tool_arguments", index: 0, json: ":1}" },
      { type: "finish", reason: "tool_calls", stopSequence: null },
    ]);
  });

  test("tells interleaved parallel calls apart", () => {
    const { events } = read([
      chunk({ tool_calls: [{ index: 1, id: "b", function: { name: "g", arguments: "" } }] }),
      chunk({ tool_calls: [{ index: 0, id: "a", function: { name: "f", arguments: "{" } }] }),
      chunk({
        tool_calls: [
          { index: 1, function: { arguments: '{"y":2}' } },
          { index: 0, function: { arguments: "}" } },
        ],
      }),
    ]);
    expect(calls(events)).toEqual([
      { name: "g", id: "b", json: '{"y":2}' },
      { name: "f", id: "a", json: "{}" },
    ]);
  });

  test("makes unique ids where parallel calls have no id, and tells them apart without an index", () => {
    const { events } = read([
      chunk({ tool_calls: [{ function: { name: "f", arguments: '{"a":1}' } }] }),
      chunk({ tool_calls: [{ function: { name: "f", arguments: '{"a"' } }] }),
      chunk({ tool_calls: [{ function: { arguments: ":2}" } }] }),
    ]);
    const found = calls(events);
    expect(found.map(({ json }) => json)).toEqual(['{"a":1}', '{"a":2}']);
    expect(found[0]?.id).toMatch(/^call_[0-9a-f]{32}$/);
    expect(found[0]?.id).not.toBe(found[1]?.id);
  });

  test("tells parallel calls with one index apart, by id or by a name that comes again", () => {
    const byId = read([
      chunk({ tool_calls: [{ index: 0, id: "a", function: { name: "f", arguments: "{}" } }] }),
      chunk({ tool_calls: [{ index: 0, id: "b", function: { name: "f", arguments: '{"x":' } }] }),
      chunk({ tool_calls: [{ index: 0, function: { arguments: "1}" } }] }),
    ]);
    expect(calls(byId.events)).toEqual([
      { name: "f", id: "a", json: "{}" },
      { name: "f", id: "b", json: '{"x":1}' },
    ]);
    const byName = read([
      chunk({ tool_calls: [{ index: 0, function: { name: "f", arguments: "{}" } }] }),
      chunk({ tool_calls: [{ index: 0, function: { name: "g", arguments: '{"x":1}' } }] }),
    ]);
    expect(calls(byName.events).map(({ name, json }) => [name, json])).toEqual([
      ["f", "{}"],
      ["g", '{"x":1}'],
    ]);
    // And a name that is repeated with every fragment is one call.
    const repeated = read([
      chunk({ tool_calls: [{ index: 0, id: "a", function: { name: "f", arguments: '{"x"' } }] }),
      chunk({ tool_calls: [{ index: 0, id: "a", function: { name: "f", arguments: ":1}" } }] }),
    ]);
    expect(calls(repeated.events)).toEqual([{ name: "f", id: "a", json: '{"x":1}' }]);
  });

  test("makes a second id where an engine gives one to two calls", () => {
    const { events } = read([
      chunk({ tool_calls: [{ index: 0, id: "a", function: { name: "f", arguments: "{}" } }] }),
      chunk({ tool_calls: [{ index: 1, id: "a", function: { name: "g", arguments: "{}" } }] }),
    ]);
    expect(new Set(calls(events).map(({ id }) => id)).size).toBe(2);
  });

  test("waits for the name of a call, and takes arguments that are objects", () => {
    const { events } = read([
      chunk({ tool_calls: [{ index: 0, id: "a", function: { arguments: '{"x"' } }] }),
      chunk({ tool_calls: [{ index: 0, function: { name: "f", arguments: ":1}" } }] }),
      chunk({ tool_calls: [{ index: 1, id: "b", function: { name: "g", arguments: { y: 2 } } }] }),
      chunk({ function_call: { name: "h", arguments: "{}" } }),
    ]);
    expect(calls(events).map(({ name, json }) => [name, json])).toEqual([
      ["f", '{"x":1}'],
      ["g", '{"y":2}'],
      ["h", "{}"],
    ]);
  });

  test("derives tool_calls from what was sent, not from the word for the end", () => {
    const call = chunk({ tool_calls: [{ index: 0, id: "a", function: { name: "f", arguments: "{}" } }] });
    expect(read([call, chunk({}, "stop")]).events.at(-1)).toMatchObject({ reason: "tool_calls" });
    expect(read([call, chunk({}, "length")]).events.at(-1)).toMatchObject({ reason: "length" });
    expect(read([chunk({ content: "a" }, "function_call")]).events.at(-1)).toMatchObject({ reason: "stop" });
    expect(read([chunk({ content: "a" }, "content_filter")]).events.at(-1)).toMatchObject({ reason: "content_filter" });
    const vllm = record({ choices: [{ index: 0, delta: {}, finish_reason: "stop", stop_reason: "###" }] });
    expect(read([vllm]).events).toEqual([{ type: "finish", reason: "stop_sequence", stopSequence: "###" }]);
  });

  test("is not complete without a finish, whatever else came", () => {
    expect(read([chunk({ content: "a" }), DONE]).isComplete).toBe(false);
    expect(read([chunk({ content: "a" }, "stop")]).isComplete).toBe(true);
  });

  test("reads errors in-band: with a numeric code, before [DONE], as an event, as a finish", () => {
    const numeric = read([record({ error: { message: "busy", code: 429 } })]);
    expect(numeric.events).toEqual([{ type: "error", error: { status: 429, kind: "rate_limit", message: "busy" } }]);
    const vllm = read([chunk({ content: "a" }), record({ error: { message: "boom", type: "X", code: 500 } }), DONE]);
    expect(vllm.events.at(-1)).toEqual({ type: "error", error: { status: 500, kind: "other", message: "boom" } });
    expect(vllm.isComplete).toBe(false);
    expect(read(['event: error\ndata: {"message":"m"}\n\n']).events[0]).toMatchObject({ error: { message: "m" } });
    expect(read(['error: {"message":"m"}\n\n']).events[0]).toMatchObject({ error: { message: "m" } });
    const router = record({ choices: [{ delta: {}, finish_reason: "error" }], error: null });
    expect(read([router]).events[0]).toMatchObject({ type: "error" });
    // Nothing follows.
    expect(read([record({ error: "x" }), chunk({ content: "a" }, "stop")]).events).toHaveLength(1);
  });

  test("reads a last record without its blank line, and no half one", () => {
    expect(read([chunk({ content: "a" }, "stop").trimEnd()]).isComplete).toBe(true);
    expect(read([chunk({ content: "a" }), chunk({ content: "b" }, "stop").slice(0, -12)]).isComplete).toBe(false);
  });

  test("reads logprobs", () => {
    const token = {
      token: "a",
      logprob: -0.5,
      bytes: [97],
      top_logprobs: [{ token: "b", logprob: -1, bytes: null }, 7],
    };
    const { events } = read([record({ choices: [{ delta: { content: "a" }, logprobs: { content: [token, null] } }] })]);
    expect(events[1]).toEqual({
      type: "logprobs",
      tokens: [{ token: "a", logprob: -0.5, bytes: [97], top: [{ token: "b", logprob: -1, bytes: null }] }],
    });
  });

  test("leaves out what is not JSON, gives up on much of it, and on a record without end", () => {
    const broken = "data: {nonsense\n\n";
    expect(read([broken, chunk({ content: "a" })]).events).toEqual([{ type: "text", text: "a" }]);
    expect(() => read(Array.from({ length: 9 }, () => broken))).toThrow(PosternError);
    const reader = chat.reader();
    expect(() => {
      for (let sent = 0; sent <= MAX_RECORD_BYTES; sent += 65_536) reader.push(Buffer.alloc(65_536, "x"));
    }).toThrow(expect.objectContaining({ code: "engine_bad_answer" }));
  });

  test.each([
    "null",
    "[1]",
    '{"choices":7}',
    '{"choices":[7]}',
    '{"choices":[{"delta":7}]}',
    '{"choices":[{"delta":{"content":7,"tool_calls":[null,{"function":null}]}}]}',
    '{"choices":[{"index":1,"delta":{"content":"other"}}]}',
    '{"__proto__":{"choices":[{"delta":{"content":"x"}}]}}',
  ])("makes nothing of %s", (data) => {
    expect(read([`data: ${data}\n\n`]).events).toEqual([]);
  });

  test("reads the same answer however the bytes are cut", () => {
    const text = fc.oneof(
      fc.string({ maxLength: 6 }),
      fc.constantFrom("é", "🙂", '"', "\\", "\n", '"}}', "finish_reason"),
    );
    fc.assert(
      fc.property(
        fc.array(fc.tuple(text, fc.boolean()), { maxLength: 12 }),
        fc.integer({ min: 1, max: 40 }),
        (list, cut) => {
          const records = list.map(([piece, isThought]) =>
            chunk(isThought ? { reasoning_content: piece } : { content: piece }),
          );
          const all = [...records, chunk({}, "stop"), DONE];
          const wanted = list
            .filter(([piece]) => piece !== "")
            .map(([piece, isThought]) => ({ type: isThought ? "reasoning" : "text", text: piece }));
          expect(read(all, cut).events.slice(0, -1)).toEqual(wanted);
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe("writing a stream", () => {
  test("is what the reader reads", () => {
    const events: Exclude<AnswerEvent, { type: "error" }>[] = [
      { type: "reasoning", text: "hm" },
      { type: "text", text: 'a "b"\n' },
      { type: "logprobs", tokens: [{ token: "a", logprob: -1, bytes: null, top: [] }] },
      { type: "tool_start", index: 0, id: "c", name: "f" },
      { type: "tool_arguments", index: 0, json: '{"x":1}' },
      {
        type: "usage",
        usage: { tokensIn: 5, tokensInCached: 2, tokensOut: 3, tokensReasoning: 1, isEstimated: false },
      },
      { type: "finish", reason: "tool_calls", stopSequence: null },
    ];
    const writer = chat.writer(CONTEXT);
    const written = events.map((event) => writer.write(event)).join("") + writer.end();
    expect(
      written.startsWith(
        'data: {"id":"chatcmpl-01890000000070008000000000000001","object":"chat.completion.chunk","created":1763600000,"model":"public","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n',
      ),
    ).toBe(true);
    expect(written.endsWith(DONE)).toBe(true);
    const again = read([written]).events;
    expect(again).toEqual([...events.slice(0, 5), events[6], events[5]]);
  });

  test("hides usage that nobody asked for, and says how an answer ended", () => {
    const writer = chat.writer({ ...CONTEXT, wantsUsage: false });
    const text =
      writer.write({
        type: "usage",
        usage: { tokensIn: 1, tokensInCached: 0, tokensOut: 1, tokensReasoning: null, isEstimated: true },
      }) +
      writer.write({ type: "finish", reason: "stop_sequence", stopSequence: "x" }) +
      writer.end();
    expect(text).not.toContain("usage");
    expect(text).toContain('"finish_reason":"stop"');
  });

  test("writes pings as comments and errors without an end", () => {
    const writer = chat.writer(CONTEXT);
    expect(writer.keepAlive(0)).toBe(": ping\n\n");
    expect(writer.error(new PosternError("engine_cut"))).toBe(
      'data: {"error":{"message":"The answer ended before it was complete","type":"server_error","param":null,"code":"engine_cut"}}\n\n',
    );
    expect(writer.error({ status: 400, kind: "context_length", message: "too long" })).toContain(
      "context_length_exceeded",
    );
  });
});
