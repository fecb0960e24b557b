import type { Clock } from "../lib/clock.ts";

/**
 * Values kept under single-use names for a short time: what a challenge was about, until its proof arrives.
 * Holds at most `limit` of them; entries leave by use or by age, oldest first.
 */
export class Nonces<T> {
  readonly #entries = new Map<string, { value: T; untilMs: number }>();
  readonly #clock: Clock;
  readonly #limit: number;
  readonly #lifeMs: number;

  constructor(clock: Clock, limit: number, lifeMs: number) {
    this.#clock = clock;
    this.#limit = limit;
    this.#lifeMs = lifeMs;
  }

  /** Keeps `value`; false when the table is full. */
  put(name: string, value: T): boolean {
    this.#expire();
    if (this.#entries.size >= this.#limit) return false;
    this.#entries.set(name, { value, untilMs: this.#clock.monotonicMs() + this.#lifeMs });
    return true;
  }

  /** Takes the value out; undefined when the name is unknown, was used, or is too old. */
  take(name: string): T | undefined {
    this.#expire();
    const entry = this.#entries.get(name);
    this.#entries.delete(name);
    return entry?.value;
  }

  get size(): number {
    return this.#entries.size;
  }

  // All entries live equally long, so insertion order is order of expiry.
  #expire(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const [name, entry] of this.#entries) {
      if (entry.untilMs > nowMs) return;
      this.#entries.delete(name);
    }
  }
}
