import { type Clock, systemClock, type Timer } from "../../src/lib/clock.ts";

/** Longest step of `pass`: shorter than every wait for a sign of life, so that both ends of a link can give theirs. */
const STEP_MS = 500;
/** Turns of the event loop after each step, in which loopback connections carry what the step has set off. */
const TURNS = 12;

interface Waiting {
  atMs: number;
  callback: () => void;
  timer: Timer;
}

/**
 * The machine's clock, which a test can push forward: time passes as it does, and faster. For journeys over real connections,
 * whose own time cannot be stopped. Whoever talks to one another must share it.
 */
export class NudgedClock implements Clock {
  #aheadMs = 0;
  #waiting: Waiting[] = [];

  nowMs(): number {
    return systemClock.nowMs() + this.#aheadMs;
  }

  monotonicMs(): number {
    return systemClock.monotonicMs() + this.#aheadMs;
  }

  after(delayMs: number, callback: () => void): Timer {
    const entry: Waiting = {
      atMs: this.monotonicMs() + delayMs,
      callback: () => {
        this.#waiting = this.#waiting.filter((other) => other !== entry);
        callback();
      },
      timer: { cancel() {} },
    };
    entry.timer = systemClock.after(delayMs, entry.callback);
    this.#waiting.push(entry);
    return {
      cancel: () => {
        entry.timer.cancel();
        this.#waiting = this.#waiting.filter((other) => other !== entry);
      },
    };
  }

  /** Lets so much time pass, in small steps between which everybody gets to act. Stops early once `isEnough`. */
  async pass(ms: number, isEnough: () => boolean = () => false): Promise<void> {
    for (let leftMs = ms; leftMs > 0 && !isEnough(); leftMs -= STEP_MS) {
      this.#aheadMs += Math.min(STEP_MS, leftMs);
      const due = this.#waiting.filter(({ atMs }) => atMs <= this.monotonicMs()).sort((a, b) => a.atMs - b.atMs);
      for (const { timer, callback } of due) {
        timer.cancel();
        callback();
      }
      for (let turn = 0; turn < TURNS; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
  }
}
