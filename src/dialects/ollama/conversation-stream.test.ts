import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AnswerContext, AnswerEvent } from "../conversation.ts";
import { MAX_RECORD_BYTES, type Usage } from "../dialect.ts";
import { cutAt, type FixtureName, readFixture, singleBytes } from "./__fixtures__/fixture.ts";
import { ollamaChatConversation as chat, ollamaGenerateConversation as generate } from "./conversation.ts";

const CONTEXT: AnswerContext = {
  id: "019a0000-0000-7000-8000-000000000000",
  model: "llama3",
  createdAtMs: Date.UTC(2026, 10, 20, 14),
  wantsUsage: true,
  estimatedTokensIn: 0,
};
const HEAD = '{"model":"llama3","created_at":"2026-11-20T14:00:00.000Z"';

function usage(tokensIn: number, tokensOut: number, tokensInCached = 0): Usage {
  return { tokensIn, tokensInCached, tokensOut, tokensReasoning: null, isEstimated: false };
}

function read(chunks: readonly Buffer[], dialect = chat): { events: AnswerEvent[]; isComplete: boolean } {
  const reader = dialect.reader();
  const events = chunks.flatMap((chunk) => [...reader.push(chunk)]);
  events.push(...reader.end());
  // Ids that are made differ from one reading to the next; everything else must not.
  const made = events.map((event) =>
    event.type === "tool_start" && /^call_[0-9a-f]{32}$/.test(event.id) ? { ...event, id: "made" } : event,
  );
  return { events: made, isComplete: reader.isComplete };
}

function write(events: readonly AnswerEvent[], dialect = chat): string {
  const writer = dialect.writer(CONTEXT);
  let out = "";
  for (const event of events) out += event.type === "error" ? writer.error(event.error) : writer.write(event);
  return out + writer.end();
}

const text = (said: string): AnswerEvent => ({ type: "text", text: said });
const finish = (reason: "stop" | "length" | "tool_calls"): AnswerEvent => ({
  type: "finish",
  reason,
  stopSequence: null,
});

describe("reading a stream", () => {
  test("gives text with its characters whole, finish and usage", () => {
    for (const chunks of [[readFixture("chat-text")], singleBytes(readFixture("chat-text"))]) {
      const { events, isComplete } = read(chunks);
      expect(events).toEqual([
        text("Hé"),
        text("llo €"),
        text("😀\n"),
        text(' "done":true {"error":"x"}\r\n'),
        text("."),
        finish("stop"),
        { type: "usage", usage: usage(26, 5) },
      ]);
      expect(isComplete).toBe(true);
    }
  });

  test("tells thinking from text", () => {
    expect(read([readFixture("chat-thinking")]).events).toEqual([
      { type: "reasoning", text: "The sky" },
      { type: "reasoning", text: " is blue" },
      text("Blue"),
      text("."),
      finish("stop"),
      { type: "usage", usage: usage(29, 4, 16) },
    ]);
  });

  // Traps 8 and 18: parallel calls with one index and no id, and `stop` behind them.
  test("gives calls an index and an id each, and says tool_calls although Ollama says stop", () => {
    const { events } = read([readFixture("chat-tools")]);
    expect(events.slice(1)).toEqual([
      { type: "tool_start", index: 0, id: "call_zy4pkytc", name: "get_weather" },
      { type: "tool_arguments", index: 0, json: '{"city":"Paris","days":3}' },
      { type: "tool_start", index: 1, id: "made", name: "get_weather" },
      { type: "tool_arguments", index: 1, json: '{"city":"Lyon"}' },
      finish("tool_calls"),
      { type: "usage", usage: usage(122, 33) },
    ]);
  });

  test("gives logprobs", () => {
    const { events } = read([readFixture("chat-logprobs")]);
    expect(events[1]).toEqual({
      type: "logprobs",
      tokens: [
        {
          token: "Yes",
          logprob: -0.25,
          bytes: [89, 101, 115],
          top: [
            { token: "Yes", logprob: -0.25, bytes: [89, 101, 115] },
            { token: "x", logprob: -9.5, bytes: [120] },
          ],
        },
      ],
    });
  });

  // Trap 13: a stream that ends early is no success.
  test("is complete only with the last line", () => {
    const bytes = readFixture("chat-text");
    expect(read([bytes.subarray(0, bytes.length - 30)]).isComplete).toBe(false);
    expect(read([bytes.subarray(0, bytes.length - 1)]).isComplete).toBe(true);
    const failed = read([readFixture("chat-error")]);
    expect(failed.isComplete).toBe(false);
    expect(failed.events.at(-1)).toMatchObject({ type: "error", error: { status: 502, kind: "other" } });
  });

  test("counts a load as nothing, and does not call free what was not counted", () => {
    expect(read([readFixture("chat-load")]).events).toEqual([finish("stop"), { type: "usage", usage: usage(0, 0) }]);
    expect(read([readFixture("chat-spaced")]).events).toEqual([text("Bon"), text("jour"), finish("stop")]);
  });

  test("reads a generate stream", () => {
    expect(read([readFixture("generate-text")], generate).events).toEqual([
      text("Why"),
      text(" née"),
      text("?"),
      finish("stop"),
      { type: "usage", usage: usage(11, 3) },
    ]);
  });

  test("gives the same events however the stream is cut", () => {
    const names: FixtureName[] = [
      "chat-text",
      "chat-thinking",
      "chat-tools",
      "chat-logprobs",
      "chat-error",
      "chat-spaced",
    ];
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.array(fc.nat(3000), { maxLength: 60 }), (name, places) => {
        expect(read(cutAt(readFixture(name), places))).toEqual(read([readFixture(name)]));
      }),
      { numRuns: 200 },
    );
  });

  test("is not harmed by hostile lines, and holds none beyond its bound", () => {
    const lines = [
      '{"message":7,"response":{},"done":"x"}',
      '{"message":{"content":7,"tool_calls":[7,{},{"function":{"name":7}}]},"logprobs":{},"done":false}',
      '{"__proto__":{"done":true}}',
      "7",
      "nonsense",
      "",
    ];
    expect(read([Buffer.from(lines.join("\n"))]).events).toEqual([]);
    expect(() => read([Buffer.from("x\n".repeat(9))])).toThrow("not acceptable");
    expect(() => read([Buffer.alloc(MAX_RECORD_BYTES + 1, 0x61)])).toThrow("not acceptable");
  });
});

