import { ManualClock, type Timer } from "../../src/lib/clock.ts";

/** A clock that stands still, and tells when somebody begins to wait. */
export class TestClock extends ManualClock {
  readonly #waiting: Array<{ delayMs: number; resolve: () => void }> = [];
  readonly #begun: number[] = [];

  override after(delayMs: number, callback: () => void): Timer {
    this.#begun.push(delayMs);
    const timer = super.after(delayMs, callback);
    for (const { delayMs: wanted, resolve } of this.#waiting) if (wanted === delayMs) resolve();
    return timer;
  }

  /** Resolves when a timer of `delayMs` has been set, ever. */
  whenTimer(delayMs: number): Promise<void> {
    if (this.#begun.includes(delayMs)) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ delayMs, resolve }));
  }
}
