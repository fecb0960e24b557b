import type { Clock, Timer } from "../lib/clock.ts";

/** How long summaries are collected before they are counted and logged. */
const WAIT_MS = 50;
/** Summaries that wait, at most: beyond it they are taken at once. */
const MAX_WAITING = 512;
/**
 * So many are taken in one turn of the event loop, or an eighth of what waits where that is more. A hundred in one go took a
 * millisecond, which one request in a hundred had to wait for.
 */
const SLICE = 16;
const SLICES = 8;

/**
 * Takes counting and logging off the request's own path: summaries wait a moment and are taken together, which is also
 * cheaper. The usage record does not come this way; it is written before the answer's last byte.
 */
export class SummaryQueue<Summary> {
  readonly #clock: Clock;
  readonly #take: (summary: Summary) => void;
  #waiting: Summary[] = [];
  /** Those that are being taken, slice by slice, and how far that is. */
  #taken: Summary[] = [];
  #next = 0;
  #timer: Timer | null = null;

  /** @param take Must not throw. */
  constructor(clock: Clock, take: (summary: Summary) => void) {
    this.#clock = clock;
    this.#take = take;
  }

  add(summary: Summary): void {
    this.#waiting.push(summary);
    if (this.#waiting.length >= MAX_WAITING) this.flush();
    else this.#timer ??= this.#clock.after(WAIT_MS, () => this.#begin());
  }

  /** Takes all that wait, now. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#takeUpTo(this.#taken.length);
    const all = this.#waiting;
    this.#waiting = [];
    for (const summary of all) this.#take(summary);
  }

  /** Takes what waits by now, over the next turns. */
  #begin(): void {
    this.#timer = null;
    // What is left of the last time comes first; there is none unless turns are longer than the wait.
    this.#takeUpTo(this.#taken.length);
    this.#taken = this.#waiting;
    this.#next = 0;
    this.#waiting = [];
    this.#goOn(this.#taken);
  }

  #goOn(taken: Summary[]): void {
    // A flush, or the next time, has taken the rest.
    if (taken !== this.#taken || this.#next === taken.length) return;
    this.#takeUpTo(Math.min(taken.length, this.#next + Math.max(SLICE, Math.ceil(taken.length / SLICES))));
    if (this.#next < taken.length) setImmediate(() => this.#goOn(taken));
  }

  #takeUpTo(end: number): void {
    for (; this.#next < end; this.#next++) this.#take(this.#taken[this.#next] as Summary);
    if (end !== this.#taken.length) return;
    this.#taken = [];
    this.#next = 0;
  }
}