describe("writing a stream", () => {
  test("is Ollama's lines, with the name that the caller asked for", () => {
    expect(
      write([
        { type: "reasoning", text: "hm" },
        text('a"\n€'),
        finish("length"),
        { type: "usage", usage: usage(9, 2, 4) },
      ]),
    ).toBe(
      [
        `${HEAD},"message":{"role":"assistant","content":"","thinking":"hm"},"done":false}\n`,
        `${HEAD},"message":{"role":"assistant","content":"a\\"\\n€"},"done":false}\n`,
        `${HEAD},"message":{"role":"assistant","content":""},"done":true,"done_reason":"length","prompt_eval_count":9,"prompt_eval_cached_count":4,"eval_count":2}\n`,
      ].join(""),
    );
    expect(write([{ type: "reasoning", text: "hm" }, text("a"), finish("stop")], generate)).toBe(
      [
        `${HEAD},"response":"","thinking":"hm","done":false}\n`,
        `${HEAD},"response":"a","done":false}\n`,
        `${HEAD},"response":"","done":true,"done_reason":"stop"}\n`,
      ].join(""),
    );
  });

  test("puts calls together whose fragments came in turns, and ends with stop as Ollama does", () => {
    const out = write([
      { type: "tool_start", index: 0, id: "a", name: "f" },
      { type: "tool_arguments", index: 0, json: '{"x"' },
      { type: "tool_start", index: 1, id: "b", name: "g" },
      { type: "tool_arguments", index: 1, json: "" },
      { type: "tool_arguments", index: 0, json: ":1}" },
      finish("tool_calls"),
    ]);
    const [calls, last, rest] = out.split("\n");
    expect(JSON.parse(calls ?? "").message.tool_calls).toEqual([
      { id: "a", function: { index: 0, name: "f", arguments: { x: 1 } } },
      { id: "b", function: { index: 1, name: "g", arguments: {} } },
    ]);
    expect(JSON.parse(last ?? "")).toMatchObject({ done: true, done_reason: "stop" });
    expect(rest).toBe("");
  });

  test("takes arguments that are no object, or too long, for a bad answer", () => {
    const call = (json: string): AnswerEvent[] => [
      { type: "tool_start", index: 0, id: "a", name: "f" },
      { type: "tool_arguments", index: 0, json },
      finish("tool_calls"),
    ];
    for (const json of ["{", "[]", '"x"']) expect(() => write(call(json))).toThrow("not acceptable");
    expect(() => write(call("x".repeat(MAX_RECORD_BYTES)))).toThrow("not acceptable");
  });

  test("keeps alive and tells errors in whole lines", () => {
    const writer = chat.writer(CONTEXT);
    expect(writer.keepAlive(Date.UTC(2026, 10, 20, 15))).toBe(
      '{"model":"llama3","created_at":"2026-11-20T15:00:00.000Z","message":{"role":"assistant","content":""},"done":false}\n',
    );
    expect(writer.error({ status: 502, kind: "other", message: "a\nb" })).toBe('{"error":"a\\nb"}\n');
  });

  test("is read back as it was written", () => {
    const said = fc.string({ unit: "binary", minLength: 1, maxLength: 20 });
    const part = fc.oneof(
      said.map(text),
      said.map((thought): AnswerEvent => ({ type: "reasoning", text: thought })),
    );
    const calls = fc.array(fc.tuple(said, said, fc.dictionary(said, said)), { maxLength: 3 });
    fc.assert(
      fc.property(fc.array(part), calls, fc.nat(99), (parts, called, count) => {
        const events = [
          ...parts,
          ...called.flatMap(([id, name, value], index): AnswerEvent[] => [
            { type: "tool_start", index, id, name },
            { type: "tool_arguments", index, json: JSON.stringify(value) },
          ]),
          finish(called.length > 0 ? "tool_calls" : "stop"),
          { type: "usage", usage: usage(count, count) } as const,
        ];
        const { events: again } = read([Buffer.from(write(events))]);
        expect(again).toEqual(events);
      }),
    );
  });
});
