/** Records in a row that may differ from the learnt one before learning is given up. */
const MAX_MISSES = 16;
/** Stands where the text was, to see that nothing else of the record depends on it. */
const PROBE = "postern probe";

/**
 * Reads ordinary text records of a stream without parsing each of them: within an answer they are equal but for the text.
 *
 * What was learnt is proven, not guessed: with another text in its place the parsed record says exactly that text. A text
 * without quotes and backslashes between the same bytes is then what a parser would read too; every other record is parsed.
 */
export class RecordTemplate {
  readonly #parse: (record: string) => string | null;
  #prefix = "";
  #suffix = "";
  #misses = 0;

  /** @param parse The text of a record that says nothing but text; null for every other record. Must not throw. */
  constructor(parse: (record: string) => string | null) {
    this.#parse = parse;
  }

  /** The text of a record that looks like the learnt one, or null. */
  match(record: string): string | null {
    if (!this.#fits(record)) return null;
    const text = record.slice(this.#prefix.length, record.length - this.#suffix.length);
    if (text.includes('"') || text.includes("\\")) return null;
    this.#misses = 0;
    return text;
  }

  /** Learns from a record that `parse` has read as this text. Engines whose records never repeat are not learnt from for long. */
  learn(record: string, text: string): void {
    if (text.includes('"') || text.includes("\\") || this.#misses >= MAX_MISSES || this.#fits(record)) return;
    this.#misses += 1;
    const at = record.lastIndexOf(`"${text}"`);
    if (at === -1) return;
    const prefix = record.slice(0, at + 1);
    const suffix = record.slice(at + 1 + text.length);
    if (this.#parse(prefix + PROBE + suffix) !== PROBE) return;
    this.#prefix = prefix;
    this.#suffix = suffix;
  }

  #fits(record: string): boolean {
    return (
      this.#prefix !== "" &&
      record.length >= this.#prefix.length + this.#suffix.length &&
      record.startsWith(this.#prefix) &&
      record.endsWith(this.#suffix)
    );
  }
}
