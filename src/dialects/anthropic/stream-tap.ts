import { PosternError } from "../../errors.ts";
import { eventData, eventName } from "../../lib/sse.ts";
import { tokensFromBytes } from "../../lib/token-estimate.ts";
import { type Completion, MAX_RECORD_BYTES, type StreamTap, type Usage } from "../dialect.ts";
import { isJsonObject, type JsonObject } from "../request-member.ts";
import { nothingSaid, overlayUsage, usageOf } from "./usage.ts";

const EMPTY = Buffer.alloc(0);
/** Put before an error that an engine told without its event's name: clients drop records that have none (engine-apis §3.3). */
const ERROR_NAME = Buffer.from("event: error\n");
const BLANK_LINE = Buffer.from("\n\n");
/** Events that are not JSON are left out; beyond this many the answer is a bad one. */
const MAX_UNREADABLE_RECORDS = 8;
/** Smallest buffer for an incomplete record. */
const HELD_BYTES = 2048;

const LF = 0x0a;
const CR = 0x0d;

/** What becomes of a record. */
type Verdict = "pass" | "hide" | "name_error";

/**
 * Watches an Anthropic stream on its way through.
 *
 * One pass over the bytes finds the ends of records. Once content has begun, a record that calls itself
 * `content_block_delta` is counted by its length and never decoded; the others are few and are parsed. A chunk that begins
 * and ends at the border of records, all of which pass, is handed on as the same buffer. An incomplete record waits for its
 * rest, copied, in a buffer that grows by doubling.
 *
 * `message_stop` is taken out and written again by `finish`, once the end of the stream has shown that it is one.
 */
export class AnthropicStreamTap implements StreamTap {
  readonly #requestBytes: number;

  /** Bytes of an incomplete record, from its first one; the rest of the buffer is free. */
  #held: Buffer | null = null;
  #heldBytes = 0;
  /** Where in `#held` the line begins at which the look goes on. */
  #lineStart = 0;

  #hasContent = false;
  #hasFailed = false;
  #hasStopReason = false;
  /** The engine's own `message_stop`, whole. */
  #stop: Buffer | null = null;
  #unreadable = 0;

  #deltas = 0;
  /** Text passed on: counted where a record was decoded, else its bytes beyond `#frameBytes`. */
  #textLength = 0;
  /** Bytes of a record around its text, as seen at the last decoded one with content. */
  #frameBytes = 0;
  readonly #said = nothingSaid();
  #isUsageFinal = false;

  constructor(requestBytes: number) {
    this.#requestBytes = requestBytes;
  }

  get hasContent(): boolean {
    return this.#hasContent;
  }

