import type { Clock, Timer } from "./clock.ts";

/** What ended an attempt from our side. */
export type StopReason = "first_token_late" | "answer_late" | "stalled" | "caller_left";

/**
 * The limits of one attempt: its timers and the caller's signal. Whichever comes first aborts what runs, once.
 *
 * Owns its timers and the listener on the caller's signal until `close`.
 */
export class AttemptLimits {
  readonly #clock: Clock;
  readonly #caller: AbortSignal | null;
  readonly #controller = new AbortController();
  readonly #timers = new Map<StopReason, Timer>();
  readonly #onCallerAbort = (): void => this.stop("caller_left");
  #stopReason: StopReason | null = null;

  constructor(clock: Clock, caller: AbortSignal | null) {
    this.#clock = clock;
    this.#caller = caller;
    if (caller?.aborted === true) this.stop("caller_left");
    else caller?.addEventListener("abort", this.#onCallerAbort, { once: true });
  }

  /** For what is to be aborted. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** What ended the attempt; null as long as nothing did. */
  get stopReason(): StopReason | null {
    return this.#stopReason;
  }

  /** Starts the limit, or starts it anew. */
  start(reason: StopReason, afterMs: number): void {
    this.clear(reason);
    this.#timers.set(
      reason,
      this.#clock.after(afterMs, () => this.stop(reason)),
    );
  }

  /** Lifts the limit. */
  clear(reason: StopReason): void {
    this.#timers.get(reason)?.cancel();
    this.#timers.delete(reason);
  }

  /** Ends the attempt. Only the first reason counts. */
  stop(reason: StopReason): void {
    if (this.#stopReason !== null) return;
    this.#stopReason = reason;
    this.close();
    this.#controller.abort();
  }

  /** Gives everything back. The attempt is over, or has been stopped. */
  close(): void {
    for (const timer of this.#timers.values()) timer.cancel();
    this.#timers.clear();
    this.#caller?.removeEventListener("abort", this.#onCallerAbort);
  }

  /** What `work` comes to, but no later than the attempt's end, also when `work` does not listen to the signal. */
  async race<T>(work: Promise<T>, undo: (late: T) => void): Promise<T> {
    const { signal } = this;
    let onAbort = (): void => {};
    const stopped = new Promise<never>((_resolve, reject) => {
      onAbort = () => {
        work.then(undo, () => {});
        reject(signal.reason);
      };
      if (signal.aborted) onAbort();
      else signal.addEventListener("abort", onAbort, { once: true });
    });
    try {
      return await Promise.race([stopped, work]);
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }
}
