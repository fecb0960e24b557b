/** What a `LiveSet` can hold: the member itself says where it stands. */
export interface Placed {
  /** Index in the one set that holds it; -1 outside. Written by the set alone. */
  place: number;
}

/**
 * A set for what comes and goes with every request.
 *
 * Not a `Set`: V8 makes a new table whenever a small one empties, and leaves in the old one a pointer to the new one, for
 * iterators. An old table that has reached the old generation then keeps the whole chain of later ones, and every request
 * that ever stood in one of them, until the next full collection: 8 kB a request and pauses of 10 ms (V8 14.2,
 * `OrderedHashTable::Rehash`; bench/README.md). A member is in at most one such set.
 */
export class LiveSet<T extends Placed> {
  readonly #members: T[] = [];

  get size(): number {
    return this.#members.length;
  }

  /** Adds a member that is in no set. Adding it twice changes nothing. */
  add(member: T): void {
    if (member.place !== -1) return;
    member.place = this.#members.length;
    this.#members.push(member);
  }

  /** Whether it was there. Idempotent. */
  delete(member: T): boolean {
    const { place } = member;
    if (place === -1) return false;
    const last = this.#members.pop() as T;
    if (last !== member) {
      last.place = place;
      this.#members[place] = last;
    }
    member.place = -1;
    return true;
  }

  /** Those that are in it now, in no order. A copy: what happens meanwhile does not disturb who goes through it. */
  all(): T[] {
    return this.#members.slice();
  }
}
