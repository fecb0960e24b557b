/** Length of the window in milliseconds. */
export const WINDOW_MS = 60_000;
/** How exact the window is: what was counted leaves it at most this much late, never early. */
const SLOT_MS = 5_000;
/** One more than fit, so that nothing is forgotten before it is a whole window old. */
const SLOTS = WINDOW_MS / SLOT_MS + 1;

/**
 * A sum over the last minute, in a fixed amount of memory.
 *
 * Counts in slots and drops a slot only when all of it is older than the window: what was added to it during any 60 seconds is
 * never more than what it said. (A token bucket admits nearly twice its rate in its first minute.) Monotonic time is passed in.
 */
export class SlidingWindow {
  // Small enough to live on V8's own heap (64 bytes), so that an idle key costs no allocation outside of it.
  readonly #slots = new Uint32Array(SLOTS);
  #newest = 0;
  #sum = 0;

  /** What was added during the last minute, or a little longer. */
  sum(nowMs: number): number {
    this.#advance(nowMs);
    return this.#sum;
  }

  /** @returns A stamp for `remove`. */
  add(amount: number, nowMs: number): number {
    this.#advance(nowMs);
    this.#slots[this.#newest % SLOTS] = (this.#slots[this.#newest % SLOTS] as number) + amount;
    this.#sum += amount;
    return this.#newest;
  }

  /** Takes back what was added; changes nothing when it has left the window by itself. */
  remove(amount: number, stamp: number): void {
    if (stamp <= this.#newest - SLOTS) return;
    this.#slots[stamp % SLOTS] = (this.#slots[stamp % SLOTS] as number) - amount;
    this.#sum -= amount;
  }

  /** Milliseconds until the sum is at most `target`, if nothing more is added; 0 when it is now. */
  waitMs(target: number, nowMs: number): number {
    this.#advance(nowMs);
    let left = this.#sum;
    for (let slot = this.#newest - SLOTS + 1; left > target && slot <= this.#newest; slot++) {
      left -= this.#slots[((slot % SLOTS) + SLOTS) % SLOTS] as number;
      if (left <= target) return Math.max(1, (slot + SLOTS) * SLOT_MS - nowMs);
    }
    return left > target ? WINDOW_MS : 0;
  }

  #advance(nowMs: number): void {
    const now = Math.floor(nowMs / SLOT_MS);
    if (now <= this.#newest) return;
    if (now - this.#newest >= SLOTS) {
      this.#slots.fill(0);
      this.#sum = 0;
    } else {
      for (let slot = this.#newest + 1; slot <= now; slot++) {
        this.#sum -= this.#slots[slot % SLOTS] as number;
        this.#slots[slot % SLOTS] = 0;
      }
    }
    this.#newest = now;
  }
}
