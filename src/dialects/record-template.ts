/** Records in a row that may differ from the learnt one before learning is given up. */
const MAX_MISSES = 16;
/** Stands where the text was, to see that nothing else of the record depends on it. */
const PROBE = "postern probe";

/** Longest text that is looked for; longer ones are for the parser. */
const MAX_TEXT_BYTES = 4096;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACE = 0x20;

/**
 * Reads ordinary text records of a stream from their bytes, without parsing each of them: within an answer they are equal
 * but for the text.
 *
 * What was learnt is proven, not guessed: with another text in its place the parsed record says exactly that text. What
 * stands between the same bytes and is by itself the inside of one JSON string is then what a parser would read too. Every
 * other record is for the parser.
 */
export class RecordTemplate {
  readonly #parse: (data: string) => string | null;
  /** Bytes before and behind the text, as latin1: comparing such strings is the cheapest way to compare bytes. */
  #before = "";
  #behind = "";
  #misses = 0;

  /** Of the last record that matched. */
  text = "";

  /** @param parse The text of a record's data that says nothing but text; null for every other record. Must not throw. */
  constructor(parse: (data: string) => string | null) {
    this.#parse = parse;
  }

  /** Where the record that begins at `at` ends, when it looks like the learnt one and is whole; else `at`. Sets `text`. */
  match(bytes: Buffer, at: number, end: number): number {
    const start = at + this.#before.length;
    if (start === at || end - start < this.#behind.length) return at;
    if (bytes.toString("latin1", at, start) !== this.#before) return at;
    let isPlain = true;
    let quote = start;
    const stop = Math.min(end, start + MAX_TEXT_BYTES);
    for (; quote < stop; quote++) {
      const byte = bytes[quote] as number;
      if (byte === QUOTE) break;
      if (byte === BACKSLASH) {
        isPlain = false;
        quote++;
      } else if (byte < SPACE) return at;
    }
    const next = quote + this.#behind.length;
    if (next > end || bytes.toString("latin1", quote, next) !== this.#behind) return at;
    const raw = bytes.toString("utf8", start, quote);
    const text = isPlain ? raw : readInside(raw);
    if (text === null) return at;
    this.text = text;
    this.#misses = 0;
    return next;
  }

  /**
   * Learns from a record that the parser has read as this text. Engines whose records never repeat are not learnt from for
   * long.
   *
   * @param head What stands before the data: `data: `, or with a line that names the event.
   */
  learn(head: string, data: string, text: string): void {
    if (this.#misses >= MAX_MISSES || text.includes('"') || text.includes("\\")) return;
    const at = data.lastIndexOf(`"${text}"`);
    if (at === -1) return;
    const before = Buffer.from(head + data.slice(0, at + 1)).toString("latin1");
    const behind = Buffer.from(`${data.slice(at + 1 + text.length)}\n\n`).toString("latin1");
    // The same record in other chunks, or between other line ends.
    if (before === this.#before && behind === this.#behind) return;
    this.#misses += 1;
    if (this.#parse(data.slice(0, at + 1) + PROBE + data.slice(at + 1 + text.length)) !== PROBE) return;
    this.#before = before;
    this.#behind = behind;
  }
}

/** What stands between two quotes, read; null when it is not the inside of one JSON string. */
function readInside(raw: string): string | null {
  try {
    const value: unknown = JSON.parse(`"${raw}"`);
    return typeof value === "string" ? value : null;
  } catch {
    return null;
  }
}
