import { Duplex } from "node:stream";

/** One end of a line in memory: what is written to it is read at the other end, cut as `cut` says. */
export class LineEnd extends Duplex {
  other: LineEnd | null = null;
  /** While true, what was written is not taken: a line that is slow. */
  isSlow = false;
  /** Length of the next piece; everything at once by default. */
  cut: () => number = () => Number.POSITIVE_INFINITY;
  #taken: (() => void) | null = null;

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const pass = () => {
      for (let at = 0; at < chunk.length; ) {
        const end = Math.min(chunk.length, at + Math.max(1, this.cut()));
        this.other?.push(chunk.subarray(at, end));
        at = end;
      }
      done();
    };
    if (this.isSlow) this.#taken = pass;
    else pass();
  }

  override _final(done: () => void): void {
    this.other?.push(null);
    done();
  }

  goOn(): void {
    this.isSlow = false;
    this.#taken?.();
  }
}

/** Both ends of a line. */
export function line(): [LineEnd, LineEnd] {
  const [one, other] = [new LineEnd(), new LineEnd()];
  one.other = other;
  other.other = one;
  return [one, other];
}
