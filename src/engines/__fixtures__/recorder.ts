import type { ExchangeFailure, ExchangeHandler, ExchangeHeaders } from "../../lib/exchange.ts";

/** Takes an answer and lets a test wait for its parts by event. Also checks the order that the contract promises. */
export class Recorder implements ExchangeHandler {
  status = 0;
  headers: ExchangeHeaders = {};
  chunks: Buffer[] = [];
  failure: ExchangeFailure | null = null;
  isEnded = false;
  /** Runs after each chunk, for pausing inside the callback. */
  afterData: (() => void) | null = null;
  readonly finished: Promise<void>;
  readonly #finish: () => void;
  readonly #waiting: Array<{ isThere: () => boolean; resolve: () => void }> = [];

  constructor() {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.finished = promise;
    this.#finish = resolve;
  }

  get text(): string {
    return Buffer.concat(this.chunks).toString("latin1");
  }

  get bytes(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  }

  /** Resolves as soon as the condition holds after some callback. */
  async until(isThere: () => boolean): Promise<void> {
    if (isThere()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ isThere, resolve });
    await promise;
  }

  onHead(status: number, headers: ExchangeHeaders): void {
    this.#mustBeOpen();
    if (this.status !== 0) throw new Error("a second head");
    this.status = status;
    this.headers = headers;
    this.#look();
  }

  onData(chunk: Buffer): void {
    this.#mustBeOpen();
    if (this.status === 0) throw new Error("data before the head");
    this.chunks.push(chunk);
    this.afterData?.();
    this.#look();
  }

  onEnd(): void {
    this.#mustBeOpen();
    this.isEnded = true;
    this.#look();
    this.#finish();
  }

  onFailure(failure: ExchangeFailure): void {
    this.#mustBeOpen();
    this.failure = failure;
    this.#look();
    this.#finish();
  }

  #mustBeOpen(): void {
    if (this.isEnded || this.failure !== null) throw new Error("a callback after the end");
  }

  #look(): void {
    for (const one of this.#waiting) if (one.isThere()) one.resolve();
  }
}
