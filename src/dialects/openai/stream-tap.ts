import { PosternError } from "../../errors.ts";
import { eventData, eventName } from "../../lib/sse.ts";
import { tokensFromBytes } from "../../lib/token-estimate.ts";
import { believableUsage } from "../believable-usage.ts";
import { type Completion, MAX_RECORD_BYTES, type RequestFacts, type StreamTap, type Usage } from "../dialect.ts";
import { readRecord, type StreamRecord } from "./stream-record.ts";

/** The clean end of a stream of this dialect. Written by `finish`, never passed through. */
const DONE = Buffer.from("data: [DONE]\n\n");
const EMPTY = Buffer.alloc(0);
/** Events that are not JSON are left out; beyond this many the answer is a bad one. */
const MAX_UNREADABLE_RECORDS = 8;
/** Smallest buffer for an incomplete record. */
const HELD_BYTES = 2048;

const LF = 0x0a;
const CR = 0x0d;
const QUOTE = 0x22;

/**
 * Watches an OpenAI stream of chat or completion chunks.
 *
 * One pass over the bytes finds the ends of records and, by the byte before each quote, the few names that can matter
 * (`finish_reason`, `usage`, `error`) with a value other than null. Only records with such a name, unusual ones and
 * those before the first content are decoded. A chunk that begins and ends at the border of records, all of them plain, is handed on as
 * the same buffer. An incomplete record waits for its rest, copied, in a buffer that grows by doubling.
 *
 * `[DONE]` is taken out and written again by `finish`, once the end of the stream has shown that it is one.
 */
export class OpenAiStreamTap implements StreamTap {
  readonly #isUsageHidden: boolean;
  readonly #hasManyChoices: boolean;
  readonly #requestBytes: number;

  /** Bytes of an incomplete record, from its first one; the rest of the buffer is free. */
  #held: Buffer | null = null;
  #heldBytes = 0;
  /** Where in `#held` the look goes on, where the line begins there, and whether a name that matters was seen. */
  #lineStart = 0;
  #isMarked = false;

  #hasContent = false;
  #isDone = false;
  #hasFailed = false;
  #deltas = 0;
  /** Text passed on: counted where a record was decoded, else its bytes beyond `#frameBytes`. */
  #textLength = 0;
  /** Bytes of a record around its text, as seen at the last decoded one with content. */
  #frameBytes = 0;
  #unreadable = 0;
  #usage: Usage | null = null;
  /** `#deltas` when the engine last told its counts. */
  #deltasWhenTold = 0;
  /** The last record that was passed on undecoded: where an engine gives running counts, they stand in it. */
  #last: Buffer | null = null;
  #lastStart = 0;
  #lastEnd = 0;
  /** Choices that were seen and have not finished; and whether any has. */
  readonly #openChoices = new Set<number>();
  #hasFinished = false;

  constructor(facts: Pick<RequestFacts, "wantsUsage" | "hasManyChoices">, requestBytes: number) {
    this.#isUsageHidden = !facts.wantsUsage;
    this.#hasManyChoices = facts.hasManyChoices;
    this.#requestBytes = requestBytes;
  }

  get hasContent(): boolean {
    return this.#hasContent;
  }

