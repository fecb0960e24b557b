import type { ExchangeRequest } from "../lib/exchange.ts";

const PATH = /^\/[\x21-\x7e]*$/;
/** No control characters but tab: nothing that a value holds may begin a line of its own. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** Writes the heads of requests to one engine: its fixed lines, then those of the request that are on the list. */
export class RequestHeads {
  readonly #prefix: string;
  readonly #fixed: string;
  readonly #sent: ReadonlySet<string>;

  /**
   * @param prefix Before every path.
   * @param fixed Names and values of every request.
   * @param sent Names that a request may add, in lower case.
   * @throws an `Error` when a value cannot stand in a head.
   */
  constructor(prefix: string, fixed: ReadonlyArray<readonly [name: string, value: string]>, sent: readonly string[]) {
    this.#prefix = prefix;
    this.#sent = new Set(sent);
    this.#fixed = fixed
      .map(([name, value]) => {
        if (!VALUE.test(value)) throw new Error(`Cannot send the header "${name}": its value has odd characters`);
        return `${name}: ${value}\r\n`;
      })
      .join("");
  }

  /** The head to its empty line, a character for each byte; null where the request cannot be written as one. */
  write({ method, path, headers, body }: ExchangeRequest): string | null {
    const target = this.#prefix + path;
    if (!PATH.test(target)) return null;
    let head = `${method} ${target} HTTP/1.1\r\n${this.#fixed}`;
    for (const name in headers) {
      const value = headers[name];
      if (value === undefined || !this.#sent.has(name)) continue;
      if (!VALUE.test(value)) return null;
      head += `${name}: ${value}\r\n`;
    }
    if (body !== null || method === "POST") head += `content-length: ${body === null ? 0 : body.length}\r\n`;
    return `${head}\r\n`;
  }
}
