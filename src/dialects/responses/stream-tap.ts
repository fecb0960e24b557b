import { PosternError } from "../../errors.ts";
import { eventData, eventName } from "../../lib/sse.ts";
import { tokensFromBytes } from "../../lib/token-estimate.ts";
import { believableUsage } from "../believable-usage.ts";
import type { Completion, StreamTap, Usage } from "../dialect.ts";
import { RecordFilter } from "../record-filter.ts";
import { isJsonObject, type JsonObject } from "../request-member.ts";
import { errorRecord, failureRecords, record } from "./failure.ts";
import { readResponseUsage } from "./usage.ts";

/** Events that are not JSON are left out; beyond this many the answer is a bad one. */
const MAX_UNREADABLE_RECORDS = 8;

/** Events that end an answer. */
const ENDS: ReadonlySet<unknown> = new Set(["response.completed", "response.incomplete"]);
/** Items that are content by themselves. A message or a piece of reasoning has none yet when it is added. */
const CONTENT_ITEMS = /_call$/;

/**
 * Watches a stream of typed events on its way through.
 *
 * Once content has begun, a record that calls itself a delta is counted by its length and never decoded; the others are few
 * and are parsed. `response.completed` is taken out and written again by `finish`, once the end of the stream has shown that
 * it is one. There is no `[DONE]` in this dialect; one that an engine writes is taken out.
 */
export class ResponsesStreamTap implements StreamTap {
  readonly #requestBytes: number;
  readonly #records = new RecordFilter((bytes, start, end) => this.#takeRecord(bytes, start, end));
  /** What `response.created` carried: the caller has seen it. */
  #response: JsonObject | null = null;
  /** Number of the next event, as far as engines number them without gaps. */
  #sequence = 0;
  #end: Buffer | null = null;
  #hasContent = false;
  /** Whether an item of reasoning has begun of which no part was announced yet. */
  #isUnannounced = false;
  #hasFailed = false;
  #unreadable = 0;
  #usage: Usage | null = null;
  #deltas = 0;
  /** Text passed on: counted where a record was decoded, else its bytes beyond `#frameBytes`. */
  #textLength = 0;
  #frameBytes = 0;

  constructor(requestBytes: number) {
    this.#requestBytes = requestBytes;
  }

  get hasContent(): boolean {
    return this.#hasContent;
  }

