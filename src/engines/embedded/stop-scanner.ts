/**
 * Finds stop strings in text that arrives in pieces and holds back what may still become one.
 *
 * At most one character less than the longest stop string is ever held back.
 */
export class StopScanner {
  readonly #stops: readonly string[];
  #held = "";

  /** @param stops Strings that end the answer; the earliest one in the text wins. Empty strings are ignored. */
  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== "");
  }

  /** Takes the next piece. `text` may be passed on now; once `isStopped` is true the stop string and what follows are gone. */
  push(piece: string): { text: string; isStopped: boolean } {
    if (this.#stops.length === 0) return { text: piece, isStopped: false };
    const all = this.#held + piece;
    let first = -1;
    for (const stop of this.#stops) {
      const at = all.indexOf(stop);
      if (at !== -1 && (first === -1 || at < first)) first = at;
    }
    if (first !== -1) {
      this.#held = "";
      return { text: all.slice(0, first), isStopped: true };
    }
    const keep = this.#possibleStart(all);
    this.#held = all.slice(keep);
    return { text: all.slice(0, keep), isStopped: false };
  }

  /** What is still held back when the answer ends by itself. */
  flush(): string {
    const rest = this.#held;
    this.#held = "";
    return rest;
  }

  /** Where the longest end of `text` begins that could be the beginning of a stop string. */
  #possibleStart(text: string): number {
    let start = text.length;
    for (const stop of this.#stops) {
      for (let length = Math.min(stop.length - 1, text.length); length > text.length - start; length -= 1) {
        if (text.endsWith(stop.slice(0, length))) {
          start = text.length - length;
          break;
        }
      }
    }
    return start;
  }
}
