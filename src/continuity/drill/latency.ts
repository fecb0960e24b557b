/** Each bucket reaches this much further than the one below it: a percentile is off by at most 2.5 %. */
const GROWTH = Math.log(1.05);

/** Percentiles of any number of durations in little memory: what one drill measures fits into some hundred numbers. */
export class Latencies {
  readonly #buckets = new Map<number, number>();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(durationMs: number): void {
    // Below 1 ms all are one.
    const bucket = Math.round(Math.log(Math.max(1, durationMs)) / GROWTH);
    this.#buckets.set(bucket, (this.#buckets.get(bucket) ?? 0) + 1);
    this.#count += 1;
  }

  /** Null where nothing was measured. @param share 0.95 for p95. */
  percentile(share: number): number | null {
    if (this.#count === 0) return null;
    let left = Math.ceil(this.#count * share);
    for (const [bucket, count] of [...this.#buckets].sort(([a], [b]) => a - b)) {
      left -= count;
      if (left <= 0) return Math.round(Math.exp(bucket * GROWTH));
    }
    return null;
  }
}
