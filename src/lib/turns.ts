/**
 * Long pieces of work, one for each turn of the event loop: whatever else is ready gets its turn between two of them, however
 * many wait. Work that is cut into pieces no longer than `INLINE_BYTES` and `INLINE_VALUES` stand for needs no turn of its own.
 *
 * Not bounded by itself: whoever takes a turn holds something that is (a request body).
 */
export class Turns {
  readonly #waiting: Array<() => void> = [];
  #isSet = false;

  /** Runs `piece` in a turn of its own, in order. It must not throw. */
  take(piece: () => void): void {
    this.#waiting.push(piece);
    if (this.#isSet) return;
    this.#isSet = true;
    setImmediate(this.#next);
  }

  readonly #next = (): void => {
    const piece = this.#waiting.shift();
    if (this.#waiting.length > 0) setImmediate(this.#next);
    else this.#isSet = false;
    piece?.();
  };
}

/** Work that may be long, cut into pieces: it yields between two, and returns what came of it. */
export type Pieces<Result> = Generator<void, Result, void>;

/** How many parts of a request (messages, blocks) are looked at in one piece: a few milliseconds. */
export const PIECE_PARTS = 4096;

/** All pieces, one after the other. */
export function atOnce<Result>(pieces: Pieces<Result>): Result {
  for (;;) {
    const piece = pieces.next();
    if (piece.done === true) return piece.value;
  }
}

/** The pieces for a caller that yields whether it wants a turn of its own. */
export function* inTurns<Result>(pieces: Pieces<Result>): Generator<boolean, Result, void> {
  for (;;) {
    const piece = pieces.next();
    if (piece.done === true) return piece.value;
    yield true;
  }
}

/** JSON up to this size is scanned, judged and edited at once: a few milliseconds. */
export const INLINE_BYTES = 2 * 1024 * 1024;
/** JSON with up to so many values is judged at once. */
export const INLINE_VALUES = 10_000;
