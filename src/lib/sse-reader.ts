import { PosternError } from "../errors.ts";

/** Receives one event: its data lines joined, and its name where it has an `event:` line. Comments are left out. */
export type TakeEvent = (data: string, name: string | null) => void;

/** Takes a whole event that begins at `at` from its bytes and says where it ends, or says `at`: then the event is decoded. */
export type TakeBytes = (bytes: Buffer, at: number, end: number) => number;

const LF_LF = Buffer.from("\n\n");
const LF_CRLF = Buffer.from("\n\r\n");
/** Smallest buffer for an incomplete event. */
const HELD_BYTES = 2048;

/**
 * Cuts a stream of bytes into server-sent events, wherever the chunks begin and end: within a character, within CRLF.
 *
 * Whole events of a chunk are decoded together; only the incomplete one at the end is copied and waits, in a buffer that
 * grows by doubling up to the bound. Lines end in LF or CRLF; a lone CR is not treated as an end: no engine writes it.
 *
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
 */
export class SseReader {
  readonly #maxEventBytes: number;
  readonly #take: TakeEvent;
  readonly #takeBytes: TakeBytes | null;
  #held: Buffer | null = null;
  #heldBytes = 0;

  /**
   * @param maxEventBytes Longest event; a longer one is a bad answer.
   * @param takeBytes Asked first for the events at the beginning of a chunk.
   */
  constructor(maxEventBytes: number, take: TakeEvent, takeBytes: TakeBytes | null = null) {
    this.#maxEventBytes = maxEventBytes;
    this.#take = take;
    this.#takeBytes = takeBytes;
  }

  /** Hands over the events that are complete by now. Throws `engine_bad_answer` beyond the bound. */
  push(chunk: Buffer): void {
    let bytes = chunk;
    let end = chunk.length;
    let lookFrom = 0;
    if (this.#heldBytes > 0) {
      lookFrom = Math.max(0, this.#heldBytes - 2);
      bytes = this.#hold(chunk);
      end = this.#heldBytes;
    }
    let start = 0;
    if (this.#takeBytes !== null) {
      for (let next = -1; next !== start; ) {
        if (next !== -1) start = next;
        next = this.#takeBytes(bytes, start, end);
      }
      if (start === end) {
        this.#heldBytes = 0;
        return;
      }
    }
    const cut = Math.max(start, lastEventEnd(bytes, Math.max(start, lookFrom), end));
    if (end - cut > this.#maxEventBytes) {
      throw new PosternError("engine_bad_answer", {
        detail: { reason: "record too long", limit: this.#maxEventBytes },
      });
    }
    if (cut > start) this.#takeAll(bytes.toString("utf8", start, cut));
    if (cut > 0 || bytes === chunk) this.#keep(bytes, cut, end);
  }

  /** The stream ended: an event whose blank line is missing is handed over too, as it is. */
  end(): void {
    const held = this.#held;
    if (held === null || this.#heldBytes === 0) return;
    const text = held.toString("utf8", 0, this.#heldBytes);
    this.#held = null;
    this.#heldBytes = 0;
    this.#takeAll(`${text}\n\n`);
  }

  /** @param text Whole events, each with its blank line. */
  #takeAll(text: string): void {
    let at = 0;
    let name: string | null = null;
    let data: string | null = null;
    while (at < text.length) {
      const lineEnd = text.indexOf("\n", at);
      if (lineEnd === -1) return;
      const end = text.charCodeAt(lineEnd - 1) === CR && lineEnd > at ? lineEnd - 1 : lineEnd;
      if (end === at) {
        if (data !== null) this.#take(data, name);
        name = null;
        data = null;
      } else if (text.startsWith("data:", at)) {
        const value = text.slice(text.charCodeAt(at + 5) === SPACE ? at + 6 : at + 5, end);
        data = data === null ? value : `${data}\n${value}`;
      } else if (text.startsWith("event:", at)) {
        name = text.slice(at + 6, end).trim();
      } else if (text.startsWith("error:", at)) {
        // llama.cpp before 2025 wrote errors as a field of their own.
        name = "error";
        data = text.slice(at + 6, end).trim();
      }
      at = lineEnd + 1;
    }
  }

  #hold(chunk: Buffer): Buffer {
    const total = this.#heldBytes + chunk.length;
    let held = this.#held;
    if (held === null || total > held.length) {
      const grown = Buffer.allocUnsafe(Math.max(total * 2, HELD_BYTES));
      held?.copy(grown, 0, 0, this.#heldBytes);
      held = grown;
      this.#held = held;
    }
    chunk.copy(held, this.#heldBytes);
    this.#heldBytes = total;
    return held;
  }

  #keep(bytes: Buffer, start: number, end: number): void {
    this.#heldBytes = end - start;
    if (start === end) {
      // A buffer that grew large is given back; the next event is likely to be small again.
      if (this.#held !== null && this.#held.length > HELD_BYTES) this.#held = null;
      return;
    }
    if (bytes === this.#held) {
      bytes.copyWithin(0, start, end);
      return;
    }
    if (this.#held === null || this.#held.length < end - start) {
      this.#held = Buffer.allocUnsafe(Math.max((end - start) * 2, HELD_BYTES));
    }
    bytes.copy(this.#held, 0, start, end);
  }
}

const CR = 0x0d;
const SPACE = 0x20;

/** Where the last complete event ends, its blank line included; 0 when none does. */
function lastEventEnd(bytes: Buffer, from: number, end: number): number {
  const view = from === 0 && end === bytes.length ? bytes : bytes.subarray(from, end);
  // Nearly every chunk ends with an event.
  const length = view.length;
  if (length >= 2 && view[length - 1] === 0x0a && view[length - 2] === 0x0a) return end;
  const plain = view.lastIndexOf(LF_LF);
  const windows = view.lastIndexOf(LF_CRLF);
  return Math.max(plain === -1 ? 0 : from + plain + 2, windows === -1 ? 0 : from + windows + 3);
}
