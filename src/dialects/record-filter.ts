import { PosternError } from "../errors.ts";
import { MAX_RECORD_BYTES } from "./dialect.ts";

const EMPTY = Buffer.alloc(0);
/** Smallest buffer for an incomplete record. */
const HELD_BYTES = 2048;

const LF = 0x0a;
const CR = 0x0d;

/** Says whether the record from `start` to `end`, its blank line included, may go to the caller; a buffer goes before it. */
export type JudgeRecord = (bytes: Buffer, start: number, end: number) => boolean | Buffer;

/**
 * Cuts a stream of server-sent events into records and takes some of them out. Looks at bytes only.
 *
 * A chunk that begins and ends at the border of records, all of which pass, is handed on as the same buffer. An incomplete
 * record waits for its rest, copied, in a buffer that grows by doubling up to `MAX_RECORD_BYTES`.
 */
export class RecordFilter {
  readonly #judge: JudgeRecord;
  /** Bytes of an incomplete record, from its first one; the rest of the buffer is free. */
  #held: Buffer | null = null;
  #heldBytes = 0;
  /** Where in `#held` the line begins at which the look goes on. */
  #lineStart = 0;

  constructor(judge: JudgeRecord) {
    this.#judge = judge;
  }

  /** What may go to the caller by now. Throws `engine_bad_answer` for a record beyond the bound. */
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
        const verdict = this.#judge(bytes, recordStart, next);
        if (verdict !== true) {
          kept ??= [];
          if (recordStart > keptFrom) kept.push(bytes.subarray(keptFrom, recordStart));
          keptFrom = verdict === false ? next : recordStart;
          if (verdict !== false) kept.push(verdict);
        }
        recordStart = next;
      }
      lineStart = at + 1;
    }
    if (end - recordStart > MAX_RECORD_BYTES) {
      throw new PosternError("engine_bad_answer", { detail: { reason: "record too long", limit: MAX_RECORD_BYTES } });
    }
    if (recordStart < end || isOwn) this.#keepRest(bytes, recordStart, end, isOwn, lineStart);
    if (kept === null) {
      if (recordStart === end && !isOwn) return chunk;
      return recordStart === 0 ? EMPTY : bytes.subarray(0, recordStart);
    }
    if (recordStart > keptFrom) kept.push(bytes.subarray(keptFrom, recordStart));
    return kept.length === 1 ? (kept[0] ?? EMPTY) : Buffer.concat(kept);
  }

  /** The record at the end whose blank line never came, with one; null when there is none. Forgotten then. */
  takeRest(): Buffer | null {
    const held = this.#held;
    if (held === null || this.#heldBytes === 0) return null;
    this.#held = null;
    const rest = held.subarray(0, this.#heldBytes);
    this.#heldBytes = 0;
    return Buffer.concat([rest, Buffer.from("\n\n")]);
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
