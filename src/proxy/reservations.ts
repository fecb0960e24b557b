/** What a request holds: memory, slots, leases. Given back together, newest first, exactly once. */
export class Reservations {
  #undo: Array<() => void> = [];

  /** Notes how to give one thing back. `undo` must not throw. */
  add(undo: () => void): void {
    this.#undo.push(undo);
  }

  release(): void {
    for (let undo = this.#undo.pop(); undo !== undefined; undo = this.#undo.pop()) undo();
  }
}