  get completion(): Completion {
    if (this.#hasFailed) return "engine_error";
    return this.#hasFinished && this.#openChoices.size === 0 ? "complete" : "open";
  }

  push(chunk: Buffer): Buffer {
    const isOwn = this.#held !== null;
    let bytes = chunk;
    let end = chunk.length;
    let at = 0;
    let lineStart = 0;
    let isMarked = false;
    if (isOwn) {
      at = this.#heldBytes;
      bytes = this.#hold(chunk);
      end = this.#heldBytes;
      lineStart = this.#lineStart;
      isMarked = this.#isMarked;
    }
    let recordStart = 0;
    let keptFrom = 0;
    let kept: Buffer[] | null = null;
    for (; at < end; at++) {
      const byte = bytes[at] as number;
      if (byte === LF) {
        // A blank line, ended by LF or CRLF, ends the record.
        if (at === lineStart || (at === lineStart + 1 && bytes[lineStart] === CR)) {
          const next = at + 1;
          if (!this.#takeRecord(bytes, recordStart, next, isMarked)) {
            if (recordStart > keptFrom) {
              kept ??= [];
              kept.push(bytes.subarray(keptFrom, recordStart));
            }
            keptFrom = next;
          }
          recordStart = next;
          isMarked = false;
        }
        lineStart = at + 1;
      } else if (byte === QUOTE && !isMarked) {
        isMarked = isMark(bytes, recordStart, at, end);
      }
    }
    if (end - recordStart > MAX_RECORD_BYTES) {
      throw new PosternError("engine_bad_answer", { detail: { reason: "record too long", limit: MAX_RECORD_BYTES } });
    }
    if (recordStart < end || isOwn) this.#keepRest(bytes, recordStart, end, isOwn, lineStart, isMarked);
    if (kept === null) {
      if (keptFrom === 0 && recordStart === end && !isOwn) return chunk;
      return recordStart === keptFrom ? EMPTY : bytes.subarray(keptFrom, recordStart);
    }
    if (recordStart > keptFrom) kept.push(bytes.subarray(keptFrom, recordStart));
    return kept.length === 1 ? (kept[0] ?? EMPTY) : Buffer.concat(kept);
  }

  finish(): Buffer | null {
    let rest: Buffer = EMPTY;
    const held = this.#held;
    if (held !== null && this.#heldBytes > 0) {
      // Some servers leave out the last blank line. What is whole counts, half a record does not.
      const record = Buffer.concat([held.subarray(0, this.#heldBytes), Buffer.from("\n\n")]);
      const data = eventData(record.toString("utf8"));
      if (data !== null && readRecord(data).kind !== "unreadable" && this.#takeRecord(record, 0, record.length, true)) {
        rest = record;
      }
      this.#held = null;
      this.#heldBytes = 0;
    }
    if (this.completion !== "complete") return null;
    return rest.length === 0 ? DONE : Buffer.concat([rest, DONE]);
  }

  usage(): Usage {
    this.#readLast();
    // A delta is a token with most engines; under load and with speculation some put several into one.
    const counted = Math.max(this.#deltas, tokensFromBytes(this.#textLength));
    const told = believableUsage(this.#usage, this.#requestBytes, counted);
    const untold = this.#deltas - this.#deltasWhenTold;
    if (this.#usage === null || this.#usage.tokensOut === 0 || untold === 0) return told;
    return { ...told, tokensOut: told.tokensOut + untold, isEstimated: true };
  }

  /** Running counts of a stream that was left early stand in what was passed on last, which was not decoded. */
  #readLast(): void {
    if (this.#last === null || this.#deltas === this.#deltasWhenTold) return;
    const data = eventData(this.#last.toString("utf8", this.#lastStart, this.#lastEnd));
    const record = data === null ? null : readRecord(data);
    if (record?.kind === "chunk") this.#takeCounts(record);
  }

  #takeCounts({ usage, timings }: { usage: Usage | null; timings: Usage | null }): void {
    const told = usage ?? (this.#hasManyChoices ? null : timings);
    if (told === null) return;
    this.#usage = told;
    this.#deltasWhenTold = this.#deltas;
  }

  /** Whether the record may go to the caller. Decodes it only when it can matter. */
  #takeRecord(bytes: Buffer, start: number, end: number, isMarked: boolean): boolean {
    if (this.#isDone) return false;
    if (!isMarked && this.#hasContent && !this.#hasManyChoices && isPlainData(bytes, start, end)) {
      this.#deltas++;
      if (end - start > this.#frameBytes) this.#textLength += end - start - this.#frameBytes;
      this.#last = bytes;
      this.#lastStart = start;
      this.#lastEnd = end;
      return true;
    }
    const text = bytes.toString("utf8", start, end);
    const data = eventData(text);
    if (data === null) {
      // llama.cpp before 2025 wrote errors as a field of their own.
      if (text.startsWith("error:")) this.#hasFailed = true;
      return true;
    }
    if (eventName(text) === "error") this.#hasFailed = true;
    return this.#takeData(readRecord(data), end - start);
  }

  #takeData(record: StreamRecord, recordBytes: number): boolean {
    switch (record.kind) {
      case "done":
        this.#isDone = true;
        return false;
      case "unreadable":
        if (this.#hasFailed) return true;
        if (++this.#unreadable > MAX_UNREADABLE_RECORDS) {
          throw new PosternError("engine_bad_answer", { detail: { reason: "records that are not JSON" } });
        }
        return false;
      case "error":
        this.#hasFailed = true;
        return true;
      case "chunk":
        for (const { index, hasFinished } of record.choices) {
          if (hasFinished) {
            this.#hasFinished = true;
            this.#openChoices.delete(index);
          } else if (this.#hasManyChoices) {
            this.#openChoices.add(index);
          }
        }
        if (record.hasContent) {
          this.#hasContent = true;
          this.#deltas++;
          this.#textLength += record.textLength;
          this.#frameBytes = recordBytes - record.textLength;
        }
        this.#takeCounts(record);
        return !(this.#isUsageHidden && record.isUsageOnly);
      default:
        return record satisfies never;
    }
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
  #keepRest(bytes: Buffer, start: number, end: number, isOwn: boolean, lineStart: number, isMarked: boolean): void {
    this.#lineStart = lineStart - start;
    this.#isMarked = isMarked;
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

const FINISH_REASON = Buffer.from('"finish_reason');
const USAGE = Buffer.from('"usage');
const ERROR = Buffer.from('"error');

/**
 * Whether the quote at `at` closes a name that matters, with a value that is not null. A quote inside a JSON string is
 * escaped, so text cannot look like a name; where it cannot be told yet the answer is yes.
 */
function isMark(bytes: Buffer, from: number, at: number, end: number): boolean {
  switch (bytes[at - 1]) {
    case 0x6e: // finish_reaso(n)
      return endsWith(bytes, from, at, FINISH_REASON) && !isNullAfter(bytes, at + 1, end);
    case 0x65: // usag(e)
      return endsWith(bytes, from, at, USAGE) && !isNullAfter(bytes, at + 1, end);
    case 0x72: // erro(r)
      return endsWith(bytes, from, at, ERROR) && !isNullAfter(bytes, at + 1, end);
    default:
      return false;
  }
}

function endsWith(bytes: Buffer, from: number, end: number, name: Buffer): boolean {
  let at = end - name.length;
  if (at < from) return false;
  for (let index = 0; index < name.length; index++, at++) if (bytes[at] !== name[index]) return false;
  return true;
}

/** `:null` or `: null` at `at`. Behind `end` the buffer holds what was there before. */
function isNullAfter(bytes: Buffer, at: number, end: number): boolean {
  if (at + 6 > end || bytes[at] !== 0x3a) return false;
  return bytes[bytes[at + 1] === 0x20 ? at + 2 : at + 1] === 0x6e;
}

/** A record of one line `data: {…}`: what nearly all are. Text that was cut off does not end in a brace. */
function isPlainData(bytes: Buffer, start: number, end: number): boolean {
  if (end - start < 12 || bytes[start] !== 0x64 || bytes[start + 4] !== 0x3a) return false;
  if (bytes[bytes[start + 5] === 0x20 ? start + 6 : start + 5] !== 0x7b) return false;
  const last = bytes[end - 3] === CR ? bytes[end - 5] : bytes[end - 3];
  if (last !== 0x7d) return false;
  return true;
}
