/** Something that waits for its turn, on behalf of a key. */
export interface Queued {
  readonly keyId: string;
  /** Turns that its key gets for each one of a key of weight 1. */
  readonly weight: number;
}

/** Those of one key, oldest first. */
interface Line<T> {
  keyId: string;
  weight: number;
  waiting: T[];
  /** Virtual time of its next turn. */
  tag: number;
}

/** How many of one key are asked in one round whether they can go, and of how many keys: some wait for a target of their own. */
const MAX_ASKED_PER_KEY = 4;
const MAX_KEYS_PASSED_OVER = 16;

/**
 * A queue that is fair between keys: each has a line of its own, and lines take turns by their weight, however long they are
 * (start-time fair queueing). A key with a hundred waiting does not delay one with a single request by more than one turn.
 *
 * Not bounded by itself; `newestOfLongest` says who has to go when there are too many. Lines are few, so they stand in an array.
 */
export class FairQueue<T extends Queued> {
  readonly #lines: Line<T>[] = [];
  /** Virtual time: the tag of the line that was served last. */
  #now = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  add(one: T): void {
    let line = this.#lineOf(one.keyId);
    if (line === undefined) {
      line = { keyId: one.keyId, weight: one.weight, waiting: [], tag: this.#now };
      this.#lines.push(line);
    }
    line.waiting.push(one);
    this.#size += 1;
  }

  /** Whether it was there. Idempotent. */
  delete(one: T): boolean {
    const line = this.#lineOf(one.keyId);
    const place = line?.waiting.indexOf(one) ?? -1;
    if (line === undefined || place === -1) return false;
    this.#take(line, place);
    return true;
  }

  /**
   * Lets them go in fair order, for as long as somebody can.
   *
   * @param tryToGo `went`: it has its turn. `left`: it is gone without one. `stays`: not now, and the next one is asked. It may
   *   add and delete others meanwhile.
   */
  serve(tryToGo: (one: T) => "went" | "left" | "stays"): void {
    const passed: Line<T>[] = [];
    for (;;) {
      const line = this.#next(passed);
      if (line === null) return;
      if (!this.#serveLine(line, tryToGo)) {
        passed.push(line);
        // Those that were passed over this time are asked first the next time: lines of one tag stand in the order of the array.
        if (passed.length >= MAX_KEYS_PASSED_OVER) return this.#putLast(passed);
      }
    }
  }

  /** How many are likely to go before it, from 0, the lines taking turns by weight. One that is not there yet would be the last of its line. */
  ahead(one: T): number {
    const own = this.#lineOf(one.keyId);
    const found = own?.waiting.indexOf(one) ?? -1;
    const place = found === -1 ? (own?.waiting.length ?? 0) : found;
    let ahead = place;
    for (const line of this.#lines) {
      if (line === own) continue;
      ahead += Math.min(line.waiting.length, Math.ceil(((place + 1) * line.weight) / one.weight));
    }
    return ahead;
  }

  /** How many of a key wait. */
  countOf(keyId: string): number {
    return this.#lineOf(keyId)?.waiting.length ?? 0;
  }

  /** The one that came last of the key with most of them; null when nobody waits. */
  newestOfLongest(): T | null {
    let longest: Line<T> | null = null;
    for (const line of this.#lines)
      if (longest === null || line.waiting.length > longest.waiting.length) longest = line;
    return longest?.waiting.at(-1) ?? null;
  }

  /** All of them, line by line. A copy. */
  all(): T[] {
    return this.#lines.flatMap(({ waiting }) => waiting);
  }

  #next(passed: readonly Line<T>[]): Line<T> | null {
    let next: Line<T> | null = null;
    for (const line of this.#lines) if (!passed.includes(line) && (next === null || line.tag < next.tag)) next = line;
    return next;
  }

  /** Whether somebody of the line went or left. */
  #serveLine(line: Line<T>, tryToGo: (one: T) => "went" | "left" | "stays"): boolean {
    for (const one of line.waiting.slice(0, MAX_ASKED_PER_KEY)) {
      if (!line.waiting.includes(one)) continue;
      const answer = tryToGo(one);
      if (answer === "stays") continue;
      this.delete(one);
      if (answer === "went") {
        this.#now = line.tag;
        line.tag += 1 / line.weight;
      }
      return true;
    }
    return false;
  }

  #putLast(lines: readonly Line<T>[]): void {
    for (const line of lines) {
      const place = this.#lines.indexOf(line);
      if (place !== -1) this.#lines.push(...this.#lines.splice(place, 1));
    }
  }

  #take(line: Line<T>, place: number): void {
    line.waiting.splice(place, 1);
    this.#size -= 1;
    if (line.waiting.length === 0) this.#lines.splice(this.#lines.indexOf(line), 1);
  }

  #lineOf(keyId: string): Line<T> | undefined {
    return this.#lines.find((line) => line.keyId === keyId);
  }
}
