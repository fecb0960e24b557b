import { PosternError } from "../../errors.ts";
import type { LlamaSequence, Token } from "./library.ts";

interface Waiter {
  resolve(sequence: LlamaSequence): void;
}

/**
 * The parallel sequences of one context: each answers one request at a time, further requests wait in order.
 *
 * A sequence keeps its state between requests, so a conversation that continues on the one that holds its beginning does not
 * evaluate it again.
 */
export class SequencePool {
  readonly #free: LlamaSequence[];
  readonly #queueLimit: number;
  readonly #waiting: Waiter[] = [];
  readonly size: number;

  /** @param queueLimit Requests that may wait; the next one is refused. */
  constructor(sequences: readonly LlamaSequence[], queueLimit: number) {
    this.#free = [...sequences];
    this.#queueLimit = queueLimit;
    this.size = sequences.length;
  }

  get freeCount(): number {
    return this.#free.length;
  }

  get waitingCount(): number {
    return this.#waiting.length;
  }

  /**
   * A sequence for a prompt; give it back with `release`.
   *
   * @throws PosternError `overloaded` when the queue is full.
   * @throws the signal's reason on abort; the place in the queue is given up.
   */
  acquire(tokens: readonly Token[], signal: AbortSignal): Promise<LlamaSequence> {
    signal.throwIfAborted();
    const sequence = this.#takeBest(tokens);
    if (sequence !== null) return Promise.resolve(sequence);
    if (this.#waiting.length >= this.#queueLimit) {
      throw new PosternError("overloaded", {
        message: "The engine is busy and its queue is full",
        retryAfterSeconds: 1,
      });
    }
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
        reject(signal.reason);
      };
      const waiter: Waiter = {
        resolve(freed) {
          signal.removeEventListener("abort", onAbort);
          resolve(freed);
        },
      };
      this.#waiting.push(waiter);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  release(sequence: LlamaSequence): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free.push(sequence);
    else next.resolve(sequence);
  }

  #takeBest(tokens: readonly Token[]): LlamaSequence | null {
    let best = -1;
    let bestLength = -1;
    this.#free.forEach((sequence, index) => {
      const length = commonPrefix(sequence.contextTokens, tokens);
      if (length > bestLength) {
        best = index;
        bestLength = length;
      }
    });
    return best === -1 ? null : (this.#free.splice(best, 1)[0] ?? null);
  }
}

/** How many tokens two lists share at their beginning. */
export function commonPrefix(a: readonly Token[], b: readonly Token[]): number {
  const end = Math.min(a.length, b.length);
  let length = 0;
  while (length < end && a[length] === b[length]) length += 1;
  return length;
}
