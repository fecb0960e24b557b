import type { Clock } from "./clock.ts";

/** `closed`: in use. `open`: known to be down, not tried. `half-open`: one request at a time tries it. */
export type BreakerState = "closed" | "open" | "half-open";

/** One use of a target. Whatever happens, one of `failed` and `left` may be called last; calls after the end do nothing. */
export interface Trial {
  /** The target answered. Of a stream: its first content is there. */
  answered(): void;
  /** The answer came to its end. */
  ended(): void;
  /** It failed. `opensNow` for failures that cost a wait: nobody should wait again to learn the same. */
  failed(how: { opensNow: boolean; forMs: number | null }): void;
  /** The caller left. Says nothing about the target. */
  left(): void;
}

/** Failures in a row that open a closed breaker. */
const FAILURES_TO_OPEN = 3;
/** Answers in a row that close a half-open one. */
const TRIALS_TO_CLOSE = 2;
/** First time that a breaker stays open; doubled each time a trial fails. */
const OPEN_MS = 30_000;
/** Longest time that a breaker stays open, also when `Retry-After` asks for more. */
const MAX_OPEN_MS = 300_000;
/** Share of the time that is random, so that many programs do not come back at once. */
const JITTER = 0.2;

/**
 * Remembers that a target is down, so that a request skips it at once instead of waiting to learn it again.
 *
 * Lives on the target, not on the request or the connection. Holds no timer: time is looked at when somebody asks.
 */
export class Breaker {
  readonly #clock: Clock;
  readonly #random: () => number;
  #openUntilMs: number | null = null;
  #failures = 0;
  #openings = 0;
  #answers = 0;
  #hasTrial = false;

  constructor(clock: Clock, random: () => number) {
    this.#clock = clock;
    this.#random = random;
  }

  get state(): BreakerState {
    if (this.#openUntilMs === null) return "closed";
    return this.#clock.monotonicMs() < this.#openUntilMs ? "open" : "half-open";
  }

  /** Milliseconds until it may be tried again; 0 when it may be now. */
  get retryInMs(): number {
    return this.#openUntilMs === null ? 0 : Math.max(0, this.#openUntilMs - this.#clock.monotonicMs());
  }

  /** Whether a request may use the target now. */
  get canTry(): boolean {
    const state = this.state;
    return state === "closed" || (state === "half-open" && !this.#hasTrial);
  }

  /** Begins a use. Of an open breaker it is a trial too: of a target that is the only one left. */
  begin(): Trial {
    const isTrial = this.#openUntilMs !== null;
    if (isTrial) this.#hasTrial = true;
    let stage: "begun" | "answered" | "over" = "begun";
    const leave = (next: typeof stage): boolean => {
      if (stage === "over") return false;
      if (isTrial && stage === "begun") this.#hasTrial = false;
      stage = next;
      return true;
    };
    return {
      answered: () => {
        if (stage !== "begun") return;
        leave("answered");
        if (isTrial) this.#countAnswer();
      },
      ended: () => {
        if (leave("over")) this.#failures = 0;
      },
      failed: ({ opensNow, forMs }) => {
        if (leave("over")) this.#countFailure(isTrial, opensNow, forMs);
      },
      left: () => {
        leave("over");
      },
    };
  }

  /** Takes somebody else's word, such as a health check's: down opens at once, up closes. */
  report(isHealthy: boolean): void {
    if (isHealthy) this.#close();
    else if (this.#openUntilMs === null) this.#open(null);
  }

  #countAnswer(): void {
    this.#answers += 1;
    if (this.#answers >= TRIALS_TO_CLOSE) this.#close();
  }

  #countFailure(isTrial: boolean, opensNow: boolean, forMs: number | null): void {
    this.#failures += 1;
    // Fifty requests that fail together open it once; only a trial that fails makes the next wait longer.
    if (this.#openUntilMs !== null && !isTrial) return;
    if (isTrial || opensNow || forMs !== null || this.#failures >= FAILURES_TO_OPEN) this.#open(forMs);
  }

  #open(forMs: number | null): void {
    const baseMs = forMs ?? OPEN_MS * 2 ** Math.min(this.#openings, 8);
    this.#openings += 1;
    this.#answers = 0;
    this.#openUntilMs = this.#clock.monotonicMs() + Math.min(MAX_OPEN_MS, baseMs * (1 + JITTER * this.#random()));
  }

  #close(): void {
    this.#openUntilMs = null;
    this.#failures = 0;
    this.#openings = 0;
    this.#answers = 0;
  }
}
