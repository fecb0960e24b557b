import type { Clock, Timer } from "../lib/clock.ts";
import type { CancelReason, Exchange, ExchangeFailure, ExchangeHandler, ExchangeHeaders } from "../lib/exchange.ts";

/** Most that waits in one answer before its sender is paused. */
const MAX_WAITING_BYTES = 256 * 1024;

interface Waiting {
  dueMs: number;
  bytes: number;
  deliver(): void;
}

/** Stands between a target and the relay and hands everything on late, in its order. Drills play slow links and slow first tokens with it. */
export class DelayedExchange implements Exchange, ExchangeHandler {
  readonly #handler: ExchangeHandler;
  readonly #clock: Clock;
  readonly #delayMs: number;
  /** Only the first content is late; what came meanwhile follows at once. */
  readonly #isFirstOnly: boolean;
  #inner: Exchange | null = null;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #firstDueMs: number | null = null;
  #timer: Timer | null = null;
  #isPaused = false;
  #isOver = false;

  constructor(handler: ExchangeHandler, clock: Clock, delayMs: number, isFirstOnly: boolean) {
    this.#handler = handler;
    this.#clock = clock;
    this.#delayMs = delayMs;
    this.#isFirstOnly = isFirstOnly;
  }

  /** Call once, with what `start` gave. */
  over(inner: Exchange): Exchange {
    this.#inner = inner;
    return this;
  }

  onHead(status: number, headers: ExchangeHeaders): void {
    if (this.#isFirstOnly) this.#handler.onHead(status, headers);
    else this.#wait(0, () => this.#handler.onHead(status, headers));
  }

  onData(chunk: Buffer): void {
    this.#wait(chunk.length, () => this.#handler.onData(chunk));
    if (this.#waitingBytes > MAX_WAITING_BYTES) this.#inner?.pause();
  }

  onEnd(): void {
    this.#wait(0, () => {
      this.#isOver = true;
      this.#handler.onEnd();
    });
  }

  onFailure(failure: ExchangeFailure): void {
    this.#wait(0, () => {
      this.#isOver = true;
      this.#handler.onFailure(failure);
    });
  }

  pause(): void {
    this.#isPaused = true;
    this.#timer?.cancel();
    this.#timer = null;
    this.#inner?.pause();
  }

  resume(): void {
    this.#isPaused = false;
    if (this.#waitingBytes <= MAX_WAITING_BYTES) this.#inner?.resume();
    this.#arm();
  }

  cancel(reason: CancelReason): void {
    this.#isOver = true;
    this.#timer?.cancel();
    this.#waiting = [];
    this.#inner?.cancel(reason);
  }

  #wait(bytes: number, deliver: () => void): void {
    if (this.#isOver) return;
    const nowMs = this.#clock.monotonicMs();
    this.#firstDueMs ??= nowMs + this.#delayMs;
    this.#waiting.push({ dueMs: this.#isFirstOnly ? this.#firstDueMs : nowMs + this.#delayMs, bytes, deliver });
    this.#waitingBytes += bytes;
    this.#arm();
  }

  #arm(): void {
    const next = this.#waiting[0];
    if (next === undefined || this.#timer !== null || this.#isPaused || this.#isOver) return;
    this.#timer = this.#clock.after(Math.max(0, next.dueMs - this.#clock.monotonicMs()), () => {
      this.#timer = null;
      this.#flush();
    });
  }

  #flush(): void {
    const nowMs = this.#clock.monotonicMs();
    while (!this.#isPaused && !this.#isOver) {
      const next = this.#waiting[0];
      if (next === undefined || next.dueMs > nowMs) break;
      this.#waiting.shift();
      this.#waitingBytes -= next.bytes;
      next.deliver();
    }
    if (!this.#isPaused && !this.#isOver && this.#waitingBytes <= MAX_WAITING_BYTES) this.#inner?.resume();
    this.#arm();
  }
}
