/** Slices of a window: what leaves it at once is one of them. */
const SLICES = 30;

/** Counts in columns over the last `windowMs`, in slices: its memory does not grow with the traffic. Monotonic time is passed in. */
export class SlottedCounts {
  readonly #sliceMs: number;
  readonly #columns: number;
  readonly #counts: Uint32Array;
  /** Number of the newest slice since the clock's zero. */
  #newest = 0;

  constructor(windowMs: number, columns: number) {
    this.#sliceMs = windowMs / SLICES;
    this.#columns = columns;
    this.#counts = new Uint32Array(SLICES * columns);
  }

  add(column: number, monotonicMs: number): void {
    this.#moveTo(monotonicMs);
    const at = (this.#newest % SLICES) * this.#columns + column;
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
  }

  /** Sum of each column. */
  sums(monotonicMs: number): number[] {
    this.#moveTo(monotonicMs);
    const sums = new Array<number>(this.#columns).fill(0);
    for (const [at, count] of this.#counts.entries())
      sums[at % this.#columns] = (sums[at % this.#columns] ?? 0) + count;
    return sums;
  }

  clear(): void {
    this.#counts.fill(0);
  }

  #moveTo(monotonicMs: number): void {
    const slice = Math.floor(monotonicMs / this.#sliceMs);
    for (let step = Math.max(this.#newest + 1, slice - SLICES + 1); step <= slice; step++) {
      const from = (step % SLICES) * this.#columns;
      this.#counts.fill(0, from, from + this.#columns);
    }
    this.#newest = Math.max(this.#newest, slice);
  }
}

/** Counts of many things, each by its name. What was not counted for a whole window is forgotten, and so the names are bounded. */
export class NamedCounts {
  readonly #windowMs: number;
  readonly #columns: number;
  readonly #maxNames: number;
  readonly #byName = new Map<string, { counts: SlottedCounts; lastMs: number }>();

  constructor(windowMs: number, columns: number, maxNames: number) {
    this.#windowMs = windowMs;
    this.#columns = columns;
    this.#maxNames = maxNames;
  }

  /** @returns false where there are too many names already; nothing is counted then. */
  add(name: string, column: number, monotonicMs: number): boolean {
    let entry = this.#byName.get(name);
    if (entry === undefined) {
      if (this.#byName.size >= this.#maxNames) return false;
      entry = { counts: new SlottedCounts(this.#windowMs, this.#columns), lastMs: monotonicMs };
      this.#byName.set(name, entry);
    }
    entry.lastMs = monotonicMs;
    entry.counts.add(column, monotonicMs);
    return true;
  }

  /** Sums of each name, columns in order. */
  *sums(monotonicMs: number): Generator<{ name: string; sums: number[] }> {
    for (const [name, { counts, lastMs }] of this.#byName) {
      if (monotonicMs - lastMs > this.#windowMs) this.#byName.delete(name);
      else yield { name, sums: counts.sums(monotonicMs) };
    }
  }
}
