import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { frameChunk, frameEnd } from "./chunk-frame.ts";

/** Whole answers up to this size leave in one piece with their head. */
const MAX_TEXT_BYTES = 16 * 1024;
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
export class CallerAnswer {
  /** Whether a head has gone, so that the status cannot change any more. */
  isCommitted = false;
  /** Status that the caller got, or will get; 0 before. */
  status = 0;
  bytesOut = 0;
  /** When something was last written. Meaningful once committed. */
  lastWriteMs = 0;
  isSlow = false;
  slowSinceMs = 0;
  readonly #response: ServerResponse;
  readonly #clock: { readonly nowMs: number };
  readonly #events: CallerEvents;
  readonly #copy: AnswerCopy | null;
  /** The caller's connection, once it is written to directly. */
  #socket: Socket | null = null;

  /** @param clock Monotonic milliseconds; may be coarse. */
  constructor(
    response: ServerResponse,
    clock: { readonly nowMs: number },
    events: CallerEvents,
    copy: AnswerCopy | null = null,
  ) {
    this.#response = response;
    this.#clock = clock;
    this.#events = events;
    this.#copy = copy;
    response.on("drain", this.#onDrain);
    response.on("close", () => events.onGone());
  }

  /** Sends the head of a stream and what was held back. */
  commit(headers: string[], held: readonly Buffer[]): void {
    this.isCommitted = true;
    this.status = 200;
    const response = this.#response;
    response.writeHead(200, headers);
    // The head says chunked; from here on the framing is ours (see chunk-frame.ts).
    response.chunkedEncoding = false;
    if (held.length === 0) response.flushHeaders();
    for (const chunk of held) this.write(chunk);
    this.lastWriteMs = this.#clock.nowMs;
    this.#takeSocket();
  }

  /** Sends a part of a committed stream. */
  write(chunk: Buffer): void {
    this.bytesOut += chunk.length;
    this.lastWriteMs = this.#clock.nowMs;
    if (this.#copy !== null) this.#copy.answer(chunk);
    const framed = frameChunk(chunk);
    const isTaken = this.#socket === null ? this.#response.write(framed) : this.#socket.write(framed);
    if (isTaken || this.isSlow) return;
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
    const response = this.#response.writeHead(this.status, headers);
    // As text, because Node sends a head and a text in one piece, a head and a buffer in two.
    if (body.length <= MAX_TEXT_BYTES) response.end(body.toString("latin1"), "latin1");
    else response.end(body);
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

  /** The connection outlives this answer: whoever writes next does it through its own response. */
  giveSocketBack(): void {
    this.#socket?.off("drain", this.#onDrain);
    this.#socket = null;
  }

  /**
   * From here on chunks go to the connection itself: what the response adds to each write (corking until the next tick, and
   * state that only its own framing needs) is a tenth of what a token costs. A response that waits behind another one on
   * its connection has no socket yet, and keeps its own way.
   */
  #takeSocket(): void {
    const { socket } = this.#response;
    if (socket === null) return;
    this.#socket = socket;
    socket.on("drain", this.#onDrain);
  }

  readonly #onDrain = (): void => {
    if (!this.isSlow) return;
    this.isSlow = false;
    this.#events.onTaken();
  };
}
