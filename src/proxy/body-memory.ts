/**
 * Bytes of request bodies that the whole process may hold at once (`limits.bodyMemory`).
 *
 * Plain counting: a reservation is given back exactly once, by whoever made it.
 */
export class BodyMemory {
  #usedBytes = 0;
  limitBytes: number;

  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  /** Takes `bytes`, or returns false and takes nothing. */
  reserve(bytes: number): boolean {
    if (this.#usedBytes + bytes > this.limitBytes) return false;
    this.#usedBytes += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#usedBytes -= bytes;
  }

  get usedBytes(): number {
    return this.#usedBytes;
  }
}
