import { type AnswerFields, CHUNKED, readAnswerFields, TO_THE_END } from "./answer-fields.ts";

/** Largest head of an answer, largest trailer. */
export const MAX_HEAD_BYTES = 16 * 1024;
/** Longest line before a chunk: its size and its extensions, which nobody uses. */
const MAX_CHUNK_LINE_BYTES = 256;
/** Digits of a chunk's size that a double holds. */
const MAX_SIZE_DIGITS = 13;
/** Interim answers (1xx) before the real one; they are dropped, and a flood of them is an attack. */
const MAX_INTERIM_ANSWERS = 16;

/** Where the parts of an answer go. */
export interface AnswerSink {
  /** False while it wants no bytes of the body, or nothing at all any more: the reader stops where it is. */
  readonly isReading: boolean;
  onHead(head: AnswerFields): void;
  onBody(chunk: Buffer): void;
  onEnd(): void;
  /** The bytes are no answer. Nothing follows. */
  onViolation(detail: string): void;
}

const LF = 0x0a;
const CR = 0x0d;
const HEAD_START = Buffer.from("HTTP/1.");
const HEAD_END = Buffer.from("\r\n\r\n");
const NO_BYTES = Buffer.alloc(0);

type State =
  | "head"
  | "body"
  | "size"
  | "extension"
  | "size-end"
  | "chunk"
  | "chunk-cr"
  | "chunk-end"
  | "trailer"
  | "done";

/**
 * Cuts the bytes of one connection into one HTTP/1.1 answer (RFC 9112). Bodies pass through as they come, uncopied.
 *
 * For one exchange after the other: `reset` before each. What comes behind the end of an answer is not read: whoever owns the
 * connection must not use it again.
 */
export class AnswerReader {
  readonly #sink: AnswerSink;
  #state: State = "done";
  #head: Buffer = NO_BYTES;
  #interimAnswers = 0;
  /** Of the body, or of the present chunk; `TO_THE_END` where the connection ends it. */
  #leftBytes = 0;
  #sizeDigits = 0;
  #lineBytes = 0;
  #trailerBytes = 0;
  /** In the trailer: the next byte must be a LF. */
  #isBehindCr = false;

  constructor(sink: AnswerSink) {
    this.#sink = sink;
  }

  /** Another answer follows. */
  reset(): void {
    this.#state = "head";
    this.#head = NO_BYTES;
    this.#interimAnswers = 0;
  }

  /** Whether the head has come and the end has not. */
  get isInBody(): boolean {
    return this.#state !== "head" && this.#state !== "done";
  }

  /** Whether the answer is whole, or none is expected. */
  get isDone(): boolean {
    return this.#state === "done";
  }

