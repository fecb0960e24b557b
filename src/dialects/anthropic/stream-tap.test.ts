import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MAX_RECORD_BYTES } from "../dialect.ts";
import { cut, TRANSCRIPTS, transcript } from "./__fixtures__/transcript.ts";
import { AnthropicStreamTap } from "./stream-tap.ts";

function record(name: string, data: unknown, end = "\n"): string {
  return `event: ${name}${end}data: ${typeof data === "string" ? data : JSON.stringify(data)}${end}${end}`;
}

function delta(text: string): string {
  return record("content_block_delta", {
    type: "content_block_delta",
    index: 0,
    delta: { type: "text_delta", text },
  });
}

const START = record("message_start", {
  type: "message_start",
  message: { content: [], usage: { input_tokens: 9, output_tokens: 1 } },
});
const BLOCK = record("content_block_start", {
  type: "content_block_start",
  index: 0,
  content_block: { type: "text", text: "" },
});
const BLOCK_STOP = record("content_block_stop", { type: "content_block_stop", index: 0 });
const DELTA = record("message_delta", {
  type: "message_delta",
  delta: { stop_reason: "end_turn", stop_sequence: null },
  usage: { output_tokens: 2 },
});
const STOP = record("message_stop", { type: "message_stop" });

interface Passed {
  out: string;
  tail: string | null;
  tap: AnthropicStreamTap;
}

function pass(chunks: readonly (string | Buffer)[], requestBytes = 400): Passed {
  const tap = new AnthropicStreamTap(requestBytes);
  // What was handed out belongs to somebody else from then on; it is put together at the end to show that it was not written to.
  const out = chunks.map((chunk) => tap.push(Buffer.from(chunk as string)));
  const tail = tap.finish();
  return { out: Buffer.concat(out).toString(), tail: tail === null ? null : tail.toString(), tap };
}

/** What the ledger must get of each transcript. */
const USAGE: Record<(typeof TRANSCRIPTS)[number], object> = {
  "anthropic-text": { tokensIn: 128, tokensInCached: 100, tokensOut: 15, tokensReasoning: null, isEstimated: false },
  "anthropic-tool": { tokensIn: 472, tokensInCached: 0, tokensOut: 89, tokensReasoning: null, isEstimated: false },
  "anthropic-thinking": { tokensIn: 10, tokensInCached: 0, tokensOut: 40, tokensReasoning: 30, isEstimated: false },
  "ollama-tool": { tokensIn: 211, tokensInCached: 0, tokensOut: 31, tokensReasoning: null, isEstimated: false },
  "llama-server-thinking": { tokensIn: 22, tokensInCached: 4, tokensOut: 9, tokensReasoning: null, isEstimated: false },
  "vllm-text": { tokensIn: 12, tokensInCached: 0, tokensOut: 2, tokensReasoning: null, isEstimated: false },
  "sglang-text": { tokensIn: 100, tokensInCached: 0, tokensOut: 2, tokensReasoning: null, isEstimated: true },
};

