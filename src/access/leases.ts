import { LiveSet, type Placed } from "../lib/live-set.ts";

/** A lease that was not renewed for this long is lost: whoever held it did not give it back. */
export const LEASE_TTL_MS = 30_000;

/** A place that is taken. */
export interface Lease extends Placed {
  expiresMs: number;
}

/**
 * Places that run at one time, as leases: whoever runs renews, whoever ends gives back, and what is neither is taken back after
 * a while, so that no mistake locks a key. They live in memory, so that no restart does.
 *
 * Time is monotonic and comes from whoever renews. When that one stands still nothing expires: a process that was stopped for
 * a minute has not lost what it holds.
 */
export class Leases {
  readonly #held = new LiveSet<Lease>();

  /** Takes a place; null when all `max` are taken. @param ttlMs Until it is renewed for the first time. */
  acquire(max: number, nowMs: number, ttlMs: number = LEASE_TTL_MS): Lease | null {
    if (this.#held.size >= max) this.#reap(nowMs);
    if (this.#held.size >= max) return null;
    const lease: Lease = { expiresMs: nowMs + ttlMs, place: -1 };
    this.#held.add(lease);
    return lease;
  }

  /** A lease that was lost meanwhile is taken again, above the limit if need be: its holder does run. */
  renew(lease: Lease, nowMs: number): void {
    lease.expiresMs = nowMs + LEASE_TTL_MS;
    this.#held.add(lease);
  }

  /** Idempotent. */
  release(lease: Lease): void {
    this.#held.delete(lease);
  }

  get size(): number {
    return this.#held.size;
  }

  #reap(nowMs: number): void {
    for (const lease of this.#held.all()) if (lease.expiresMs <= nowMs) this.#held.delete(lease);
  }
}