  get completion(): Completion {
    if (this.#hasFailed) return "engine_error";
    return this.#end === null ? "open" : "complete";
  }

  push(chunk: Buffer): Buffer {
    return this.#records.push(chunk);
  }

  finish(): Buffer | null {
    const rest = this.#records.takeRest();
    // Some servers leave out the last blank line. What is whole counts, half a record does not.
    if (rest !== null && isWhole(rest)) this.#takeRecord(rest, 0, rest.length);
    return this.completion === "complete" ? this.#end : null;
  }

  usage(): Usage {
    const counted = Math.max(this.#deltas, tokensFromBytes(this.#textLength));
    return believableUsage(this.#usage, this.#requestBytes, counted);
  }

  /**
   * A typed event that says nothing, once the caller knows of the answer: Codex counts events, not bytes. `response.in_progress`
   * would not do: OpenAI's own client takes it for a new state of the answer and forgets the text so far.
   */
  keepAlive(): Buffer {
    return Buffer.from(
      this.#response === null ? ": ping\n\n" : record("keepalive", { sequence_number: this.#sequence }),
    );
  }

  inBandError(error: PosternError): Buffer | null {
    return this.#response === null ? null : Buffer.from(failureRecords(error, this.#response, this.#sequence));
  }

  #takeRecord(bytes: Buffer, start: number, end: number): boolean | Buffer {
    if (this.#end !== null || this.#hasFailed) return false;
    if (this.#hasContent && !this.#isUnannounced && isDelta(bytes, start, end)) {
      this.#sequence += 1;
      this.#deltas += 1;
      if (end - start > this.#frameBytes) this.#textLength += end - start - this.#frameBytes;
      return true;
    }
    const text = bytes.toString("utf8", start, end);
    const data = eventData(text);
    if (data === null) return true;
    const value = parse(data);
    if (!isJsonObject(value)) return this.#takeUnreadable(eventName(text), data);
    return this.#takeEvent(value["type"] ?? eventName(text), value, bytes, start, end);
  }

  #takeEvent(type: unknown, event: JsonObject, bytes: Buffer, start: number, end: number): boolean | Buffer {
    const number = event["sequence_number"];
    this.#sequence = Number.isSafeInteger(number) ? (number as number) + 1 : this.#sequence + 1;
    const response = event["response"];
    if (ENDS.has(type)) {
      if (isJsonObject(response)) this.#usage = readResponseUsage(response["usage"]) ?? this.#usage;
      // Copied: the chunk goes back to whoever gave it.
      this.#end = Buffer.from(bytes.subarray(start, end));
      return false;
    }
    if (type === "response.failed" || type === "error" || (type === null && isJsonObject(event["error"]))) {
      if (isJsonObject(response)) this.#usage = readResponseUsage(response["usage"]) ?? this.#usage;
      this.#hasFailed = true;
      if (type === "response.failed") return Buffer.from(errorRecord(wordsOf(response), this.#sequence - 1));
    } else if (type === "response.created") {
      if (isJsonObject(response)) this.#response = response;
    } else if (type === "response.output_item.added") {
      const item = event["item"];
      if (isJsonObject(item) && CONTENT_ITEMS.test(String(item["type"]))) this.#hasContent = true;
      this.#isUnannounced = isJsonObject(item) && item["type"] === "reasoning";
    } else if (type === "response.content_part.added" || type === "response.reasoning_summary_part.added") {
      this.#isUnannounced = false;
    } else if (typeof event["delta"] === "string" && event["delta"] !== "") {
      this.#hasContent = true;
      this.#deltas += 1;
      this.#textLength += event["delta"].length;
      this.#frameBytes = end - start - event["delta"].length;
      if (this.#isUnannounced) {
        this.#isUnannounced = false;
        return announcePart(type, event) ?? true;
      }
    }
    return true;
  }

  #takeUnreadable(name: string | null, data: string): boolean {
    if (name === "error") {
      this.#hasFailed = true;
      return true;
    }
    if (data.startsWith("[DONE]")) return false;
    if (++this.#unreadable > MAX_UNREADABLE_RECORDS) {
      throw new PosternError("engine_bad_answer", { detail: { reason: "records that are not JSON" } });
    }
    return false;
  }
}

/** What a response says of its failure. */
function wordsOf(response: unknown): { code: string; message: string } {
  const said = isJsonObject(response) && isJsonObject(response["error"]) ? response["error"] : {};
  const { code, message } = said;
  return {
    code: typeof code === "string" ? code : "server_error",
    message: typeof message === "string" ? message : "The inference server reported an error",
  };
}

/**
 * The event that has to come before the first delta of a part of reasoning. vLLM calls it `response.reasoning_part.added`, which
 * is no event of the dialect, others leave it out; the openai package throws at the delta then ("missing content at index 0").
 */
function announcePart(type: unknown, event: JsonObject): Buffer | null {
  const { item_id, output_index, content_index, summary_index, sequence_number } = event;
  if (typeof item_id !== "string" || !Number.isSafeInteger(output_index)) return null;
  const place = { item_id, output_index, ...(sequence_number === undefined ? {} : { sequence_number }) };
  if (type === "response.reasoning_text.delta") {
    const part = { type: "reasoning_text", text: "" };
    return Buffer.from(record("response.content_part.added", { ...place, content_index: content_index ?? 0, part }));
  }
  if (type === "response.reasoning_summary_text.delta") {
    const part = { type: "summary_text", text: "" };
    const added = { ...place, summary_index: summary_index ?? 0, part };
    return Buffer.from(record("response.reasoning_summary_part.added", added));
  }
  return null;
}

const EVENT_NAME = Buffer.from("event: response.");
const LF = 0x0a;
const CR = 0x0d;
/** Longest first line that is looked at. */
const MAX_NAME_BYTES = 80;

/** A record of two lines, `event: response.….delta` and `data: {…}`: what nearly all are. Text that was cut off does not end in a brace. */
function isDelta(bytes: Buffer, start: number, end: number): boolean {
  let nameEnd = start + EVENT_NAME.length;
  if (end - nameEnd < 20) return false;
  for (let index = 0; index < EVENT_NAME.length; index++) if (bytes[start + index] !== EVENT_NAME[index]) return false;
  const limit = Math.min(end, start + MAX_NAME_BYTES);
  while (nameEnd < limit && bytes[nameEnd] !== LF) nameEnd++;
  const dataStart = nameEnd + 1;
  if (bytes[nameEnd - 1] === CR) nameEnd--;
  // `.delta`, from behind.
  if (bytes[nameEnd - 1] !== 0x61 || bytes[nameEnd - 2] !== 0x74 || bytes[nameEnd - 6] !== 0x2e) return false;
  if (bytes[dataStart] !== 0x64 || bytes[dataStart + 4] !== 0x3a) return false;
  if (bytes[bytes[dataStart + 5] === 0x20 ? dataStart + 6 : dataStart + 5] !== 0x7b) return false;
  return (bytes[end - 3] === CR ? bytes[end - 5] : bytes[end - 3]) === 0x7d;
}

function isWhole(rest: Buffer): boolean {
  const data = eventData(rest.toString("utf8"));
  return data !== null && parse(data) !== undefined;
}

function parse(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
}
