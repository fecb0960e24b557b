import type { Duplex } from "node:stream";
import { SOCKET_HIGH_BYTES } from "./constants.ts";
import { FRAME_HEAD_BYTES } from "./frames.ts";

/** Frames are written into blocks of this size, one after the other. Every link has one, idle or not. */
const BLOCK_BYTES = 16 * 1024;
/** Payloads up to this size are copied beside their frame's head; larger ones go out as they are. */
const COPIED_BYTES = 4 * 1024;

/** Something that has more to send than there was room for. */
export interface Sender {
  /** Whether it waits in the outbox. Written by the outbox alone. */
  isWaiting: boolean;
  /** Puts one frame into the outbox. False when it has nothing more to send now. */
  sendSome(): boolean;
}

/**
 * What goes out on a link. All that is written in one turn of the event loop leaves in one write, and senders with much to send
 * take turns, frame by frame, so that a long prompt does not hold up a short one.
 */
export class Outbox {
  readonly #carrier: Duplex;
  #block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  /** What of the block is written, and what of that has gone. */
  #end = 0;
  #begin = 0;
  /** Pieces that go before what is in the block. */
  #pieces: Uint8Array[] = [];
  #piecesBytes = 0;
  #waiting: Sender[] = [];
  #isScheduled = false;
  #isOver = false;

  constructor(carrier: Duplex) {
    this.#carrier = carrier;
    carrier.on("drain", () => this.flush());
  }

  /** Bytes that have not left this process. */
  get backlogBytes(): number {
    return this.#carrier.writableLength + this.#piecesBytes + (this.#end - this.#begin);
  }

  /** Whether senders should wait rather than add to what the far side is slow to take. */
  get isFull(): boolean {
    return this.backlogBytes >= SOCKET_HIGH_BYTES;
  }

  /** Adds a frame. The payload must not be written to after. */
  frame(typeAndFlags: number, id: number, payload: Uint8Array): void {
    if (this.#isOver) return;
    const { length } = payload;
    if (length > COPIED_BYTES) {
      this.#writeHead(this.#room(FRAME_HEAD_BYTES), typeAndFlags, length, id);
      this.#cut();
      this.#pieces.push(payload);
      this.#piecesBytes += length;
    } else {
      const at = this.#room(FRAME_HEAD_BYTES + length);
      this.#writeHead(at, typeAndFlags, length, id);
      this.#block.set(payload, at + FRAME_HEAD_BYTES);
      this.#end += length;
    }
    this.#schedule();
  }

  /** Adds a frame whose payload is text, as UTF-8. */
  text(typeAndFlags: number, id: number, text: string): void {
    // A code unit is at most three bytes.
    if (text.length * 3 > COPIED_BYTES) return this.frame(typeAndFlags, id, Buffer.from(text, "utf8"));
    if (this.#isOver) return;
    const at = this.#room(FRAME_HEAD_BYTES + text.length * 3);
    const length = this.#block.write(text, at + FRAME_HEAD_BYTES, "utf8");
    this.#writeHead(at, typeAndFlags, length, id);
    this.#end += length;
    this.#schedule();
  }

  /** Has the sender asked for frames when there is room. Idempotent. */
  wait(sender: Sender): void {
    if (sender.isWaiting || this.#isOver) return;
    sender.isWaiting = true;
    this.#waiting.push(sender);
    this.#schedule();
  }

  /** Writes what there is now. */
  flush(): void {
    if (this.#isOver) return;
    this.#askSenders();
    this.#cut();
    const pieces = this.#pieces;
    if (pieces.length === 0) return;
    this.#pieces = [];
    this.#piecesBytes = 0;
    if (pieces.length > 1) this.#carrier.cork();
    for (const piece of pieces) this.#carrier.write(piece);
    if (pieces.length > 1) this.#carrier.uncork();
  }

  /** Writes what there is and takes nothing more. */
  close(): void {
    this.#waiting = [];
    this.flush();
    this.#isOver = true;
  }

  /** Forgets everything: the far side takes nothing any more. */
  discard(): void {
    this.#isOver = true;
    this.#waiting = [];
    this.#pieces = [];
    this.#piecesBytes = 0;
    this.#begin = this.#end;
  }

  #askSenders(): void {
    while (this.#waiting.length > 0 && !this.isFull) {
      const turn = this.#waiting;
      this.#waiting = [];
      for (let index = 0; index < turn.length; index++) {
        const sender = turn[index] as Sender;
        if (this.isFull) {
          // Those that had no turn come first next time.
          this.#waiting = [...turn.slice(index), ...this.#waiting];
          return;
        }
        sender.isWaiting = false;
        if (sender.sendSome()) this.wait(sender);
      }
    }
  }

  /** Makes room in the block; returns where it is. */
  #room(bytes: number): number {
    if (this.#block.length - this.#end < bytes) {
      this.#cut();
      this.#block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
      this.#begin = 0;
      this.#end = 0;
    }
    return this.#end;
  }

  #writeHead(at: number, typeAndFlags: number, length: number, id: number): void {
    const block = this.#block;
    block[at] = typeAndFlags;
    block[at + 1] = length >>> 16;
    block[at + 2] = length >>> 8;
    block[at + 3] = length;
    block[at + 4] = id >>> 24;
    block[at + 5] = id >>> 16;
    block[at + 6] = id >>> 8;
    block[at + 7] = id;
    this.#end = at + FRAME_HEAD_BYTES;
  }

  /** Closes the piece that is being written in the block. */
  #cut(): void {
    if (this.#end === this.#begin) return;
    this.#pieces.push(this.#block.subarray(this.#begin, this.#end));
    this.#piecesBytes += this.#end - this.#begin;
    this.#begin = this.#end;
  }

  // After all that arrived in this turn was handled, before the loop waits: what it led to leaves together.
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.flush();
    });
  }
}
