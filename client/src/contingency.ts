import type { Clock } from "./clock.ts";

/** What {@link Contingency.on} takes. */
export interface ContingencyOptions {
  /** Why, for those who look later. */
  reason?: string;
  /** Switches itself off after this time. Left out: stays on until `off()`. */
  forMs?: number;
}

/**
 * The switch that takes the cloud out while a program runs: from the next attempt on, `cloud` targets are skipped, and a
 * request that no `own` target answers fails. It never falls through to the cloud. Attempts that run are left alone.
 */
export class Contingency {
  readonly #clock: Clock;
  #state: { reason: string | null; untilMs: number } | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether cloud targets are skipped now. */
  get isOn(): boolean {
    if (this.#state !== null && this.#clock.monotonicMs() >= this.#state.untilMs) this.#state = null;
    return this.#state !== null;
  }

  /** Why it is on; null when it is off or no reason was given. */
  get reason(): string | null {
    return this.isOn ? (this.#state?.reason ?? null) : null;
  }

  /** Switches on, or takes a new reason and time. */
  on({ reason, forMs = Number.POSITIVE_INFINITY }: ContingencyOptions = {}): void {
    this.#state = { reason: reason ?? null, untilMs: this.#clock.monotonicMs() + forMs };
  }

  off(): void {
    this.#state = null;
  }
}
