/** Receives one event: its data, and its name where it has one. */
type TakeEvent = (data: string, name: string | null) => void;

/** Longest event in characters; the last one of the Responses API holds the whole answer again. */
const MAX_EVENT_CHARS = 16 * 1024 * 1024;

/**
 * Cuts the bytes of a stream into server-sent events or lines of JSON, wherever the chunks begin and end. Keeps only the
 * incomplete event at the end. Lines end in LF or CRLF; comments of server-sent events are left out.
 *
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream
 */
export class EventReader {
  readonly #isSse: boolean;
  readonly #take: TakeEvent;
  readonly #decoder = new TextDecoder();
  #line = "";
  #data: string | null = null;
  #name: string | null = null;

  constructor(format: "sse" | "ndjson", take: TakeEvent) {
    this.#isSse = format === "sse";
    this.#take = take;
  }

  /**
   * Hands over the events that are complete by now.
   *
   * @throws RangeError when the one that has begun is longer than the bound.
   */
  push(chunk: Uint8Array): void {
    const text = this.#decoder.decode(chunk, { stream: true });
    let at = 0;
    for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n", at)) {
      this.#takeLine(this.#line + text.slice(at, end));
      this.#line = "";
      at = end + 1;
    }
    this.#line += text.slice(at);
    if (this.#line.length + (this.#data?.length ?? 0) > MAX_EVENT_CHARS) throw new RangeError("event too long");
  }

  /** The stream ended: an event whose last line feed is missing is handed over too, as it is. */
  end(): void {
    if (this.#line !== "") this.#takeLine(this.#line);
    this.#line = "";
    if (this.#isSse) this.#takeLine("");
  }

  #takeLine(text: string): void {
    const line = text.endsWith("\r") ? text.slice(0, -1) : text;
    if (!this.#isSse) {
      if (line.trim() !== "") this.#take(line, null);
    } else if (line === "") {
      if (this.#data !== null) this.#take(this.#data, this.#name);
      this.#data = null;
      this.#name = null;
    } else if (line.startsWith("data:")) {
      const value = line.slice(line[5] === " " ? 6 : 5);
      this.#data = this.#data === null ? value : `${this.#data}\n${value}`;
    } else if (line.startsWith("event:")) {
      this.#name = line.slice(6).trim();
    }
  }
}
