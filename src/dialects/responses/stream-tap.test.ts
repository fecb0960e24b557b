import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PosternError } from "../../errors.ts";
import { MAX_RECORD_BYTES } from "../dialect.ts";
import { ResponsesStreamTap } from "./stream-tap.ts";

function event(type: string, members: Record<string, unknown> = {}): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...members })}\n\n`;
}

const RESPONSE = { id: "resp_1", object: "response", status: "in_progress", model: "m", output: [] };
const CREATED = event("response.created", { response: RESPONSE, sequence_number: 0 });
const delta = (text: string, number = 1) =>
  event("response.output_text.delta", { delta: text, item_id: "i", output_index: 0, sequence_number: number });
const USAGE = { input_tokens: 9, output_tokens: 4, input_tokens_details: { cached_tokens: 3 } };
const COMPLETED = event("response.completed", { response: { ...RESPONSE, status: "completed", usage: USAGE } });

function pass(records: readonly string[], cut = 0): { out: string; tail: string | null; tap: ResponsesStreamTap } {
  const tap = new ResponsesStreamTap(400);
  const bytes = Buffer.from(records.join(""));
  const step = cut === 0 ? bytes.length : cut;
  const out: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += step) out.push(tap.push(bytes.subarray(at, at + step)));
  return { out: Buffer.concat(out).toString(), tail: tap.finish()?.toString() ?? null, tap };
}

describe("ResponsesStreamTap", () => {
  test("hands on the same buffer, and keeps the end back until it is one", () => {
    const tap = new ResponsesStreamTap(0);
    tap.push(Buffer.from(CREATED));
    const chunk = Buffer.from(delta("a") + delta("b"));
    expect(tap.push(chunk)).toBe(chunk);
    expect(tap.completion).toBe("open");
    expect(tap.push(Buffer.from(COMPLETED)).length).toBe(0);
    expect(tap.completion).toBe("complete");
    expect(tap.usage()).toMatchObject({ tokensIn: 9, tokensInCached: 3, tokensOut: 4, isEstimated: false });
    expect(tap.finish()?.toString()).toBe(COMPLETED);
  });

  test("has no clean end without response.completed or response.incomplete, and writes no [DONE]", () => {
    expect(pass([CREATED, delta("a"), "data: [DONE]\n\n"]).tail).toBeNull();
    const incomplete = event("response.incomplete", { response: { status: "incomplete", usage: USAGE } });
    const { out, tail } = pass([CREATED, delta("a"), incomplete, "data: [DONE]\n\n"]);
    expect(out + tail).toBe(CREATED + delta("a") + incomplete);
    expect(pass([CREATED, delta("a"), COMPLETED.trimEnd()]).tail).toBe(COMPLETED);
    expect(pass([CREATED, delta("a"), COMPLETED.slice(0, -9)]).tail).toBeNull();
  });

  test.each([
    event("error", { code: "x", message: "m" }),
    'data: {"error":{"message":"m"}}\n\n',
    "event: error\ndata: boom\n\n",
  ])("tells the engine's own error %j", (record) => {
    const { out, tail, tap } = pass([CREATED, delta("a"), record, COMPLETED]);
    expect(out).toBe(CREATED + delta("a") + record);
    expect(tail).toBeNull();
    expect(tap.completion).toBe("engine_error");
  });

  // LangChain took an answer that ended with `response.failed` alone for complete.
  test("tells the engine's own failure with an event at which clients throw before it", () => {
    const failure = event("response.failed", {
      response: { ...RESPONSE, status: "failed", error: { code: "x", message: "m" } },
      sequence_number: 2,
    });
    const thrown = event("error", { code: "x", message: "m", param: null, sequence_number: 2 });
    const { out, tail, tap } = pass([CREATED, delta("a"), failure, COMPLETED]);
    expect(out).toBe(CREATED + delta("a") + thrown + failure);
    expect([tail, tap.completion]).toEqual([null, "engine_error"]);
    expect(pass([CREATED, event("response.failed")]).out).toContain('"code":"server_error"');
  });

  test.each([
    [CREATED, false],
    [event("response.in_progress", { response: RESPONSE }), false],
    [event("response.output_item.added", { item: { type: "message", content: [] } }), false],
    [event("response.output_item.added", { item: { type: "reasoning", summary: [] } }), false],
    [event("response.content_part.added", { part: { type: "output_text", text: "" } }), false],
    [event("response.output_item.added", { item: { type: "function_call", name: "f" } }), true],
    [event("response.reasoning_summary_text.delta", { delta: "hm" }), true],
    [delta(""), false],
    [delta("a"), true],
  ])("knows whether %s is content", (record, hasContent) => {
    expect(pass([record]).tap.hasContent).toBe(hasContent);
  });

  test("keeps alive with an event that changes nothing, once there is an answer", () => {
    const tap = new ResponsesStreamTap(0);
    expect(tap.keepAlive().toString()).toBe(": ping\n\n");
    tap.push(Buffer.from(CREATED + delta("a", 1) + delta("b", 2)));
    expect(tap.keepAlive().toString()).toBe(event("keepalive", { sequence_number: 3 }));
  });

  test("fails the answer that the caller knows, by its id", () => {
    const tap = new ResponsesStreamTap(0);
    expect(tap.inBandError(new PosternError("engine_cut"))).toBeNull();
    tap.push(Buffer.from(CREATED + delta("a", 1)));
    const failed = String(tap.inBandError(new PosternError("engine_cut")));
    expect(failed.startsWith('event: error\ndata: {"type":"error","code":"engine_cut"')).toBe(true);
    expect(JSON.parse(failed.slice(failed.lastIndexOf("data: ") + 6))).toMatchObject({
      type: "response.failed",
      sequence_number: 3,
      response: { id: "resp_1", status: "failed", error: { code: "engine_cut" } },
    });
  });

  test("counts what was passed on when the engine never said, flagged", () => {
    const { tap } = pass([CREATED, delta("a"), delta("b"), delta("x".repeat(400))]);
    const { tokensIn, tokensOut, isEstimated } = tap.usage();
    expect([tokensIn, isEstimated]).toEqual([100, true]);
    expect(tokensOut).toBeGreaterThanOrEqual(100);
    expect(tokensOut).toBeLessThan(110);
  });

  test("leaves out what is not JSON, gives up on much of it, and on a record without end", () => {
    const broken = "event: response.x\ndata: {nonsense\n\n";
    expect(pass([CREATED, broken, delta("a")]).out).toBe(CREATED + delta("a"));
    expect(() => pass(Array.from({ length: 9 }, () => broken))).toThrow(PosternError);
    const tap = new ResponsesStreamTap(0);
    expect(() => {
      for (let sent = 0; sent <= MAX_RECORD_BYTES; sent += 65_536) tap.push(Buffer.alloc(65_536, "x"));
    }).toThrow(expect.objectContaining({ code: "engine_bad_answer" }));
  });

  // The openai package threw "missing content at index 0" at the first thought of vLLM and Ollama.
  test.each([
    ["response.reasoning_text.delta", { content_index: 0 }, "response.content_part.added", "reasoning_text"],
    [
      "response.reasoning_summary_text.delta",
      { summary_index: 0 },
      "response.reasoning_summary_part.added",
      "summary_text",
    ],
  ])("announces the part of a first %s that nobody announced, once for each item", (type, index, added, part) => {
    const item = (at: number) =>
      event("response.output_item.added", {
        output_index: at,
        item: { id: `rs_${at}`, type: "reasoning", summary: [] },
      });
    const thought = (at: number) => event(type, { item_id: `rs_${at}`, output_index: at, ...index, delta: "hm" });
    const announced = (at: number) =>
      event(added, { item_id: `rs_${at}`, output_index: at, ...index, part: { type: part, text: "" } });
    const said = [CREATED, item(0), thought(0), thought(0), delta("a"), item(2), thought(2), thought(2), delta("b")];
    const heard = [...said.slice(0, 2), announced(0), ...said.slice(2, 6), announced(2), ...said.slice(6)].join("");
    for (const cut of [0, 1, 7, 100]) expect(pass(said, cut).out).toBe(heard);
    // What was announced is left alone.
    expect(pass(heard.split(/(?<=\n\n)/)).out).toBe(heard);
  });

  test("passes the same bytes however they are cut", () => {
    const text = fc.oneof(fc.string({ maxLength: 8 }), fc.constantFrom("é", "🙂", "\n", '"}', "\r\n\r\n"));
    fc.assert(
      fc.property(
        fc.array(text, { maxLength: 8 }),
        fc.boolean(),
        fc.integer({ min: 1, max: 50 }),
        (list, isCrlf, cut) => {
          let records = [CREATED, ...list.map((piece) => delta(piece)), ": ping\n\n", event("unknown", { a: 1 })];
          if (isCrlf) records = records.map((one) => one.replaceAll("\n", "\r\n"));
          const { out, tail, tap } = pass([...records, COMPLETED], cut);
          expect(out).toBe(records.join(""));
          expect(tail).toBe(COMPLETED);
          expect(tap.usage().isEstimated).toBe(false);
        },
      ),
      { numRuns: 200 },
    );
  });
});
