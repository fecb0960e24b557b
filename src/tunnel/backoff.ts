import { BACKOFF_BASE_MS, BACKOFF_CAP_MS, FAST_RETRIES, FAST_RETRY_MAX_MS, FAST_RETRY_MIN_MS } from "./constants.ts";

/**
 * How long to wait before the next dial: two fast retries, then full jitter up to `BACKOFF_BASE_MS * 2^n`, capped. Failures
 * are forgotten only when a link has lived as long as `BACKOFF_CAP_MS`, so that a flapping one still backs off.
 */
export class Backoff {
  readonly #random: () => number;
  #failures = 0;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** Failed dials since the last stable link. */
  get failures(): number {
    return this.#failures;
  }

  /**
   * Counts a failure.
   *
   * @param retryAfterMs What the gateway asked for; waited at least, with up to half as much again on top.
   * @returns Whole milliseconds to wait.
   */
  next(retryAfterMs = 0): number {
    const attempt = this.#failures;
    this.#failures += 1;
    if (retryAfterMs > 0) return Math.round(retryAfterMs * (1 + this.#random() / 2));
    if (attempt < FAST_RETRIES) {
      return Math.round(FAST_RETRY_MIN_MS + this.#random() * (FAST_RETRY_MAX_MS - FAST_RETRY_MIN_MS));
    }
    const exponent = Math.min(attempt - FAST_RETRIES + 1, 16);
    return Math.round(this.#random() * Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** exponent));
  }

  /** A link ended after `livedMs`. */
  onLinkEnd(livedMs: number): void {
    if (livedMs >= BACKOFF_CAP_MS) this.#failures = 0;
  }
}
