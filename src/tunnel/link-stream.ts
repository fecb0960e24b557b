import type { FailureKind, FailurePhase } from "../lib/exchange.ts";
import { DATA_FRAME_BYTES } from "./constants.ts";
import { FRAME, LAST, type ResetReason, writeReset } from "./frames.ts";
import type { Outbox, Sender } from "./outbox.ts";

/** Who a stream works for: an exchange at the gateway, an attempt at the agent. */
export interface StreamOwner {
  /** The head of the answer (gateway only). The payload is only good during the call. */
  onHead(payload: Buffer): void;
  /** A part of the body. The chunk may be kept but not written to. */
  onBody(chunk: Buffer): void;
  /** The body is complete. */
  onBodyEnd(): void;
  /** The far side has given the stream up; it is over. */
  onReset(reason: ResetReason): void;
  /** The link has ended, and the stream with it. */
  onLinkEnd(detail: string): void;
  /** All that was held back has been sent. */
  onDrain(): void;
}

/** What a stream needs of its session. */
export interface StreamHost {
  readonly outbox: Pick<Outbox, "isFull" | "frame" | "text" | "wait">;
  /** The link broke a rule of the protocol. */
  violate(what: string): void;
  /** Both directions are done, or the stream was reset. */
  release(stream: LinkStream): void;
  /** The far side may still send this much on a stream that is no more. */
  allowStray(bytes: number): void;
}

/** A chunk that waits and is smaller than this part of the memory that it lies in is copied, so as not to hold the rest. */
const COPY_BELOW = 1 / 2;
const NO_BYTES = Buffer.alloc(0);

/**
 * One stream of a link: a body out, a body in, each with its own window. What may not be sent yet is queued here (the owner is
 * told to stop by `send`), and what its owner does not want yet as well, at most the window.
 */
export class LinkStream implements Sender {
  readonly id: number;
  isWaiting = false;
  owner: StreamOwner;
  readonly #host: StreamHost;
  /** Bytes that the far side takes. */
  #creditBytes: number;
  #queue: Uint8Array[] = [];
  /** What of the first chunk of the queue is sent. */
  #sentBytes = 0;
  #isEnding = false;
  #isSent = false;
  /** Bytes that the far side may still send. */
  #windowBytes: number;
  readonly #fullWindowBytes: number;
  #takenBytes = 0;
  #isReceived = false;
  #isEndTold = false;
  #isPaused = false;
  #held: Buffer[] = [];
  #isOver = false;

  /** @param creditBytes Of the far side's window. @param windowBytes Our own window. */
  constructor(host: StreamHost, owner: StreamOwner, id: number, creditBytes: number, windowBytes: number) {
    this.#host = host;
    this.owner = owner;
    this.id = id;
    this.#creditBytes = creditBytes;
    this.#windowBytes = windowBytes;
    this.#fullWindowBytes = windowBytes;
  }

  /** Whether nothing more is sent or delivered. */
  get isOver(): boolean {
    return this.#isOver;
  }

  // Sending

