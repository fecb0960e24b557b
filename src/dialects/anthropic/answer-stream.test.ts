import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PosternError } from "../../errors.ts";
import type { Answer, AnswerContext, AnswerEvent } from "../conversation.ts";
import { checkGrammar, type Told } from "./__fixtures__/grammar.ts";
import { cut, TRANSCRIPTS, transcript } from "./__fixtures__/transcript.ts";
import { MessagesStreamReader } from "./answer-reader.ts";
import { MAX_WAITING_LENGTH, MessagesStreamWriter } from "./answer-writer.ts";

const CONTEXT: AnswerContext = {
  id: "0193f0a0-0000-7000-8000-000000000001",
  model: "public",
  createdAtMs: 0,
  wantsUsage: true,
  estimatedTokensIn: 50,
};
const USAGE = { tokensIn: 30, tokensInCached: 10, tokensOut: 7, tokensReasoning: 2, isEstimated: false };

/** What each transcript means. */
const ANSWERS = JSON.parse(readFileSync(new URL("./__fixtures__/answers.json", import.meta.url), "utf8")) as Readonly<
  Record<string, Answer>
>;

type Said = Exclude<AnswerEvent, { type: "error" }>;
const text = (value: string): Said => ({ type: "text", text: value });
const think = (value: string): Said => ({ type: "reasoning", text: value });
const call = (index: number, id = `id${index}`, name = `f${index}`): Said => ({ type: "tool_start", index, id, name });
const args = (index: number, json: string): Said => ({ type: "tool_arguments", index, json });
const finish = (reason: Answer["finish"] = "stop", stopSequence: string | null = null): Said => ({
  type: "finish",
  reason,
  stopSequence,
});

/** All that a writer writes, checked. */
function write(events: readonly Said[], context = CONTEXT): Told[] {
  return checkGrammar(writeText(events, context));
}

function writeText(events: readonly Said[], context = CONTEXT): string {
  const writer = new MessagesStreamWriter(context);
  return events.map((event) => writer.write(event)).join("") + writer.end();
}

/** Blocks with their text, in order: what a client puts together. */
function blocks(told: readonly Told[]): string[] {
  const list: string[] = [];
  for (const { type, content_block: block, delta } of told) {
    if (type === "content_block_start")
      list.push(`${block?.["type"]}${block?.["name"] === undefined ? "" : ` ${block["name"]}`}: `);
    if (type === "content_block_delta") {
      const at = list.length - 1;
      list[at] = (list[at] ?? "") + String(delta?.["text"] ?? delta?.["thinking"] ?? delta?.["partial_json"] ?? "");
    }
  }
  return list;
}

function stopReason(told: readonly Told[]): unknown {
  return told.find(({ type }) => type === "message_delta")?.delta?.["stop_reason"];
}

function read(chunks: readonly (string | Buffer)[]): { events: AnswerEvent[]; reader: MessagesStreamReader } {
  const reader = new MessagesStreamReader();
  const events: AnswerEvent[] = [];
  for (const chunk of chunks) events.push(...reader.push(Buffer.from(chunk as string)));
  events.push(...reader.end());
  return { events, reader };
}

/** Events put together to an answer: what they mean, whatever the pieces. */
function meaning(events: readonly AnswerEvent[]): Answer {
  const answer: Answer = { parts: [], finish: "stop", stopSequence: null, usage: null, logprobs: null };
  const calls = new Map<number, { argumentsJson: string }>();
  for (const event of events) {
    const last = answer.parts.at(-1);
    if (event.type === "text" || event.type === "reasoning") {
      if (event.text === "") continue;
      if (last?.type === event.type) last.text += event.text;
      else answer.parts.push({ type: event.type, text: event.text });
    } else if (event.type === "tool_start") {
      const part = { type: "tool_call" as const, id: event.id, name: event.name, argumentsJson: "" };
      calls.set(event.index, part);
      answer.parts.push(part);
    } else if (event.type === "tool_arguments") {
      const part = calls.get(event.index);
      if (part !== undefined) part.argumentsJson += event.json;
    } else if (event.type === "finish") {
      answer.finish = event.reason;
      answer.stopSequence = event.stopSequence;
    } else if (event.type === "usage") answer.usage = event.usage;
  }
  for (const part of answer.parts)
    if (part.type === "tool_call" && part.argumentsJson === "") part.argumentsJson = "{}";
  return answer;
}

