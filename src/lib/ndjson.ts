const LF = 0x0a;
const EMPTY = Buffer.alloc(0);
/** Smallest buffer for an incomplete line. */
const HELD_BYTES = 1024;

/**
 * Cuts a stream of newline-delimited JSON at the ends of lines, whatever chunks it comes in: bytes are looked at, never
 * decoded, so that a character or a CRLF may be cut anywhere.
 *
 * Owns the bytes of an incomplete line, copied, in a buffer that grows by doubling up to `limitBytes`.
 */
export class LineCutter {
  readonly #limitBytes: number;
  #held: Buffer = EMPTY;
  #heldBytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /**
   * The lines that are complete by now, each with its line feed: the same buffer when the chunk is made of whole lines, an
   * empty one when there is none.
   *
   * @throws RangeError when the line that has begun is longer than the limit.
   */
  push(chunk: Buffer): Buffer {
    const end = chunk.lastIndexOf(LF) + 1;
    if (this.#heldBytes === 0) {
      if (end === chunk.length) return chunk;
      this.#hold(chunk.subarray(end));
      return end === 0 ? EMPTY : chunk.subarray(0, end);
    }
    if (end === 0) {
      this.#hold(chunk);
      return EMPTY;
    }
    const lines = Buffer.concat([this.#held.subarray(0, this.#heldBytes), chunk.subarray(0, end)]);
    this.#heldBytes = 0;
    if (end < chunk.length) this.#hold(chunk.subarray(end));
    return lines;
  }

  /** The stream has ended: what is left of a last line without a line feed. Empties the cutter. */
  end(): Buffer {
    const rest = this.#held.subarray(0, this.#heldBytes);
    this.#held = EMPTY;
    this.#heldBytes = 0;
    return rest;
  }

  #hold(bytes: Buffer): void {
    const total = this.#heldBytes + bytes.length;
    if (total > this.#limitBytes) throw new RangeError(`a line is longer than ${this.#limitBytes} bytes`);
    if (total > this.#held.length) {
      const grown = Buffer.allocUnsafe(Math.max(total * 2, HELD_BYTES));
      this.#held.copy(grown, 0, 0, this.#heldBytes);
      this.#held = grown;
    }
    bytes.copy(this.#held, this.#heldBytes);
    this.#heldBytes = total;
  }
}

/** A value as one line. Never a blank one: some clients end at it (reference: engine-apis §7.3). */
export function jsonLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}
