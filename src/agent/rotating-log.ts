import { closeSync, fstatSync, openSync, renameSync, writeSync } from "node:fs";

/** Size at which a log is put aside; with the one before it, twice that is on the disk at most. */
const MAX_LOG_BYTES = 4 * 1024 * 1024;

/**
 * A log file of bounded size: when it is full it becomes `FILE.1`, and the one that was there is gone.
 *
 * What a program of somebody else's writes goes here as it is, so only its owner may read it (0600). Writes at once and waits for
 * the disk; a disk that is full loses the text and nothing else.
 */
export class RotatingLog {
  readonly #path: string;
  readonly #maxBytes: number;
  #file: number | null = null;
  #bytes = 0;

  constructor(path: string, maxBytes = MAX_LOG_BYTES) {
    this.#path = path;
    this.#maxBytes = maxBytes;
  }

  /** Does not throw. A chunk that is larger than the log loses its beginning. */
  write(chunk: Buffer): void {
    const bytes = chunk.length > this.#maxBytes ? chunk.subarray(chunk.length - this.#maxBytes) : chunk;
    try {
      if (this.#file === null) this.#open();
      if (this.#bytes > 0 && this.#bytes + bytes.length > this.#maxBytes) this.#rotate();
      if (this.#file !== null) this.#bytes += writeSync(this.#file, bytes);
    } catch {
      // Nothing is worth more than the engine that writes here.
    }
  }

  close(): void {
    if (this.#file !== null) closeSync(this.#file);
    this.#file = null;
  }

  #open(): void {
    this.#file = openSync(this.#path, "a", 0o600);
    this.#bytes = fstatSync(this.#file).size;
  }

  #rotate(): void {
    this.close();
    renameSync(this.#path, `${this.#path}.1`);
    this.#open();
  }
}