const STOP = 'event: message_stop\ndata: {"type":"message_stop"}\n\n';

describe("MessagesStreamWriter", () => {
  test("begins with the message and ends with its reason and usage", () => {
    const told = write([text("Hé"), text("llo"), finish(), { type: "usage", usage: USAGE }]);
    expect(told.map(({ type }) => type)).toEqual([
      "message_start",
      "content_block_start",
      "content_block_delta",
      "content_block_delta",
      "content_block_stop",
      "message_delta",
      "message_stop",
    ]);
    expect(told[0]?.message).toEqual({
      id: "msg_0193f0a0000070008000000000000001",
      type: "message",
      role: "assistant",
      model: "public",
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: { input_tokens: 50, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 0 },
    });
    expect(told.at(-2)).toEqual({
      type: "message_delta",
      delta: { stop_reason: "end_turn", stop_sequence: null },
      usage: {
        input_tokens: 20,
        cache_creation_input_tokens: 0,
        cache_read_input_tokens: 10,
        output_tokens: 7,
        output_tokens_details: { thinking_tokens: 2 },
      },
    });
  });

  test("trap 1: the delta that switches blocks is not lost", () => {
    expect(
      blocks(write([think("a"), text("b"), call(0), args(0, '{"x":1}'), text("c"), think("d"), finish()])),
    ).toEqual(["thinking: a", "text: b", 'tool_use f0: {"x":1}', "text: c", "thinking: d"]);
  });

  test("trap 2: thinking never stands in a block of text, and the message starts once", () => {
    const told = write([text("a"), think("b"), text("c"), finish()]);
    expect(blocks(told)).toEqual(["text: a", "thinking: b", "text: c"]);
    expect(told.filter(({ type }) => type === "message_start")).toHaveLength(1);
  });

  test("trap 4: the stop reason follows from the blocks that were sent, and no empty text leads", () => {
    const called = write([text(""), think(""), call(0), args(0, "{}"), finish("stop")]);
    expect(stopReason(called)).toBe("tool_use");
    expect(blocks(called)).toEqual(["tool_use f0: {}"]);
    expect(stopReason(write([text("a"), finish("tool_calls")]))).toBe("end_turn");
    expect(stopReason(write([call(0), finish("stop_sequence", "X")]))).toBe("tool_use");
    expect(stopReason(write([call(0), args(0, '{"a'), finish("length")]))).toBe("max_tokens");
    expect(stopReason(write([text("a"), finish("content_filter")]))).toBe("refusal");
    expect(write([text("a"), finish("stop_sequence", "###")]).at(-2)?.delta).toEqual({
      stop_reason: "stop_sequence",
      stop_sequence: "###",
    });
    expect(blocks(write([finish()]))).toEqual([]);
  });

  test("trap 5: usage is an object from the start, estimated first and corrected at the end", () => {
    const told = write([text("12345678"), finish()]);
    expect(told[0]?.message?.usage).toMatchObject({ input_tokens: 50, output_tokens: 0 });
    expect(told.at(-2)?.usage).toMatchObject({ input_tokens: 50, output_tokens: 2 });
    expect(write([{ type: "usage", usage: USAGE }, text("a"), finish()])[0]?.message?.usage).toMatchObject({
      input_tokens: 20,
      cache_read_input_tokens: 10,
    });
  });

  test("trap 6: thinking is in its own field and signed before its block stops", () => {
    const told = write([think("a"), finish()]);
    expect(told[2]?.delta).toEqual({ type: "thinking_delta", thinking: "a" });
    expect(told[3]?.delta).toEqual({ type: "signature_delta", signature: expect.stringMatching(/./) });
  });

  test("trap 8: parallel calls have blocks and ids of their own", () => {
    const told = write([
      call(0, "same"),
      args(0, "{}"),
      call(1, "same"),
      args(1, "{}"),
      call(2, ""),
      args(2, "{}"),
      finish(),
    ]);
    const ids = told.flatMap(({ content_block: block }) => (block === undefined ? [] : [block["id"]]));
    expect(new Set(ids).size).toBe(3);
    expect(ids[0]).toBe("same");
    expect(ids).not.toContain("");
  });

  test("buffers a later parallel call until the open one is complete, and streams it from then on", () => {
    const writer = new MessagesStreamWriter(CONTEXT);
    const out = [call(0), args(0, '{"a":"}'), call(1), args(1, '{"b"'), text("t")].map((event) => writer.write(event));
    expect(out.slice(2)).toEqual(["", "", ""]);
    const rest = writer.write(args(0, '"}')) + writer.write(args(1, ":2}")) + writer.end();
    expect(blocks(checkGrammar(out.join("") + rest))).toEqual([
      'tool_use f0: {"a":"}"}',
      'tool_use f1: {"b":2}',
      "text: t",
    ]);
    expect(writer.write(args(0, " \n"))).toBe("");
  });

  test("closes calls whose arguments never came or never ended", () => {
    expect(blocks(write([call(0), call(1), args(1, '{"a"'), call(2), finish()]))).toEqual([
      "tool_use f0: ",
      'tool_use f1: {"a"',
      "tool_use f2: ",
    ]);
  });

  test("keeps a call open for what comes behind a first complete object, while nothing else wants its place", () => {
    expect(blocks(write([call(0), args(0, "{}"), args(0, '{"a":1}'), finish()]))).toEqual(['tool_use f0: {}{"a":1}']);
    expect(() => write([call(0), args(0, "{}"), text("a"), args(0, '{"a":1}')])).toThrow(/not acceptable/);
  });

  test("holds no more than its bound, however many calls wait", () => {
    const piece = "x".repeat(1024 * 1024);
    const writer = new MessagesStreamWriter(CONTEXT);
    writer.write(call(0));
    writer.write(call(1));
    expect(() => {
      for (let length = 0; length <= MAX_WAITING_LENGTH; length += piece.length) writer.write(args(1, piece));
    }).toThrow(/not acceptable/);
    const many = new MessagesStreamWriter(CONTEXT);
    expect(() => {
      for (let index = 0; index < 5000; index++) many.write(call(index));
    }).toThrow(/not acceptable/);
    const mixed = new MessagesStreamWriter(CONTEXT);
    mixed.write(call(0));
    expect(() => {
      for (let at = 0; at < 40_000; at++) mixed.write(at % 2 === 0 ? text("a") : think("b"));
    }).toThrow(/not acceptable/);
  });

  test("tells errors and stays alive in the dialect's own events", () => {
    const writer = new MessagesStreamWriter(CONTEXT);
    expect(writer.keepAlive()).toBe('event: ping\ndata: {"type":"ping"}\n\n');
    expect(writer.error(new PosternError("engine_stalled"))).toMatch(
      /^event: error\ndata: \{"type":"error".*"timeout_error".*\}\n\n$/,
    );
    expect(writer.error({ status: 503, kind: "overloaded", message: "x" })).toBe(
      'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"x"}}\n\n',
    );
  });
});

