import { PosternError } from "../../errors.ts";
import { LineCutter } from "../../lib/ndjson.ts";
import { tokensFromBytes } from "../../lib/token-estimate.ts";
import { type Completion, MAX_RECORD_BYTES, type StreamTap, type Usage } from "../dialect.ts";
import { readRecord } from "./stream-record.ts";
import { type Counts, tokensUsed } from "./usage.ts";

const EMPTY = Buffer.alloc(0);
const LINE_FEED = Buffer.from("\n");
/** Lines that are not JSON are left out; beyond this many the answer is a bad one. */
const MAX_UNREADABLE_RECORDS = 8;

const LF = 0x0a;
const CR = 0x0d;
const OPEN_BRACE = 0x7b;

/**
 * Watches a stream of Ollama's chat or generate lines.
 *
 * A line that ends in `"done":false}` says nothing but text: once content has begun it is passed on undecoded, and a chunk of
 * such lines as the same buffer. The line with `"done":true` proves the answer complete; it is kept back and written by
 * `finish`, once the end of the stream has shown that it is the last one. Blank lines never pass: clients end at them.
 */
export class OllamaStreamTap implements StreamTap {
  readonly #cutter = new LineCutter(MAX_RECORD_BYTES);
  readonly #requestBytes: number;
  #hasContent = false;
  #hasFailed = false;
  #done: Buffer | null = null;
  #counts: Counts | null = null;
  #hasContentAtEnd = false;
  #chunks = 0;
  /** Text passed on: counted where a line was decoded, else its bytes beyond `#frameBytes`. */
  #textLength = 0;
  /** Bytes of a line around its text, as seen at the last decoded one with content. */
  #frameBytes = 0;
  #unreadable = 0;

  constructor(requestBytes: number) {
    this.#requestBytes = requestBytes;
  }

  get hasContent(): boolean {
    return this.#hasContent;
  }

  get completion(): Completion {
    return this.#hasFailed ? "engine_error" : this.#done !== null ? "complete" : "open";
  }

  push(chunk: Buffer): Buffer {
    let lines: Buffer;
    try {
      lines = this.#cutter.push(chunk);
    } catch (cause) {
      throw tooLong(cause);
    }
    let keptFrom = 0;
    let kept: Buffer[] | null = null;
    for (let start = 0; start < lines.length; ) {
      const end = lines.indexOf(LF, start) + 1;
      if (end - start > MAX_RECORD_BYTES) throw tooLong(null);
      if (!this.#takeLine(lines, start, end)) {
        if (start > keptFrom) {
          kept ??= [];
          kept.push(lines.subarray(keptFrom, start));
        }
        keptFrom = end;
      }
      start = end;
    }
    if (kept === null) return keptFrom === 0 ? lines : keptFrom === lines.length ? EMPTY : lines.subarray(keptFrom);
    if (keptFrom < lines.length) kept.push(lines.subarray(keptFrom));
    return kept.length === 1 ? (kept[0] ?? EMPTY) : Buffer.concat(kept);
  }

  finish(): Buffer | null {
    // Some servers leave out the last line feed. What is whole counts, half a line does not; nor does an error, which the
    // caller would not get any more: without it the stream is known to be cut.
    const line = Buffer.concat([this.#cutter.end(), LINE_FEED]);
    const { kind } = readRecord(line.toString("utf8"));
    const isPassed = (kind === "chunk" || kind === "done") && this.#takeLine(line, 0, line.length);
    if (this.completion !== "complete" || this.#done === null) return null;
    return isPassed ? Buffer.concat([line, this.#done]) : this.#done;
  }

  usage(): Usage {
    const counted = Math.max(this.#chunks, tokensFromBytes(this.#textLength));
    return tokensUsed(this.#counts, this.#requestBytes, this.#hasContent || this.#hasContentAtEnd ? counted : 0);
  }

  /** Whether the line may go to the caller now. Decodes it only when it can matter. */
  #takeLine(bytes: Buffer, start: number, end: number): boolean {
    // After the last line there is nothing; after an error the caller has what there is to know.
    if (this.#done !== null || this.#hasFailed) return false;
    if (this.#hasContent && isPlain(bytes, start, end)) {
      this.#chunks++;
      if (end - start > this.#frameBytes) this.#textLength += end - start - this.#frameBytes;
      return true;
    }
    if (isBlank(bytes, start, end)) return false;
    const record = readRecord(bytes.toString("utf8", start, end));
    switch (record.kind) {
      case "unreadable":
        if (++this.#unreadable > MAX_UNREADABLE_RECORDS) {
          throw new PosternError("engine_bad_answer", { detail: { reason: "lines that are not JSON" } });
        }
        return false;
      case "error":
        this.#hasFailed = true;
        return true;
      case "chunk":
        if (record.hasContent) {
          this.#hasContent = true;
          this.#chunks++;
          this.#textLength += record.textLength;
          this.#frameBytes = end - start - record.textLength;
        }
        return true;
      case "done":
        this.#done = Buffer.from(bytes.subarray(start, end));
        this.#counts = record.counts;
        this.#textLength += record.textLength;
        this.#hasContentAtEnd = record.hasContent;
        return false;
      default:
        return record satisfies never;
    }
  }
}

const DONE_FALSE = Buffer.from('"done":false}');
const DONE_FALSE_SPACED = Buffer.from('"done": false}');

/**
 * A line of one object whose last member is `"done":false`: what nearly all are. A quote inside a JSON string is escaped, so
 * that text cannot look like it.
 */
function isPlain(bytes: Buffer, start: number, end: number): boolean {
  if (bytes[start] !== OPEN_BRACE) return false;
  const last = bytes[end - 2] === CR ? end - 2 : end - 1;
  return endsWith(bytes, start, last, DONE_FALSE) || endsWith(bytes, start, last, DONE_FALSE_SPACED);
}

function endsWith(bytes: Buffer, from: number, end: number, text: Buffer): boolean {
  let at = end - text.length;
  if (at < from) return false;
  for (let index = 0; index < text.length; index++, at++) if (bytes[at] !== text[index]) return false;
  return true;
}

/** Nothing but what JSON calls white space. */
function isBlank(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const byte = bytes[at];
    if (byte !== LF && byte !== CR && byte !== 0x20 && byte !== 0x09) return false;
  }
  return true;
}

function tooLong(cause: unknown): PosternError {
  return new PosternError("engine_bad_answer", { detail: { reason: "line too long", limit: MAX_RECORD_BYTES }, cause });
}
