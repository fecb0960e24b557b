/** A place that is taken. `release` is idempotent; a lease that is not released is lost until the process ends. */
export interface Lease {
  release(): void;
}

/** Keys that may stand with no request, at most. */
const MAX_IDLE_KEYS = 10_000;

/** Bounds how many requests of one key run at once. A lease lives and dies with its request; nothing is written down, so no restart leaves a key locked. */
export class Concurrency {
  readonly #inFlight = new Map<string, number>();
  #total = 0;

  /** Takes a place for the key; null when all `max` are taken. */
  acquire(keyId: string, max: number): Lease | null {
    const now = this.#inFlight.get(keyId) ?? 0;
    if (now >= max) return null;
    this.#inFlight.set(keyId, now + 1);
    this.#total++;
    let isHeld = true;
    return {
      release: () => {
        if (!isHeld) return;
        isHeld = false;
        this.#total--;
        const left = (this.#inFlight.get(keyId) ?? 1) - 1;
        // A key that is used is used again; making its entry anew each time costs more than keeping it.
        if (left === 0 && this.#inFlight.size > MAX_IDLE_KEYS) this.#inFlight.delete(keyId);
        else this.#inFlight.set(keyId, left);
      },
    };
  }

  /** Requests of the key that run now. */
  inFlight(keyId: string): number {
    return this.#inFlight.get(keyId) ?? 0;
  }

  /** Requests of all keys that run now. */
  get total(): number {
    return this.#total;
  }
}
