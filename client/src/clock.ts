/** Time and timers, passed in so that tests move them instead of waiting. */
export interface Clock {
  /** Monotonic milliseconds. Only differences mean anything. */
  monotonicMs(): number;
  /** Calls `callback` once after `delayMs`, unless it is cancelled. `cancel` may be called at any time and again. */
  after(delayMs: number, callback: () => void): Timer;
}

/** A pending timer. */
export interface Timer {
  cancel(): void;
}

/** The machine's clock. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  after(delayMs, callback) {
    const handle = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(handle) };
  },
};