describe("AnthropicStreamTap", () => {
  test.each(TRANSCRIPTS)("passes %s whole, wherever it is cut, with its own usage", (name) => {
    const bytes = transcript(name);
    const text = bytes.toString();
    const stopAt = text.indexOf("event: message_stop");
    for (let place = 0; place <= bytes.length; place++) {
      const { out, tail, tap } = pass(cut(bytes, [place]));
      expect(out).toBe(text.slice(0, stopAt));
      expect(tail).toBe(text.slice(stopAt).replace("data: [DONE]\n\n", ""));
      expect(tap.usage()).toEqual(USAGE[name]);
      expect([tap.completion, tap.hasContent]).toEqual(["complete", true]);
    }
  });

  test("passes whatever comes, in any number of pieces", () => {
    const known = [START, BLOCK, delta("a"), delta('x"}\n\nevent: error'), ": ping\n\n", BLOCK_STOP, DELTA];
    const unknown = [
      record("content_block_new", { type: "content_block_new", a: [1, { b: null }] }),
      "event: nothing\n\n",
      "id: 1\nretry: 5\n\n",
      "data: 5\n\n",
      record("ping", { type: "ping" }, "\r\n"),
    ];
    const records = fc.array(fc.constantFrom(...known, ...unknown), { maxLength: 20 });
    fc.assert(
      fc.property(records, fc.array(fc.nat()), fc.boolean(), (list, places, hasStop) => {
        const bytes = Buffer.from(list.join("") + (hasStop ? STOP : ""));
        const { out, tail } = pass(cut(bytes, places));
        expect(out).toBe(list.join(""));
        expect(tail).toBe(hasStop && list.includes(DELTA) ? STOP : null);
      }),
    );
  });

  test("hands the same buffer on when nothing in it has to change", () => {
    const tap = new AnthropicStreamTap(0);
    tap.push(Buffer.from(START + BLOCK + delta("first")));
    const chunk = Buffer.from(delta("a") + delta("b") + record("ping", { type: "ping" }));
    expect(tap.push(chunk)).toBe(chunk);
  });

  test("does not parse a delta once content has begun", () => {
    const tap = new AnthropicStreamTap(0);
    tap.push(Buffer.from(START + BLOCK + delta("first")));
    // Not JSON: parsing would leave it out.
    const odd = record("content_block_delta", '{"type":"content_block_delta","delta":{"text":x}}');
    expect(tap.push(Buffer.from(odd)).toString()).toBe(odd);
  });

  test.each([
    ["no message_stop", START + BLOCK + delta("a") + BLOCK_STOP + DELTA],
    ["no stop reason", START + BLOCK + delta("a") + BLOCK_STOP + STOP],
    [
      "a stop reason that is null",
      START + record("message_delta", { type: "message_delta", delta: { stop_reason: null } }) + STOP,
    ],
    ["half a message_stop", START + DELTA + STOP.slice(0, 40)],
    ["nothing at all", ""],
  ])("has no clean end after %s", (_, text) => {
    const { tail, tap } = pass([text]);
    expect(tail).toBeNull();
    expect(tap.completion).toBe("open");
  });

  test("takes a last record without its blank line", () => {
    expect(pass([START + BLOCK + delta("a") + DELTA + STOP.trimEnd()]).tail).toBe(STOP);
    const { out, tail } = pass([START, DELTA, "event: odd\ndata: {}"]);
    expect(out + tail).toBe(`${START}${DELTA}null`);
  });

  test("tells an engine's error, and names it where the engine did not, because clients drop records without a name", () => {
    const named = record("error", { type: "error", error: { type: "overloaded_error", message: "x" } });
    expect(pass([START, BLOCK, delta("a"), named])).toMatchObject({
      out: START + BLOCK + delta("a") + named,
      tail: null,
    });
    for (const bare of ['data: {"type":"error","error":{"message":"x"}}\n\n', 'data: {"error":{"message":"x"}}\n\n']) {
      const { out, tap } = pass([START + bare + DELTA]);
      expect(out).toBe(`${START}event: error\n${bare}${DELTA}`);
      expect(tap.completion).toBe("engine_error");
    }
    expect(pass([record("error", "not json")]).tap.completion).toBe("engine_error");
    expect(pass([START, named, DELTA, STOP]).tail).toBeNull();
  });

  test("has content with the first text, thinking, call or other block, and not before", () => {
    const tap = new AnthropicStreamTap(0);
    for (const text of [record("ping", { type: "ping" }), START, BLOCK, delta("")]) {
      tap.push(Buffer.from(text));
      expect(tap.hasContent, text).toBe(false);
    }
    tap.push(Buffer.from(delta("a")));
    expect(tap.hasContent).toBe(true);
    for (const content_block of [
      { type: "tool_use", id: "t", name: "f", input: {} },
      { type: "redacted_thinking", data: "x" },
      { type: "text", text: "begun" },
    ]) {
      const other = new AnthropicStreamTap(0);
      other.push(Buffer.from(record("content_block_start", { type: "content_block_start", index: 0, content_block })));
      expect(other.hasContent).toBe(true);
    }
    for (const member of [{ thinking: "a" }, { partial_json: "{" }]) {
      const other = new AnthropicStreamTap(0);
      other.push(Buffer.from(record("content_block_delta", { type: "content_block_delta", delta: member })));
      expect(other.hasContent).toBe(true);
    }
  });

  test("counts what was passed on where the engine never said, and says that it did", () => {
    const aborted = pass([START + BLOCK + delta("one ") + delta("two ") + delta("three")]);
    expect(aborted.tap.usage()).toMatchObject({ tokensIn: 9, tokensOut: 4, isEstimated: true });
    const silent = pass([
      BLOCK + delta("one") + record("message_delta", { delta: { stop_reason: "end_turn" } }) + STOP,
    ]);
    expect(silent.tap.usage()).toMatchObject({ tokensIn: 100, tokensOut: 1, isEstimated: true });
    const zero = {
      type: "message_delta",
      delta: { stop_reason: "end_turn" },
      usage: { input_tokens: 0, output_tokens: 0 },
    };
    const zeros = pass([BLOCK + delta("x".repeat(400)) + record("message_delta", zero) + STOP]);
    expect(zeros.tap.usage()).toMatchObject({ tokensIn: 100, tokensOut: 100, isEstimated: true });
    const hostile = { input_tokens: -1, output_tokens: 1.5, cache_read_input_tokens: "5" };
    const odd = pass([BLOCK + delta("a") + record("message_delta", { type: "message_delta", usage: hostile })]);
    expect(odd.tap.usage()).toMatchObject({ tokensIn: 100, tokensInCached: 0, tokensOut: 1, isEstimated: true });
  });

  test("leaves a few unreadable records out and gives up on many", () => {
    const { out } = pass([START, "event: x\ndata: {broken\n\n", delta("a")]);
    expect(out).toBe(START + delta("a"));
    expect(() => pass([Array.from({ length: 9 }, () => "data: <html>\n\n").join("")])).toThrow(/not acceptable/);
  });

  test("holds no more than a record's bound", () => {
    const tap = new AnthropicStreamTap(0);
    const piece = Buffer.alloc(256 * 1024, 0x61);
    expect(() => {
      for (let sent = 0; sent <= MAX_RECORD_BYTES; sent += piece.length) tap.push(piece);
    }).toThrow(/not acceptable/);
  });
});
