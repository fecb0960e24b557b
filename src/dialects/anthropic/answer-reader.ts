import { PosternError } from "../../errors.ts";
import { SseReader } from "../../lib/sse-reader.ts";
import { tokensFromBytes } from "../../lib/token-estimate.ts";
import type { AnswerEvent, AnswerReader } from "../conversation.ts";
import { MAX_RECORD_BYTES } from "../dialect.ts";
import { RecordTemplate } from "../record-template.ts";
import { isAbsent, isJsonObject, type JsonObject } from "../request-member.ts";
import { readMessagesError } from "./error.ts";
import { ToolUseIds } from "./tool-use-ids.ts";
import { nothingSaid, overlayUsage, usageOf } from "./usage.ts";
import { readStopReason } from "./whole-answer.ts";

/** Events that are not JSON are left out; beyond this many the answer is a bad one. */
const MAX_UNREADABLE_RECORDS = 8;
/** Most calls of one answer. */
const MAX_CALLS = 1024;

/** What stands before the data of a delta, as every server of the dialect writes it. */
const DELTA_HEAD = "event: content_block_delta\ndata: ";

/** A call whose block is open. */
interface Call {
  index: number;
  hasArguments: boolean;
  /** What stood in the block's start: some engines put all of it there. */
  input: unknown;
}

/**
 * Reads a stream of `/v1/messages`. One per attempt.
 *
 * Blocks of tools that a server runs itself, signatures, citations and pings say nothing in neutral words and are left out.
 */
export class MessagesStreamReader implements AnswerReader {
  readonly #records: SseReader;
  readonly #texts = new RecordTemplate((data) => plainText(data, "text_delta", "text"));
  readonly #thoughts = new RecordTemplate((data) => plainText(data, "thinking_delta", "thinking"));
  #events: AnswerEvent[] = [];
  /** By the engine's index of the block. */
  readonly #open = new Map<unknown, Call>();
  readonly #ids = new ToolUseIds();
  #calls = 0;
  readonly #said = nothingSaid();
  #deltas = 0;
  #textLength = 0;
  #isFinished = false;
  #isStopped = false;
  #hasFailed = false;
  #unreadable = 0;