  get completion(): Completion {
    if (this.#hasFailed) return "engine_error";
    return this.#hasStopReason && this.#stop !== null ? "complete" : "open";
  }

  push(chunk: Buffer): Buffer {
    const isOwn = this.#held !== null;
    let bytes = chunk;
    let end = chunk.length;
    let at = 0;
    let lineStart = 0;
    if (isOwn) {
      at = this.#heldBytes;
      bytes = this.#hold(chunk);
      end = this.#heldBytes;
      lineStart = this.#lineStart;
    }
    let recordStart = 0;
    let keptFrom = 0;
    let kept: Buffer[] | null = null;
    for (; at < end; at++) {
      if (bytes[at] !== LF) continue;
      // A blank line, ended by LF or CRLF, ends the record.
      if (at === lineStart || (at === lineStart + 1 && bytes[lineStart] === CR)) {
        const next = at + 1;
        const verdict = this.#takeRecord(bytes, recordStart, next);
        if (verdict !== "pass") {
          kept ??= [];
          if (recordStart > keptFrom) kept.push(bytes.subarray(keptFrom, recordStart));
          if (verdict === "name_error") kept.push(ERROR_NAME);
          keptFrom = verdict === "hide" ? next : recordStart;
        }
        recordStart = next;
      }
      lineStart = at + 1;
    }
    if (end - recordStart > MAX_RECORD_BYTES) throw badAnswer("record too long");
    if (recordStart < end || isOwn) this.#keepRest(bytes, recordStart, end, isOwn, lineStart);
    if (kept === null) {
      if (recordStart === end && !isOwn) return chunk;
      return recordStart === 0 ? EMPTY : bytes.subarray(0, recordStart);
    }
    if (recordStart > keptFrom) kept.push(bytes.subarray(keptFrom, recordStart));
    return kept.length === 1 ? (kept[0] ?? EMPTY) : Buffer.concat(kept);
  }

  finish(): Buffer | null {
    let rest: Buffer = EMPTY;
    const held = this.#held;
    if (held !== null && this.#heldBytes > 0) {
      // Some servers leave out the last blank line. What is whole counts, half a record does not.
      const record = Buffer.concat([held.subarray(0, this.#heldBytes), BLANK_LINE]);
      if (isWhole(record) && this.#takeRecord(record, 0, record.length) === "pass") rest = record;
      this.#held = null;
      this.#heldBytes = 0;
    }
    if (this.completion !== "complete" || this.#stop === null) return null;
    return rest.length === 0 ? this.#stop : Buffer.concat([rest, this.#stop]);
  }

  usage(): Usage {
    // A delta is a token with most engines; some put several into one.
    const counted = Math.max(this.#deltas, tokensFromBytes(this.#textLength));
    return usageOf(this.#said, { requestBytes: this.#requestBytes, counted, isFinal: this.#isUsageFinal });
  }

  /** Decodes the record only when it can matter. */
  #takeRecord(bytes: Buffer, start: number, end: number): Verdict {
    if (this.#stop !== null) return "hide";
    if (this.#hasContent && isPlainDelta(bytes, start, end)) {
      this.#deltas++;
      if (end - start > this.#frameBytes) this.#textLength += end - start - this.#frameBytes;
      return "pass";
    }
    const text = bytes.toString("utf8", start, end);
    const data = eventData(text);
    if (data === null) return "pass";
    const name = eventName(text);
    const value = parse(data);
    if (value === undefined) return this.#takeUnreadable(name, data);
    if (!isJsonObject(value)) return "pass";
    const type = value["type"] ?? name;
    switch (type) {
      case "message_start":
        if (isJsonObject(value["message"])) overlayUsage(this.#said, value["message"]["usage"]);
        return "pass";
      case "content_block_start":
        if (startsContent(value["content_block"])) this.#hasContent = true;
        return "pass";
      case "content_block_delta":
        this.#takeDelta(value["delta"], end - start);
        return "pass";
      case "message_delta":
        this.#takeMessageDelta(value);
        return "pass";
      case "message_stop":
        // Copied: the chunk goes back to whoever gave it.
        this.#stop = Buffer.from(bytes.subarray(start, end));
        return "hide";
      default:
        if (name !== "error" && type !== "error" && !isJsonObject(value["error"])) return "pass";
        this.#hasFailed = true;
        return name === "error" ? "pass" : "name_error";
    }
  }

  #takeUnreadable(name: string | null, data: string): Verdict {
    if (name === "error") {
      this.#hasFailed = true;
      return "pass";
    }
    // vLLM ends with OpenAI's word for it; clients skip it.
    if (data.startsWith("[DONE]")) return "pass";
    if (++this.#unreadable > MAX_UNREADABLE_RECORDS) throw badAnswer("records that are not JSON");
    return "hide";
  }

  #takeDelta(delta: unknown, recordBytes: number): void {
    const length = deltaLength(delta);
    if (length === 0) return;
    this.#hasContent = true;
    this.#deltas++;
    this.#textLength += length;
    this.#frameBytes = recordBytes - length;
  }

  #takeMessageDelta(value: JsonObject): void {
    const delta = value["delta"];
    if (isJsonObject(delta) && typeof delta["stop_reason"] === "string" && delta["stop_reason"] !== "") {
      this.#hasStopReason = true;
    }
    if (overlayUsage(this.#said, value["usage"])) this.#isUsageFinal = true;
  }

  /** Adds the chunk to what is held; returns the buffer that holds both. */
  #hold(chunk: Buffer): Buffer {
    const total = this.#heldBytes + chunk.length;
    let held = this.#held ?? EMPTY;
    if (total > held.length) {
      const grown = Buffer.allocUnsafe(Math.max(total * 2, HELD_BYTES));
      held.copy(grown, 0, 0, this.#heldBytes);
      held = grown;
      this.#held = held;
    }
    chunk.copy(held, this.#heldBytes);
    this.#heldBytes = total;
    return held;
  }

  /** Remembers the incomplete record at the end. What was handed out is never written to again: then the rest moves. */
  #keepRest(bytes: Buffer, start: number, end: number, isOwn: boolean, lineStart: number): void {
    this.#lineStart = lineStart - start;
    if (isOwn && start === 0) return;
    const rest = end - start;
    this.#heldBytes = rest;
    if (rest === 0) {
      this.#held = null;
      return;
    }
    const held = Buffer.allocUnsafe(Math.max(rest * 2, HELD_BYTES));
    bytes.copy(held, 0, start, end);
    this.#held = held;
  }
}

const DELTA_NAME = Buffer.from("event: content_block_delta");

/** A record of two lines, `event: content_block_delta` and `data: {…}`: what nearly all are. Text that was cut off does not end in a brace. */
function isPlainDelta(bytes: Buffer, start: number, end: number): boolean {
  const nameEnd = start + DELTA_NAME.length;
  if (end - nameEnd < 12) return false;
  // From behind, where names differ.
  for (let at = nameEnd - 1, index = DELTA_NAME.length - 1; index >= 0; at--, index--) {
    if (bytes[at] !== DELTA_NAME[index]) return false;
  }
  const dataStart = bytes[nameEnd] === CR ? nameEnd + 2 : nameEnd + 1;
  if (bytes[dataStart - 1] !== LF || bytes[dataStart] !== 0x64 || bytes[dataStart + 4] !== 0x3a) return false;
  if (bytes[bytes[dataStart + 5] === 0x20 ? dataStart + 6 : dataStart + 5] !== 0x7b) return false;
  return (bytes[end - 3] === CR ? bytes[end - 5] : bytes[end - 3]) === 0x7d;
}

/** Whether the start of a block is content of its own: a tool call is, an empty text or thinking block is not yet. */
function startsContent(block: unknown): boolean {
  if (!isJsonObject(block)) return false;
  switch (block["type"]) {
    case "text":
      return isText(block["text"]);
    case "thinking":
      return isText(block["thinking"]);
    default:
      return typeof block["type"] === "string";
  }
}

/** Characters that reach a reader in a delta. Signatures and citations come with text that has been counted. */
function deltaLength(delta: unknown): number {
  if (!isJsonObject(delta)) return 0;
  for (const name of ["text", "thinking", "partial_json"]) {
    const value = delta[name];
    if (isText(value)) return value.length;
  }
  return 0;
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

function isWhole(record: Buffer): boolean {
  const data = eventData(record.toString("utf8"));
  return data !== null && parse(data) !== undefined;
}

function parse(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
}

function badAnswer(reason: string): PosternError {
  return new PosternError("engine_bad_answer", { detail: { reason, limit: MAX_RECORD_BYTES } });
}
