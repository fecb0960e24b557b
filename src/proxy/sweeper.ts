import type { Clock, Timer } from "../lib/clock.ts";
import { LiveSet, type Placed } from "../lib/live-set.ts";

/** Something with times to watch: a run. `check` is called about every `SWEEP_MS` with the monotonic time. */
export interface Watched extends Placed {
  check(nowMs: number): void;
}

/** How exact the times of running requests are. One timer serves all of them, so that a token costs no timer. */
export const SWEEP_MS = 250;

/** Calls `check` of everything that it watches. Sleeps while there is nothing. */
export class Sweeper {
  readonly #clock: Clock;
  readonly #watched = new LiveSet<Watched>();
  #timer: Timer | null = null;
  /** Monotonic milliseconds of the last sweep: near enough for "when did this stream last move". */
  nowMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.nowMs = clock.monotonicMs();
  }

  watch(one: Watched): void {
    this.#watched.add(one);
    if (this.#timer === null) {
      this.nowMs = this.#clock.monotonicMs();
      this.#arm();
    }
  }

  unwatch(one: Watched): void {
    this.#watched.delete(one);
  }

  get size(): number {
    return this.#watched.size;
  }

  #arm(): void {
    this.#timer = this.#clock.after(SWEEP_MS, () => {
      this.#timer = null;
      this.nowMs = this.#clock.monotonicMs();
      for (const one of this.#watched.all()) if (one.place !== -1) one.check(this.nowMs);
      if (this.#watched.size > 0) this.#arm();
    });
  }
}
