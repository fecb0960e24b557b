/**
 * Bounds how many requests of one key run at once. A place lives and dies with its request; nothing is written down, so no
 * crash or restart leaves a key locked.
 */
export class Concurrency {
  readonly #inFlight = new Map<string, number>();

  /** Takes a place for the key; false when all `max` are taken. Each true wants exactly one `give`. */
  take(keyId: string, max: number): boolean {
    const now = this.#inFlight.get(keyId) ?? 0;
    if (now >= max) return false;
    this.#inFlight.set(keyId, now + 1);
    return true;
  }

  /** Gives a place back. */
  give(keyId: string): void {
    const left = (this.#inFlight.get(keyId) ?? 0) - 1;
    if (left > 0) this.#inFlight.set(keyId, left);
    else this.#inFlight.delete(keyId);
  }

  /** Requests of the key that run now. */
  inFlight(keyId: string): number {
    return this.#inFlight.get(keyId) ?? 0;
  }
}