  constructor() {
    this.#records = new SseReader(
      MAX_RECORD_BYTES,
      (data, name) => this.#take(data, name),
      (bytes, at, end) => this.#takeBytes(bytes, at, end),
    );
  }

  get isComplete(): boolean {
    return this.#isFinished && this.#isStopped && !this.#hasFailed;
  }

  push(chunk: Buffer): readonly AnswerEvent[] {
    this.#events.length = 0;
    this.#records.push(chunk);
    return this.#events;
  }

  end(): readonly AnswerEvent[] {
    this.#events.length = 0;
    this.#records.end();
    return this.#events;
  }

  get #isOver(): boolean {
    return this.#isStopped || this.#hasFailed;
  }

  #takeBytes(bytes: Buffer, at: number, end: number): number {
    if (this.#isOver) return at;
    const afterText = this.#texts.match(bytes, at, end);
    if (afterText !== at) {
      this.#say("text", this.#texts.text);
      return afterText;
    }
    const afterThought = this.#thoughts.match(bytes, at, end);
    if (afterThought !== at) this.#say("reasoning", this.#thoughts.text);
    return afterThought;
  }

  #take(data: string, name: string | null): void {
    if (this.#isOver || data.startsWith("[DONE]")) return;
    const record = parseRecord(data);
    if (record === null) {
      if (name === "error") return this.#fail({ error: data });
      if (++this.#unreadable <= MAX_UNREADABLE_RECORDS) return;
      throw badAnswer("records that are not JSON", MAX_UNREADABLE_RECORDS);
    }
    const type = record["type"] ?? name;
    switch (type) {
      case "message_start":
        if (isJsonObject(record["message"])) overlayUsage(this.#said, record["message"]["usage"]);
        this.#sayUsage(false);
        return;
      case "content_block_start":
        this.#startBlock(record["index"], record["content_block"]);
        return;
      case "content_block_delta":
        this.#takeDelta(record, data);
        return;
      case "content_block_stop":
        this.#closeCall(record["index"]);
        return;
      case "message_delta":
        this.#takeMessageDelta(record);
        return;
      case "message_stop":
        this.#isStopped = true;
        return;
      default:
        if (name === "error" || type === "error" || isJsonObject(record["error"])) this.#fail(record);
    }
  }

  #startBlock(at: unknown, block: unknown): void {
    if (!isJsonObject(block)) return;
    switch (block["type"]) {
      case "text":
        if (typeof block["text"] === "string") this.#say("text", block["text"]);
        return;
      case "thinking":
        if (typeof block["thinking"] === "string") this.#say("reasoning", block["thinking"]);
        return;
      case "tool_use":
        this.#startCall(at, block);
        return;
      default:
        return;
    }
  }

  #startCall(at: unknown, block: JsonObject): void {
    if (this.#isFinished) return;
    if (this.#calls >= MAX_CALLS) throw badAnswer("too many calls", MAX_CALLS);
    // An index that is still open begins anew: some engines give parallel calls the same one (engine-apis §3.4, 8).
    this.#closeCall(at);
    const call: Call = { index: this.#calls++, hasArguments: false, input: block["input"] };
    this.#open.set(at, call);
    this.#count(1);
    this.#events.push({
      type: "tool_start",
      index: call.index,
      id: this.#ids.unique(block["id"]),
      name: typeof block["name"] === "string" ? block["name"] : "",
    });
  }

  #closeCall(at: unknown): void {
    const call = this.#open.get(at);
    if (call === undefined) return;
    this.#open.delete(at);
    if (call.hasArguments) return;
    const json = isJsonObject(call.input) ? JSON.stringify(call.input) : "{}";
    this.#events.push({ type: "tool_arguments", index: call.index, json });
  }

  #takeDelta(record: JsonObject, data: string): void {
    const delta = record["delta"];
    if (!isJsonObject(delta)) return;
    switch (delta["type"]) {
      case "text_delta":
        if (typeof delta["text"] !== "string") return;
        this.#say("text", delta["text"]);
        this.#texts.learn(DELTA_HEAD, data, delta["text"]);
        return;
      case "thinking_delta":
        if (typeof delta["thinking"] !== "string") return;
        this.#say("reasoning", delta["thinking"]);
        this.#thoughts.learn(DELTA_HEAD, data, delta["thinking"]);
        return;
      case "input_json_delta": {
        const call = this.#open.get(record["index"]);
        const json = delta["partial_json"];
        if (call === undefined || typeof json !== "string" || json === "") return;
        call.hasArguments = true;
        this.#count(json.length);
        this.#events.push({ type: "tool_arguments", index: call.index, json });
        return;
      }
      default:
        return;
    }
  }

  #takeMessageDelta(record: JsonObject): void {
    const delta = isJsonObject(record["delta"]) ? record["delta"] : {};
    const isFinal = overlayUsage(this.#said, record["usage"]);
    if (typeof delta["stop_reason"] === "string" && delta["stop_reason"] !== "" && !this.#isFinished) {
      for (const at of [...this.#open.keys()]) this.#closeCall(at);
      this.#isFinished = true;
      this.#events.push({
        type: "finish",
        ...readStopReason(delta["stop_reason"], delta["stop_sequence"], this.#calls > 0),
      });
    }
    this.#sayUsage(isFinal);
  }

  /** Nothing is said while the engine has not said the prompt's tokens: no prompt has none. */
  #sayUsage(isFinal: boolean): void {
    const counted = Math.max(this.#deltas, tokensFromBytes(this.#textLength));
    const usage = usageOf(this.#said, { requestBytes: 0, counted, isFinal });
    if (usage.tokensIn > 0) this.#events.push({ type: "usage", usage });
  }

  #say(type: "text" | "reasoning", text: string): void {
    if (text === "" || this.#isFinished) return;
    this.#count(text.length);
    this.#events.push({ type, text });
  }

  #count(length: number): void {
    this.#deltas += 1;
    this.#textLength += length;
  }

  #fail(record: unknown): void {
    this.#hasFailed = true;
    this.#events.push({ type: "error", error: readMessagesError(0, record) });
  }
}

function parseRecord(data: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(data);
    return isJsonObject(value) ? value : null;
  } catch {
    return null;
  }
}

/** The text of a delta that says nothing else; null for every other record. */
function plainText(data: string, type: string, member: string): string | null {
  const record = parseRecord(data);
  if (record === null || record["type"] !== "content_block_delta" || !isAbsent(record["error"])) return null;
  const delta = record["delta"];
  if (!isJsonObject(delta) || delta["type"] !== type) return null;
  const text = delta[member];
  return typeof text === "string" ? text : null;
}

function badAnswer(reason: string, limit: number): PosternError {
  return new PosternError("engine_bad_answer", { detail: { reason, limit } });
}
