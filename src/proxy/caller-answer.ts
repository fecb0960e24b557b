import type { HttpResponse, ResponseOwner } from "../http1/response.ts";
import { frameChunk, frameEnd } from "./chunk-frame.ts";

const NO_BYTES = Buffer.alloc(0);

/** Whom the answer tells what becomes of its caller. */
export interface CallerEvents {
  /** The caller does not take what it gets: stop sending. */
  onSlow(): void;
  /** It takes more again. */
  onTaken(): void;
  /** Its connection closed. Also after the end of the answer. */
  onGone(): void;
}

/** Somebody who is shown each part of an answer as the caller gets it. Must not keep the bytes: they are not copied. */
export interface AnswerCopy {
  answer(bytes: Buffer): void;
}

/**
 * What goes to the caller of one request: the commit, chunks, and one of several endings. Decides nothing; counts bytes and keeps
 * the times that decisions are made from.
 */
export class CallerAnswer implements ResponseOwner {
  /** Whether a head has gone, so that the status cannot change any more. */
  isCommitted = false;
  /** Status that the caller got, or will get; 0 before. */
  status = 0;
  bytesOut = 0;
  /** When something was last written. Meaningful once committed. */
  lastWriteMs = 0;
  isSlow = false;
  slowSinceMs = 0;
  readonly #response: HttpResponse;
  readonly #clock: { readonly nowMs: number };
  readonly #events: CallerEvents;
  readonly #copy: AnswerCopy | null;

  /** @param clock Monotonic milliseconds; may be coarse. */
  constructor(
    response: HttpResponse,
    clock: { readonly nowMs: number },
    events: CallerEvents,
    copy: AnswerCopy | null = null,
  ) {
    this.#response = response;
    this.#clock = clock;
    this.#events = events;
    this.#copy = copy;
    response.owner = this;
  }

  /** Sends the head of a stream and what was held back. */
  commit(headers: string[], held: readonly Buffer[]): void {
    this.isCommitted = true;
    this.status = 200;
    const response = this.#response;
    response.writeHead(200, headers, true);
    if (held.length === 0) response.flush();
    for (const chunk of held) this.write(chunk);
    this.lastWriteMs = this.#clock.nowMs;
  }

  /** Sends a part of a committed stream. */
  write(chunk: Buffer): void {
    this.bytesOut += chunk.length;
    this.lastWriteMs = this.#clock.nowMs;
    if (this.#copy !== null) this.#copy.answer(chunk);
    if (this.#response.write(frameChunk(chunk)) || this.isSlow) return;
    this.isSlow = true;
    this.slowSinceMs = this.#clock.nowMs;
    this.#events.onSlow();
  }

  /** Ends a committed stream well. */
  end(tail: Buffer): void {
    this.#copy?.answer(tail);
    this.#response.end(frameEnd(tail));
  }

  /** Sends a whole answer, head and body. `headers` has its length. */
  whole(headers: string[], body: Buffer): void {
    this.#copy?.answer(body);
    this.#response.writeHead(this.status, headers).end(body);
  }

  /**
   * Ends a committed stream so that nobody takes it for complete: no terminator of the dialect, none of HTTP.
   *
   * @param isEnd The last words are a terminator themselves: then HTTP ends well, or clients would tell of the broken connection
   *   instead of the error.
   */
  breakOff(lastWords: Buffer | null, isEnd: boolean): void {
    const response = this.#response;
    if (lastWords !== null) this.#copy?.answer(lastWords);
    if (isEnd) response.write(frameEnd(lastWords ?? NO_BYTES), () => response.destroy());
    else if (lastWords === null) response.destroy();
    else response.write(frameChunk(lastWords), () => response.destroy());
  }

  /** Closes the caller's connection; `onGone` follows. */
  destroy(): void {
    this.#response.destroy();
  }

  onDrain(): void {
    if (!this.isSlow) return;
    this.isSlow = false;
    this.#events.onTaken();
  }

  onClose(): void {
    this.#events.onGone();
  }
}
