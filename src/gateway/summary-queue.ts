import type { Clock, Timer } from "../lib/clock.ts";

/** Longest wait of a summary before it is counted and logged. */
const WAIT_MS = 50;
/** Summaries that wait, at most: beyond it they are taken at once. */
const MAX_WAITING = 512;

/**
 * Takes counting and logging off the request's own path: summaries wait a moment and are taken together, which is also
 * cheaper. The usage record does not come this way; it is written before the answer's last byte.
 */
export class SummaryQueue<Summary> {
  readonly #clock: Clock;
  readonly #take: (summary: Summary) => void;
  #waiting: Summary[] = [];
  #timer: Timer | null = null;

  /** @param take Must not throw. */
  constructor(clock: Clock, take: (summary: Summary) => void) {
    this.#clock = clock;
    this.#take = take;
  }

  add(summary: Summary): void {
    this.#waiting.push(summary);
    if (this.#waiting.length >= MAX_WAITING) this.flush();
    else this.#timer ??= this.#clock.after(WAIT_MS, () => this.flush());
  }

  /** Takes all that wait, now. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = null;
    const taken = this.#waiting;
    this.#waiting = [];
    for (const summary of taken) this.#take(summary);
  }
}