describe("MessagesStreamReader", () => {
  test.each(TRANSCRIPTS)("reads %s alike wherever it is cut", (name) => {
    const bytes = transcript(name);
    const whole = ANSWERS[name];
    for (let place = 0; place <= bytes.length; place++) {
      const { events, reader } = read(cut(bytes, [place]));
      expect(meaning(events)).toEqual(whole);
      expect(reader.isComplete).toBe(true);
    }
    const bytewise = read(cut(bytes, [...bytes.keys()]));
    expect(meaning(bytewise.events)).toEqual(whole);
  });

  test("reads what a writer wrote, whatever was said and wherever it is cut", () => {
    const word = fc.string({ unit: "grapheme", maxLength: 12 });
    const spoken = fc.oneof(word.map(text), word.map(think));
    /** Calls one after the other or interleaved, each with complete arguments. */
    const calls = fc
      .tuple(fc.array(fc.dictionary(word, fc.jsonValue({ maxDepth: 1 })), { maxLength: 4 }), fc.boolean(), fc.nat(7))
      .map(([list, isInterleaved, size]) => {
        const pieces = list.map((input, index) => [
          call(index),
          ...(JSON.stringify(input).match(new RegExp(`[\\s\\S]{1,${size + 1}}`, "g")) ?? []).map((json) =>
            args(index, json),
          ),
        ]);
        if (!isInterleaved) return pieces.flat();
        const mixed: Said[] = [];
        for (let at = 0; pieces.some((piece) => at < piece.length); at++) {
          for (const piece of pieces) if (piece[at] !== undefined) mixed.push(piece[at] as Said);
        }
        return mixed;
      });
    const reasons = fc.constantFrom(
      finish(),
      finish("length"),
      finish("content_filter"),
      finish("stop_sequence", "END"),
    );
    fc.assert(
      fc.property(
        fc.array(spoken, { maxLength: 8 }),
        calls,
        fc.array(spoken, { maxLength: 3 }),
        reasons,
        fc.array(fc.nat(), { maxLength: 6 }),
        (before, called, after, reason, places) => {
          const events = [...before, ...called, ...after, reason, { type: "usage", usage: USAGE } as const];
          const written = writeText(events);
          checkGrammar(written);
          const { events: readBack, reader } = read(cut(Buffer.from(written), places));
          const expected = meaning(events);
          if (called.length > 0 && expected.finish !== "length" && expected.finish !== "content_filter") {
            expected.finish = "tool_calls";
            expected.stopSequence = null;
          }
          expect(meaning(readBack)).toEqual(expected);
          expect(reader.isComplete).toBe(true);
        },
      ),
    );
  });

  test("trap 3: an empty list of calls says nothing", () => {
    const { events } = read([
      'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"tool_calls":[],"delta":{"type":"text_delta","text":"a"}}\n\n',
    ]);
    expect(events).toEqual([{ type: "text", text: "a" }]);
  });

  test("trap 7: a thinking block that is nothing but a signature does not take the call behind it away", () => {
    const { events } = read([
      'data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}\n\n',
      'data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"abc"}}\n\n',
      'data: {"type":"content_block_stop","index":0}\n\n',
      'data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}\n\n',
      'data: {"type":"content_block_stop","index":1}\n\n',
    ]);
    expect(events).toEqual([call(0, "t", "f"), args(0, "{}")]);
  });

  test("trap 8: calls with one index and without ids are told apart", () => {
    const start =
      'data: {"type":"content_block_start","index":0,"content_block":{"type":"tool_use","name":"f","input":{"a":1}}}\n\n';
    const { events } = read([start, start]);
    const started = events.flatMap((event) => (event.type === "tool_start" ? [event] : []));
    expect(started.map(({ index }) => index)).toEqual([0, 1]);
    expect(new Set(started.map(({ id }) => id)).size).toBe(2);
    expect(events).toContainEqual(args(0, '{"a":1}'));
  });

  test("trap 13: a stream that was cut is not complete", () => {
    const bytes = transcript("anthropic-tool");
    const stopAt = bytes.indexOf("event: message_stop");
    for (const end of [0, 100, bytes.indexOf("event: message_delta"), stopAt, stopAt + 20]) {
      expect(read([bytes.subarray(0, end)]).reader.isComplete, String(end)).toBe(false);
    }
    expect(read([STOP]).reader.isComplete).toBe(false);
  });

  test("tells the engine's own error and nothing after it", () => {
    for (const error of [
      'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
      'data: {"error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
    ]) {
      const { events, reader } = read([error, transcript("anthropic-text")]);
      expect(events).toEqual([{ type: "error", error: { status: 503, kind: "overloaded", message: "Overloaded" } }]);
      expect(reader.isComplete).toBe(false);
    }
    expect(read(["event: error\ndata: out of memory\n\n"]).events).toMatchObject([
      { type: "error", error: { kind: "other", message: "out of memory" } },
    ]);
  });

  test("takes hostile records for what they are", () => {
    for (const data of [
      "5",
      "null",
      "[]",
      "{}",
      '{"type":"message_start"}',
      '{"type":"message_start","message":{"usage":{"input_tokens":-5}}}',
      '{"type":"content_block_start","index":{},"content_block":[]}',
      '{"type":"content_block_start","content_block":{"type":"tool_use","input":[1],"name":{"__proto__":1}}}',
      '{"type":"content_block_delta","delta":{"type":"text_delta","text":{}}}',
      '{"type":"content_block_delta","delta":{"type":"input_json_delta","partial_json":"x"}}',
      '{"type":"content_block_stop","index":99}',
      '{"type":"message_delta","delta":null,"usage":"x"}',
      '{"type":"__proto__","__proto__":{"error":{}}}',
    ]) {
      const { reader } = read([`data: ${data}\n\n`]);
      expect(reader.isComplete).toBe(false);
    }
    expect(() => read(Array.from({ length: 9 }, () => "data: {\n\n"))).toThrow(/not acceptable/);
    const start = 'data: {"type":"content_block_start","index":0,"content_block":{"type":"tool_use","name":"f"}}\n\n';
    expect(() => read(Array.from({ length: 1100 }, () => start))).toThrow(/not acceptable/);
  });
});