  /** Sends a head, which is never held back. `isLast`: there is no body. */
  sendHead(type: number, text: string, isLast: boolean): void {
    if (this.#isOver || this.#isSent) return;
    this.#host.outbox.text(isLast ? type | LAST : type, this.id, text);
    if (isLast) this.#onSent();
  }

  /** Sends a part of the body. False: wait for `onDrain` before the next one. The chunk must not be written to after. */
  send(chunk: Uint8Array, isLast = false): boolean {
    if (this.#isOver || this.#isSent || this.#isEnding) return true;
    if (
      this.#queue.length > 0 ||
      chunk.length > this.#creditBytes ||
      chunk.length > DATA_FRAME_BYTES ||
      this.#host.outbox.isFull
    ) {
      if (chunk.length > 0) this.#queue.push(apart(chunk));
      this.#isEnding = isLast;
      this.#host.outbox.wait(this);
      return false;
    }
    if (chunk.length === 0 && !isLast) return true;
    this.#creditBytes -= chunk.length;
    this.#host.outbox.frame(isLast ? FRAME.data | LAST : FRAME.data, this.id, chunk);
    if (isLast) this.#onSent();
    return true;
  }

  /** The body is complete. */
  end(): void {
    this.send(NO_BYTES, true);
  }

  /** One frame of what is queued. */
  sendSome(): boolean {
    if (this.#isOver || this.#isSent) return false;
    const [first] = this.#queue;
    if (first === undefined) {
      if (this.#isEnding) this.#sendLast(NO_BYTES);
      return false;
    }
    const bytes = Math.min(first.length - this.#sentBytes, DATA_FRAME_BYTES, this.#creditBytes);
    // `onCredit` comes back to it.
    if (bytes === 0) return false;
    const part = first.subarray(this.#sentBytes, this.#sentBytes + bytes);
    this.#sentBytes += bytes;
    this.#creditBytes -= bytes;
    if (this.#sentBytes === first.length) {
      this.#queue.shift();
      this.#sentBytes = 0;
    }
    if (this.#queue.length > 0) {
      this.#host.outbox.frame(FRAME.data, this.id, part);
      return true;
    }
    if (this.#isEnding) {
      this.#sendLast(part);
      return false;
    }
    this.#host.outbox.frame(FRAME.data, this.id, part);
    this.owner.onDrain();
    return this.#queue.length > 0;
  }

  /** Gives the stream up and tells the far side why. */
  reset(kind: FailureKind | "cancel", phase: FailurePhase, detail = ""): void {
    if (this.#isOver) return;
    this.#host.outbox.frame(FRAME.reset, this.id, writeReset(kind, phase, detail));
    if (!this.#isReceived) this.#host.allowStray(this.#windowBytes);
    this.#finish();
  }

  // Receiving

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    while (this.#held.length > 0 && !this.#isPaused && !this.#isOver) this.#deliver(this.#held.shift() as Buffer);
    this.#tellEnd();
  }

  /** The far side opened it without a body. */
  onOpened(): void {
    this.#isReceived = true;
    this.#tellEnd();
  }

  onHead(payload: Buffer, isLast: boolean): void {
    if (this.#isReceived) return this.#host.violate("a head behind the end of a stream");
    this.owner.onHead(payload);
    if (isLast) this.#isReceived = true;
    this.#tellEnd();
  }

  onData(chunk: Buffer, isLast: boolean): void {
    if (this.#isReceived) return this.#host.violate("data behind the end of a stream");
    this.#windowBytes -= chunk.length;
    if (this.#windowBytes < 0) return this.#host.violate("more data than a window");
    this.#isReceived = isLast;
    if (this.#isPaused || this.#held.length > 0) {
      if (chunk.length > 0) this.#held.push(apart(chunk));
      return;
    }
    if (chunk.length > 0) this.#deliver(chunk);
    this.#tellEnd();
  }

  onCredit(bytes: number): void {
    this.#creditBytes += bytes;
    if (this.#creditBytes > 0x7fff_ffff) return this.#host.violate("too much credit");
    if (this.#queue.length > 0) this.#host.outbox.wait(this);
  }

  onReset(reason: ResetReason): void {
    const { owner } = this;
    this.#finish();
    owner.onReset(reason);
  }

  onLinkEnd(detail: string): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#queue = [];
    this.#held = [];
    this.owner.onLinkEnd(detail);
  }

  #deliver(chunk: Buffer): void {
    this.owner.onBody(chunk);
    if (this.#isOver || this.#isReceived) return;
    this.#takenBytes += chunk.length;
    if (this.#takenBytes * 2 < this.#fullWindowBytes) return;
    const credit = Buffer.allocUnsafe(4);
    credit.writeUInt32BE(this.#takenBytes);
    this.#windowBytes += this.#takenBytes;
    this.#takenBytes = 0;
    this.#host.outbox.frame(FRAME.credit, this.id, credit);
  }

  #sendLast(part: Uint8Array): void {
    this.#host.outbox.frame(FRAME.data | LAST, this.id, part);
    this.#onSent();
  }

  #onSent(): void {
    this.#isSent = true;
    if (this.#isEndTold) this.#finish();
  }

  #tellEnd(): void {
    if (!this.#isReceived || this.#isEndTold || this.#isPaused || this.#held.length > 0 || this.#isOver) return;
    this.#isEndTold = true;
    if (this.#isSent) this.#finish();
    this.owner.onBodyEnd();
  }

  #finish(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#queue = [];
    this.#held = [];
    this.#host.release(this);
  }
}

/** The chunk, or a copy in memory of its own: `Buffer.from` would put it into a pool of 64 KiB. */
function apart<T extends Uint8Array>(chunk: T): T | Buffer {
  if (chunk.length >= chunk.buffer.byteLength * COPY_BELOW) return chunk;
  const copy = Buffer.allocUnsafeSlow(chunk.length);
  copy.set(chunk);
  return copy;
}
