/**
 * Time and timers, passed in so that tests move them instead of waiting.
 *
 * `nowMs` is wall time (UTC milliseconds since 1970) and may jump; durations are measured with `monotonicMs`.
 */
export interface Clock {
  /** Wall time in UTC milliseconds. May jump either way; never subtract two of them to get a duration. */
  nowMs(): number;
  /** Monotonic milliseconds with fractions. Only differences mean anything. */
  monotonicMs(): number;
  /** Calls `callback` once after `delayMs`. The timer does not keep the process alive. */
  after(delayMs: number, callback: () => void): Timer;
}

/** A pending timer. `cancel` is idempotent. */
export interface Timer {
  cancel(): void;
}

/** The machine's clock. */
export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, callback) {
    const handle = setTimeout(callback, delayMs);
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
};

/**
 * A clock that stands still until `advance` moves it. For tests.
 *
 * It runs in whole milliseconds, rounded up, as Node's timers do: sums of fractions miss a limit by the last bit, and then
 * what is due "after 30 s" is not due after six times 5 s.
 */
export class ManualClock implements Clock {
  #nowMs: number;
  #elapsedMs = 0;
  #pending: Array<{ atMs: number; callback: () => void }> = [];

  constructor(startMs = 1_700_000_000_000) {
    this.#nowMs = startMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  after(delayMs: number, callback: () => void): Timer {
    const entry = { atMs: this.#elapsedMs + Math.ceil(delayMs), callback };
    this.#pending.push(entry);
    return {
      cancel: () => {
        this.#pending = this.#pending.filter((other) => other !== entry);
      },
    };
  }

  /** Moves time forward by `byMs` and runs what falls due, in order, timers set meanwhile included. */
  advance(byMs: number): void {
    const untilMs = this.#elapsedMs + Math.ceil(byMs);
    for (;;) {
      const due = this.#pending.filter((entry) => entry.atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#pending = this.#pending.filter((entry) => entry !== due);
      this.#nowMs += due.atMs - this.#elapsedMs;
      this.#elapsedMs = due.atMs;
      due.callback();
    }
    this.#nowMs += untilMs - this.#elapsedMs;
    this.#elapsedMs = untilMs;
  }

  /** Moves the wall clock alone, as an operator or NTP does. Timers and monotonic time do not notice. */
  jump(byMs: number): void {
    this.#nowMs += byMs;
  }

  /** How many timers wait. For leak checks in tests. */
  get pendingTimers(): number {
    return this.#pending.length;
  }
}
