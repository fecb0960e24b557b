import type { Duplex } from "node:stream";
import { FrameReader } from "../frame-reader.ts";
import { FRAME, LAST } from "../frames.ts";

/** A frame as its bytes, with no rule checked. */
export function frame(typeAndFlags: number, id: number, payload: string | Uint8Array = ""): Buffer {
  const bytes = typeof payload === "string" ? Buffer.from(payload) : payload;
  const head = Buffer.alloc(8);
  head.writeUInt8(typeAndFlags, 0);
  head.writeUIntBE(bytes.length, 1, 3);
  head.writeUInt32BE(id, 4);
  return Buffer.concat([head, bytes]);
}

/** The settings that each end sends first. */
export function settings(windowBytes = 256 * 1024, capacity = 64): Buffer {
  const payload = Buffer.alloc(8);
  payload.writeUInt32BE(windowBytes, 0);
  payload.writeUInt32BE(capacity, 4);
  return frame(FRAME.settings, 0, payload);
}

/** A stream that the far side opened, with ways to answer well and badly. */
export class RawStream {
  readonly id: number;
  readonly #carrier: Duplex;

  constructor(carrier: Duplex, id: number) {
    this.#carrier = carrier;
    this.id = id;
  }

  head(status: number, headers: Record<string, unknown> = {}, isLast = false): this {
    return this.send(FRAME.head, JSON.stringify([status, headers]), isLast);
  }

  data(bytes: string | Uint8Array, isLast = false): this {
    return this.send(FRAME.data, bytes, isLast);
  }

  reset(payload: Uint8Array | string): this {
    return this.send(FRAME.reset, payload);
  }

  ok(): this {
    return this.head(200, { "content-length": "2" }).data("ok", true);
  }

  send(type: number, payload: string | Uint8Array, isLast = false): this {
    this.#carrier.write(frame(isLast ? type | LAST : type, this.id, payload));
    return this;
  }
}

/** What a raw peer does with what comes. Pings are answered. */
export interface RawBehaviour {
  onOpen?(stream: RawStream, head: unknown): void;
  onControl?(line: string): void;
  onReset?(id: number, payload: Buffer): void;
  onData?(id: number, bytes: number, isLast: boolean): void;
}

/** Speaks frames on a connection, as honestly or badly as a test wants. */
export function rawPeer(carrier: Duplex, behaviour: RawBehaviour): void {
  const reader = new FrameReader({
    isOver: false,
    onFrame(type, _isLast, id, payload) {
      if (type === FRAME.ping) carrier.write(frame(FRAME.pong, 0, Buffer.from(payload)));
      else if (type === FRAME.open) {
        behaviour.onOpen?.(new RawStream(carrier, id), JSON.parse(payload.toString()) as unknown);
      } else if (type === FRAME.control) behaviour.onControl?.(payload.toString());
      else if (type === FRAME.reset) behaviour.onReset?.(id, Buffer.from(payload));
    },
    onData: (id, chunk, isLast) => behaviour.onData?.(id, chunk.length, isLast),
    onViolation(what) {
      throw new Error(`the side under test sent ${what}`);
    },
  });
  carrier.on("error", () => {});
  carrier.on("data", (chunk: Buffer) => reader.push(chunk));
}