  /** Reads on. The bytes belong to the reader. Returns how many it used: all, unless the sink stopped it or the answer ended. */
  push(bytes: Buffer): number {
    let at = 0;
    while (at < bytes.length && this.#state !== "done") {
      if (this.#state === "head") at = this.#readHead(bytes, at);
      else if (!this.#sink.isReading) return at;
      else if (this.#state === "body" || this.#state === "chunk") at = this.#readBody(bytes, at);
      else at = this.#readFraming(bytes, at);
    }
    return at;
  }

  /** The connection has ended. True when that was the end of the answer. */
  finish(): boolean {
    if (this.#state !== "body" || this.#leftBytes !== TO_THE_END) return false;
    this.#end();
    return true;
  }

  #readHead(bytes: Buffer, at: number): number {
    const before = this.#head.length;
    let head = at === 0 ? bytes : bytes.subarray(at);
    if (before > 0) head = Buffer.concat([this.#head, head]);
    const end = head.indexOf(HEAD_END, Math.max(0, before - HEAD_END.length));
    if (end === -1 || end > MAX_HEAD_BYTES) {
      // Refused as early as possible: somebody who speaks another protocol may say nothing more.
      const started = Math.min(head.length, HEAD_START.length);
      if (head.compare(HEAD_START, 0, started, 0, started) !== 0) this.#fail("no HTTP/1.1");
      else if (head.length > MAX_HEAD_BYTES) this.#fail("a head above the size limit");
      // A copy: it outlives the call, and what it lies in may be large.
      else this.#head = Buffer.from(head);
      return bytes.length;
    }
    this.#head = NO_BYTES;
    this.#begin(readAnswerFields(head.toString("latin1", 0, end + 2)));
    return at + end + HEAD_END.length - before;
  }

  #begin(head: AnswerFields | string): void {
    if (typeof head === "string") return this.#fail(head);
    const { status, bodyBytes } = head;
    if (status < 200) {
      // Nobody asked for a 100 or for another protocol.
      if (status < 102) return this.#fail(`status ${status}`);
      this.#interimAnswers += 1;
      if (this.#interimAnswers > MAX_INTERIM_ANSWERS) this.#fail("a flood of interim answers");
      return;
    }
    this.#state = bodyBytes === CHUNKED ? "size" : "body";
    this.#leftBytes = bodyBytes === CHUNKED ? 0 : bodyBytes;
    this.#sizeDigits = 0;
    this.#sink.onHead(head);
    if (bodyBytes === 0 && this.#state === "body") this.#end();
  }

  #readBody(bytes: Buffer, at: number): number {
    if (this.#leftBytes === TO_THE_END) {
      this.#sink.onBody(at === 0 ? bytes : bytes.subarray(at));
      return bytes.length;
    }
    const end = Math.min(bytes.length, at + this.#leftBytes);
    this.#leftBytes -= end - at;
    const isOver = this.#leftBytes === 0;
    if (isOver && this.#state === "chunk") this.#state = "chunk-cr";
    this.#sink.onBody(at === 0 && end === bytes.length ? bytes : bytes.subarray(at, end));
    if (isOver && this.#state === "body") this.#end();
    return end;
  }

  /** What stands between the chunks of a body, byte by byte. */
  #readFraming(bytes: Buffer, from: number): number {
    let at = from;
    while (at < bytes.length) {
      const byte = bytes[at] as number;
      at += 1;
      switch (this.#state) {
        case "size":
          this.#onSize(byte);
          break;
        case "extension":
          this.#lineBytes += 1;
          if (byte === CR) this.#state = "size-end";
          else if (isControl(byte) || this.#lineBytes > MAX_CHUNK_LINE_BYTES) this.#fail("an odd line before a chunk");
          break;
        case "size-end":
          if (byte !== LF) this.#fail("a broken line before a chunk");
          else this.#onSizeEnd();
          break;
        case "chunk-cr":
          if (byte !== CR) this.#fail("a chunk longer than its size");
          else this.#state = "chunk-end";
          break;
        case "chunk-end":
          if (byte !== LF) this.#fail("a broken line behind a chunk");
          else this.#startSize();
          break;
        case "trailer":
          this.#onTrailer(byte);
          break;
        default:
          return at - 1;
      }
    }
    return at;
  }

  #startSize(): void {
    this.#state = "size";
    this.#sizeDigits = 0;
    this.#leftBytes = 0;
  }

  #onSize(byte: number): void {
    const digit = hexDigit(byte);
    if (digit !== -1 && this.#sizeDigits < MAX_SIZE_DIGITS) {
      this.#leftBytes = this.#leftBytes * 16 + digit;
      this.#sizeDigits += 1;
    } else if (this.#sizeDigits > 0 && (byte === CR || byte === 0x3b)) {
      this.#lineBytes = 0;
      this.#state = byte === CR ? "size-end" : "extension";
    } else {
      this.#fail("a broken chunk size");
    }
  }

  #onSizeEnd(): void {
    this.#trailerBytes = 0;
    this.#lineBytes = 0;
    this.#isBehindCr = false;
    this.#state = this.#leftBytes === 0 ? "trailer" : "chunk";
  }

  /** The trailer is dropped; all that matters is where it ends. */
  #onTrailer(byte: number): void {
    this.#trailerBytes += 1;
    if (this.#trailerBytes > MAX_HEAD_BYTES) return this.#fail("a trailer above the size limit");
    if (this.#isBehindCr) {
      this.#isBehindCr = false;
      if (byte !== LF) return this.#fail("a broken trailer");
      if (this.#lineBytes === 0) return this.#end();
      this.#lineBytes = 0;
    } else if (byte === CR) {
      this.#isBehindCr = true;
    } else if (isControl(byte)) {
      this.#fail("a broken trailer");
    } else {
      this.#lineBytes += 1;
    }
  }

  #end(): void {
    this.#state = "done";
    this.#sink.onEnd();
  }

  #fail(detail: string): void {
    this.#state = "done";
    this.#head = NO_BYTES;
    this.#sink.onViolation(detail);
  }
}

const isControl = (byte: number) => byte < 0x20 && byte !== 0x09;

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
