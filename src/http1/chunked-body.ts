import { readFields } from "./fields.ts";

/** Longest line with a chunk's size. */
const MAX_SIZE_LINE_BYTES = 1024;
/** All chunk extensions of a body together. They are dropped; a body that consists of them would cost without being one. */
const MAX_EXTENSION_BYTES = 16 * 1024;

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const QUOTED = '"(?:[\\t \\x21\\x23-\\x5b\\x5d-\\x7e]|\\\\[\\t\\x20-\\x7e])*"';
/** 13 digits are what a number holds exactly. */
const SIZE_LINE = new RegExp(`^([0-9A-Fa-f]{1,13})((?:;${TOKEN}(?:=(?:${TOKEN}|${QUOTED}))?)*)$`);

/** What may not stand behind a body: it would say how long the body was. */
const FRAMING_FIELDS: readonly string[] = ["content-length", "transfer-encoding"];

/**
 * Takes the chunked transfer coding off a body (RFC 9112 §7.1), strictly. Extensions and trailer fields are read and dropped.
 *
 * Holds one line, and the trailer fields up to their bound.
 */
export class ChunkedBody {
  /** How much of what `take` last got belongs to the body. */
  consumed = 0;
  isDone = false;
  fault: "malformed" | "head_too_large" | null = null;
  readonly #maxTrailerBytes: number;
  #phase: "size" | "data" | "data-end" | "trailers" = "size";
  #line = "";
  #left = 0;
  #extensionBytes = 0;
  #trailers = "";

  constructor(maxTrailerBytes: number) {
    this.#maxTrailerBytes = maxTrailerBytes;
  }

  /**
   * Takes what came. Moves the data in it to its front, so that nothing is copied elsewhere.
   *
   * @returns How many bytes of data stand at the front of `bytes` now.
   */
  take(bytes: Buffer): number {
    let at = 0;
    let out = 0;
    while (at < bytes.length && !this.isDone && this.fault === null) {
      if (this.#phase === "data") {
        const count = Math.min(this.#left, bytes.length - at);
        if (out !== at) bytes.copyWithin(out, at, at + count);
        out += count;
        at += count;
        this.#left -= count;
        if (this.#left === 0) this.#phase = "data-end";
      } else {
        const newline = bytes.indexOf(0x0a, at);
        const end = newline === -1 ? bytes.length : newline + 1;
        this.#line += bytes.toString("latin1", at, end);
        at = end;
        this.#checkBounds();
        if (newline !== -1 && this.fault === null) this.#onLine();
      }
    }
    this.consumed = at;
    return out;
  }

  #checkBounds(): void {
    if (this.#phase !== "trailers") {
      if (this.#line.length > MAX_SIZE_LINE_BYTES) this.fault = "malformed";
    } else if (this.#trailers.length + this.#line.length > this.#maxTrailerBytes) this.fault = "head_too_large";
  }

  #onLine(): void {
    const line = this.#line;
    this.#line = "";
    if (!line.endsWith("\r\n")) this.fault = "malformed";
    else if (this.#phase === "data-end") {
      this.#phase = "size";
      if (line !== "\r\n") this.fault = "malformed";
    } else if (this.#phase === "size") this.#onSize(line.slice(0, -2));
    else if (line !== "\r\n") this.#trailers += line;
    else this.#end();
  }

  #onSize(line: string): void {
    const match = SIZE_LINE.exec(line);
    this.#extensionBytes += match?.[2]?.length ?? 0;
    if (match === null || this.#extensionBytes > MAX_EXTENSION_BYTES) {
      this.fault = "malformed";
      return;
    }
    this.#left = Number.parseInt(match[1] ?? "", 16);
    this.#phase = this.#left === 0 ? "trailers" : "data";
  }

  #end(): void {
    const fields: string[] = [];
    const isSound = readFields(this.#trailers, 0, fields) && !fields.some(isFramingName);
    if (isSound) this.isDone = true;
    else this.fault = "malformed";
  }
}

function isFramingName(text: string, at: number): boolean {
  return at % 2 === 0 && FRAMING_FIELDS.includes(text);
}
