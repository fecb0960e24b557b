import type { ErrorCode } from "../errors.ts";

/** Failures in a row that open a breaker. */
export const FAILURES_IN_A_ROW = 3;
/** The other rule: at least this many attempts in `WINDOW_MS`, half of them failed. */
export const LEAST_ATTEMPTS = 5;
export const FAILED_SHARE = 0.5;
export const WINDOW_MS = 60_000;
/**
 * How long a breaker stays open, twice; then each failed probe doubles it. Twice, because an outage of a minute, the most
 * common one, would else be seen to be over up to a minute late (reference: faults §1, S15).
 */
export const OPEN_MS = 30_000;
export const LONGEST_OPEN_MS = 300_000;
/** Successes in a row that close a half-open breaker. */
export const SUCCESSES_TO_CLOSE = 2;
/** After closing, the share of the traffic grows from `LEAST_SHARE` to all of it in this time. */
export const RAMP_MS = 30_000;
export const LEAST_SHARE = 0.25;
/** Longest that a target's own `Retry-After` is believed. */
export const LONGEST_RETRY_AFTER_MS = 300_000;
/** A target that says "too many" and not for how long is left alone for this long. */
export const DEFAULT_RETRY_AFTER_MS = 2_000;

const BUCKETS = 6;
const BUCKET_MS = WINDOW_MS / BUCKETS;

export type BreakerState = "closed" | "half-open" | "open";

/** Why a breaker is as it is: the failure that opened it, `throttled` (the target asked for a pause), or `recovered`. */
export type BreakerReason = ErrorCode | "throttled" | "recovered";

/**
 * The circuit breaker of one target: closed, open for a time, half-open for one probe at a time, closed again with a share of
 * the traffic that grows. Monotonic milliseconds are passed in.
 *
 * A target that asks for a pause (429 or 503 with `Retry-After`) gets it and is then simply back: it is busy, not broken.
 */
export class CircuitBreaker {
  /** As of the last event: an open one stays `open` until the first attempt after its time begins. */
  state: BreakerState = "closed";
  reason: BreakerReason | null = null;
  /** Until when nothing should go there. Meaningful while open. */
  untilMs = 0;
  /** Failures since the last success. */
  failuresInARow = 0;
  lastFailedMs = Number.NEGATIVE_INFINITY;
  #isThrottled = false;
  /** Openings without a recovery that held. */
  #openings = 0;
  #successesInARow = 0;
  #isProbing = false;
  #closedAtMs = Number.NEGATIVE_INFINITY;
  readonly #attempts = new Uint32Array(BUCKETS);
  readonly #failures = new Uint32Array(BUCKETS);
  #bucket = 0;

  /** Whether an attempt may go there now. While half-open only one at a time may. */
  canTry(nowMs: number): boolean {
    switch (this.state) {
      case "closed":
        return true;
      case "open":
        return nowMs >= this.untilMs;
      case "half-open":
        return !this.#isProbing;
      default:
        return this.state satisfies never;
    }
  }

  /** Share of the traffic that it should get, from 0 to 1; below 1 for a while after it has closed. */
  share(nowMs: number): number {
    if (!this.canTry(nowMs)) return 0;
    const ramp = (nowMs - this.#closedAtMs) / RAMP_MS;
    return ramp >= 1 ? 1 : LEAST_SHARE + (1 - LEAST_SHARE) * ramp;
  }

  /** An attempt goes there. One that goes to an open breaker before its time, for want of another target, is a probe too. */
  began(nowMs: number): void {
    if (this.state === "open" && nowMs >= this.untilMs) {
      if (this.#isThrottled) this.#to("closed", "recovered");
      else this.#to("half-open", this.reason);
    }
    if (this.state === "half-open") this.#isProbing = true;
  }

  /** It answered, be it with an error about the request. */
  succeeded(nowMs: number): void {
    this.#count(nowMs, 0);
    this.failuresInARow = 0;
    this.#isProbing = false;
    if (this.state === "closed" || this.#isThrottled) return;
    this.#successesInARow += 1;
    if (this.#successesInARow < SUCCESSES_TO_CLOSE) return this.#to("half-open", this.reason);
    this.#closedAtMs = nowMs;
    this.#attempts.fill(0);
    this.#failures.fill(0);
    this.#to("closed", "recovered");
  }

  /**
   * A failed attempt. Refused credentials open it at once: they do not mend themselves.
   *
   * @param pauseMs The target is busy and asks for this long; null for every other failure.
   */
  failed(code: ErrorCode, nowMs: number, pauseMs: number | null): void {
    if (pauseMs !== null) return this.#pause(nowMs, Math.min(pauseMs, LONGEST_RETRY_AFTER_MS));
    const wasProbe = this.#isProbing;
    this.#count(nowMs, 1);
    this.failuresInARow += 1;
    this.lastFailedMs = nowMs;
    this.#successesInARow = 0;
    this.#isProbing = false;
    // A straggler that began before the breaker opened tells nothing new.
    if (this.state === "open" && !this.#isThrottled) return;
    if (this.state === "half-open" && !wasProbe) return;
    if (this.state === "half-open" || code === "engine_denied" || this.#isBroken()) this.#open(code, nowMs);
  }

  /** The attempt ended without a word about the target: its caller left. */
  abandoned(): void {
    this.#isProbing = false;
  }

  #pause(nowMs: number, pauseMs: number): void {
    this.#isProbing = false;
    // A breaker that is open for a failure stays so.
    if (this.state === "open" && !this.#isThrottled) return;
    this.#isThrottled = true;
    this.untilMs = Math.max(this.state === "open" ? this.untilMs : 0, nowMs + pauseMs);
    this.#to("open", "throttled");
  }

  #open(code: ErrorCode, nowMs: number): void {
    // A recovery that has held for as long as the longest opening is one.
    if (nowMs - this.#closedAtMs > LONGEST_OPEN_MS && this.state === "closed") this.#openings = 0;
    this.#openings += 1;
    this.untilMs = nowMs + Math.min(LONGEST_OPEN_MS, OPEN_MS * 2 ** Math.max(0, this.#openings - 2));
    this.#isThrottled = false;
    this.#to("open", code);
  }

  #to(state: BreakerState, reason: BreakerReason | null): void {
    if (state !== "half-open") this.#successesInARow = 0;
    if (state === "closed") this.#isThrottled = false;
    this.state = state;
    this.reason = reason;
  }

  #isBroken(): boolean {
    if (this.failuresInARow >= FAILURES_IN_A_ROW) return true;
    const attempts = sum(this.#attempts);
    return attempts >= LEAST_ATTEMPTS && sum(this.#failures) >= attempts * FAILED_SHARE;
  }

  /** Share of the attempts of the last minute that failed, never quite 1. */
  get failedShare(): number {
    return sum(this.#failures) / (sum(this.#attempts) + 1);
  }

  #count(nowMs: number, failures: 0 | 1): void {
    const bucket = Math.floor(nowMs / BUCKET_MS);
    for (let passed = Math.min(BUCKETS, bucket - this.#bucket); passed > 0; passed--) {
      const place = (bucket - passed + 1) % BUCKETS;
      this.#attempts[place] = 0;
      this.#failures[place] = 0;
    }
    this.#bucket = Math.max(bucket, this.#bucket);
    const place = this.#bucket % BUCKETS;
    this.#attempts[place] = (this.#attempts[place] ?? 0) + 1;
    this.#failures[place] = (this.#failures[place] ?? 0) + failures;
  }
}

function sum(counts: Uint32Array): number {
  let total = 0;
  for (const count of counts) total += count;
  return total;
}
