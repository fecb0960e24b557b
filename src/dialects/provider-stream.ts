import { tellStreamError } from "./provider-error.ts";
import { RecordFilter } from "./record-filter.ts";

const ERROR = Buffer.from('"error"');
const EMPTY = Buffer.alloc(0);

/**
 * A provider's stream of events, in which errors lose what tells of the operator's account there. Everything else goes through as
 * the same bytes: a text cannot hold the word as it is looked for, because its quotes are escaped.
 */
export class ProviderStream {
  readonly #host: string;
  readonly #filter = new RecordFilter((bytes, start, end) => this.#judge(bytes, start, end));
  #told: Buffer = EMPTY;

  /** @param host The provider's, hidden wherever an error names it. */
  constructor(host: string) {
    this.#host = host;
  }

  /** What may go on by now. Throws `engine_bad_answer` for an event beyond `MAX_RECORD_BYTES`. */
  push(chunk: Buffer): Buffer {
    const passed = this.#filter.push(chunk);
    if (this.#told.length === 0) return passed;
    // What is said after an error is none of an answer.
    const out = Buffer.concat([passed, this.#told]);
    this.#told = EMPTY;
    return out;
  }

  /** What never came to its end, as it is. */
  finish(): Buffer {
    const rest = this.#filter.takeRest();
    return rest === null ? EMPTY : this.push(rest);
  }

  #judge(bytes: Buffer, start: number, end: number): boolean {
    const at = bytes.indexOf(ERROR, start);
    if (at === -1 || at >= end) return true;
    const lines = bytes.toString("utf8", start, end).split(/\r?\n/);
    const data = lines.filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim());
    const told = tellStreamError(data.join("\n"), this.#host);
    if (told === null) return true;
    const kept = lines.filter((line) => line.startsWith("event:"));
    this.#told = Buffer.concat([this.#told, Buffer.from([...kept, `data: ${told}`, "", ""].join("\n"))]);
    return false;
  }
}
