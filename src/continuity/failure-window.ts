/** Slices of the window: what is dropped at once is a tenth of it. */
const SLICES = 10;

/** How attempts ended within the last `windowMs`, counted in slices: its memory does not grow with the traffic. */
export class FailureWindow {
  readonly #sliceMs: number;
  readonly #attempts = new Array<number>(SLICES).fill(0);
  readonly #failures = new Array<number>(SLICES).fill(0);
  /** Number of the newest slice since the clock's zero. */
  #newest = 0;

  constructor(windowMs: number) {
    this.#sliceMs = windowMs / SLICES;
  }

  add(isFailure: boolean, monotonicMs: number): void {
    this.#moveTo(monotonicMs);
    const at = this.#newest % SLICES;
    this.#attempts[at] = (this.#attempts[at] ?? 0) + 1;
    if (isFailure) this.#failures[at] = (this.#failures[at] ?? 0) + 1;
  }

  counts(monotonicMs: number): { attempts: number; failures: number } {
    this.#moveTo(monotonicMs);
    const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
    return { attempts: sum(this.#attempts), failures: sum(this.#failures) };
  }

  clear(): void {
    this.#attempts.fill(0);
    this.#failures.fill(0);
  }

  #moveTo(monotonicMs: number): void {
    const slice = Math.floor(monotonicMs / this.#sliceMs);
    for (let step = Math.max(this.#newest + 1, slice - SLICES + 1); step <= slice; step++) {
      this.#attempts[step % SLICES] = 0;
      this.#failures[step % SLICES] = 0;
    }
    this.#newest = Math.max(this.#newest, slice);
  }
}
