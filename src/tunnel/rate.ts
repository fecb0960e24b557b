import type { Clock } from "../lib/clock.ts";

/** A token bucket: `burst` at once, then `perSecond`. */
export class Rate {
  readonly #clock: Clock;
  readonly #burst: number;
  readonly #perSecond: number;
  #tokens: number;
  #atMs: number;

  constructor(clock: Clock, burst: number, perSecond: number) {
    this.#clock = clock;
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#tokens = burst;
    this.#atMs = clock.monotonicMs();
  }

  /** Takes one; false when there is none. */
  take(): boolean {
    this.#refill();
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  #refill(): void {
    const nowMs = this.#clock.monotonicMs();
    this.#tokens = Math.min(this.#burst, this.#tokens + ((nowMs - this.#atMs) / 1000) * this.#perSecond);
    this.#atMs = nowMs;
  }
}

/**
 * One bucket per name (an address), at most `limit` of them. When there are more names than that, the oldest one is
 * forgotten: an attacker with so many addresses is held by the overall bounds instead.
 */
export class RatePerName {
  readonly #buckets = new Map<string, Rate>();
  readonly #make: () => Rate;
  readonly #limit: number;

  constructor(clock: Clock, burst: number, perSecond: number, limit: number) {
    this.#make = () => new Rate(clock, burst, perSecond);
    this.#limit = limit;
  }

  take(name: string): boolean {
    let bucket = this.#buckets.get(name);
    if (bucket === undefined) {
      this.#makeRoom();
      bucket = this.#make();
      this.#buckets.set(name, bucket);
    }
    return bucket.take();
  }

  get size(): number {
    return this.#buckets.size;
  }

  #makeRoom(): void {
    if (this.#buckets.size < this.#limit) return;
    const oldest = this.#buckets.keys().next().value;
    if (oldest !== undefined) this.#buckets.delete(oldest);
  }
}
