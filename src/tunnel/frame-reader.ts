import { checkFrame, FRAME, FRAME_HEAD_BYTES, LAST } from "./frames.ts";

/** Where frames go. */
export interface FrameSink {
  /** Nothing more is wanted; the reader stops at once. */
  readonly isOver: boolean;
  /** A whole frame that is not `data`. The payload belongs to the reader and is only good during the call. */
  onFrame(type: number, isLast: boolean, id: number, payload: Buffer): void;
  /** Some bytes of a `data` frame, as they came; they may be kept but not written to. */
  onData(id: number, chunk: Buffer, isLast: boolean): void;
  /** The bytes are no frames. Nothing follows. */
  onViolation(what: string): void;
}

const NO_BYTES = Buffer.alloc(0);

/**
 * Cuts a byte stream into frames. Data passes through as it comes, uncopied and not waited for; other frames are small and
 * collected, at most `CONTROL_LINE_LIMIT` bytes.
 */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #head = Buffer.alloc(FRAME_HEAD_BYTES);
  #headBytes = 0;
  #type = 0;
  #isLast = false;
  #id = 0;
  /** Bytes of the present payload that have not come; meaningful while `#isInside`. */
  #leftBytes = 0;
  #isInside = false;
  #collected: Buffer = NO_BYTES;
  #collectedBytes = 0;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length && !this.#sink.isOver) {
      if (this.#isInside) {
        at = this.#readPayload(chunk, at);
      } else {
        at = this.#readHead(chunk, at);
      }
    }
  }

  #readHead(chunk: Buffer, at: number): number {
    if (this.#headBytes === 0 && chunk.length - at >= FRAME_HEAD_BYTES) {
      this.#begin(chunk, at);
      return at + FRAME_HEAD_BYTES;
    }
    const taken = Math.min(FRAME_HEAD_BYTES - this.#headBytes, chunk.length - at);
    chunk.copy(this.#head, this.#headBytes, at, at + taken);
    this.#headBytes += taken;
    if (this.#headBytes === FRAME_HEAD_BYTES) {
      this.#headBytes = 0;
      this.#begin(this.#head, 0);
    }
    return at + taken;
  }

  #begin(bytes: Buffer, at: number): void {
    const typeAndFlags = bytes[at] as number;
    const length = bytes.readUIntBE(at + 1, 3);
    const id = bytes.readUInt32BE(at + 4);
    const problem = checkFrame(typeAndFlags, length, id);
    if (problem !== null) return this.#sink.onViolation(problem);
    this.#type = typeAndFlags & ~LAST;
    this.#isLast = typeAndFlags !== this.#type;
    this.#id = id;
    this.#leftBytes = length;
    this.#collectedBytes = 0;
    if (length > 0) {
      this.#isInside = true;
    } else if (this.#type === FRAME.data) {
      this.#sink.onData(id, NO_BYTES, true);
    } else {
      this.#sink.onFrame(this.#type, this.#isLast, id, NO_BYTES);
    }
  }

  #readPayload(chunk: Buffer, at: number): number {
    const taken = Math.min(this.#leftBytes, chunk.length - at);
    this.#leftBytes -= taken;
    this.#isInside = this.#leftBytes > 0;
    const part = chunk.subarray(at, at + taken);
    if (this.#type === FRAME.data) {
      this.#sink.onData(this.#id, part, this.#isLast && !this.#isInside);
    } else if (this.#collectedBytes === 0 && !this.#isInside) {
      this.#sink.onFrame(this.#type, this.#isLast, this.#id, part);
    } else {
      this.#collect(part);
    }
    return at + taken;
  }

  #collect(part: Buffer): void {
    if (this.#collectedBytes === 0) this.#collected = Buffer.allocUnsafe(part.length + this.#leftBytes);
    part.copy(this.#collected, this.#collectedBytes);
    this.#collectedBytes += part.length;
    if (this.#isInside) return;
    const payload = this.#collected;
    this.#collected = NO_BYTES;
    this.#sink.onFrame(this.#type, this.#isLast, this.#id, payload);
  }
}
