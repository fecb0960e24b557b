import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Clock } from "../lib/clock.ts";
import {
  HEADER_BYTES_LIMIT,
  OUTBOX_LIMIT_BYTES,
  PING_BURST,
  PINGS_OUTSTANDING,
  PINGS_PER_SECOND,
  STRAY_LIMIT_BYTES,
  TCP_KEEPALIVE_MS,
} from "./constants.ts";
import { FrameReader, type FrameSink } from "./frame-reader.ts";
import { FRAME, PING_BYTES, readReset, SETTINGS_BYTES, STREAM_SLOTS } from "./frames.ts";
import { LinkStream, type StreamHost, type StreamOwner } from "./link-stream.ts";
import { Outbox } from "./outbox.ts";
import { Rate } from "./rate.ts";

/** What a session tells its link. None of them may throw. */
export interface SessionEvents {
  /** The far side's settings, once, before anything else: streams that it takes at once. */
  onSettings(capacity: number): void;
  /** A message of the control channel. */
  onControl(line: string): void;
  /** The far side opened a stream. The payload is only good during the call. */
  onOpen(id: number, payload: Buffer, isLast: boolean): void;
  /** Once: the connection ended, or the far side broke a rule. Streams that ran have not been told yet. */
  onOver(reason: "peer" | "protocol" | "dead", detail: string): void;
}

export interface SessionOptions {
  carrier: Duplex;
  clock: Clock;
  /** Window that each stream of the far side gets here, in bytes. */
  windowBytes: number;
  /** Streams taken at once; 0 where the far side opens none. */
  capacity: number;
  events: SessionEvents;
}

/**
 * One end of a link: frames on a connection, streams on top (SPEC §4, §5). Both ends are alike but for who opens streams.
 *
 * Owns the carrier. What the far side may cost is bounded: windows per stream, its number of streams, heads and messages by
 * size, pings by rate, bytes for streams that are no more by what was under way, and what it does not read.
 */
export class Session implements FrameSink, StreamHost {
  readonly outbox: Outbox;
  readonly #carrier: Duplex;
  readonly #events: SessionEvents;
  readonly #clock: Clock;
  readonly #windowBytes: number;
  readonly #pingRate: Rate;
  /** By slot. An array, not a Map: see docs/decisions/2026-11-20-no-sets-on-the-request-path.md. */
  readonly #streams: Array<LinkStream | null> = [];
  readonly #freeSlots: number[] = [];
  readonly #generations: number[] = [];
  #running = 0;
  #creditBytes = 0;
  #hasSettings = false;
  #strayBytes = 0;
  #pings: Array<{ sentMs: number; onAnswer: (roundTripMs: number) => void }> = [];
  #pingNumber = 0;
  isOver = false;

  constructor({ carrier, clock, windowBytes, capacity, events }: SessionOptions) {
    this.#carrier = carrier;
    this.#clock = clock;
    this.#events = events;
    this.#windowBytes = windowBytes;
    this.#pingRate = new Rate(clock, PING_BURST, PINGS_PER_SECOND);
    this.outbox = new Outbox(carrier);
    tune(carrier);
    const settings = Buffer.alloc(SETTINGS_BYTES);
    settings.writeUInt32BE(windowBytes, 0);
    settings.writeUInt32BE(capacity, 4);
    this.outbox.frame(FRAME.settings, 0, settings);
    const reader = new FrameReader(this);
    carrier.on("data", (chunk: Buffer) => {
      if (!this.isOver) reader.push(chunk);
    });
    // A socket that the HTTP server accepted is half-open by default and would outlive its peer's end.
    carrier.on("end", () => this.#giveUp("peer", "the far side closed the connection"));
    carrier.on("close", () => this.#giveUp("peer", "the connection closed"));
    carrier.on("lost", () => this.#giveUp("peer", "the WebSocket closed"));
    carrier.on("error", () => {});
  }

  /** Streams that run now. */
  get running(): number {
    return this.#running;
  }

  /** Opens a stream: only after the far side's settings have come, and only at the gateway. Null when all slots are taken. */
  open(owner: StreamOwner): LinkStream | null {
    if (this.isOver || !this.#hasSettings) return null;
    const slot = this.#freeSlots.pop() ?? this.#streams.length;
    if (slot >= STREAM_SLOTS) return null;
    const generation = (this.#generations[slot] ?? 0) + 1;
    // Stream 0 is the link itself, so the first generation is 1. After half a million streams in a slot ids come round again.
    this.#generations[slot] = generation * STREAM_SLOTS > 0xffff_ffff - STREAM_SLOTS ? 0 : generation;
    const stream = new LinkStream(this, owner, generation * STREAM_SLOTS + slot, this.#creditBytes, this.#windowBytes);
    this.#streams[slot] = stream;
    this.#running += 1;
    return stream;
  }

  /** Takes the stream that the far side opened (inside `onOpen`). Without a body its owner hears `onBodyEnd` in the next turn. */
  accept(id: number, isLast: boolean, owner: StreamOwner): LinkStream {
    const stream = new LinkStream(this, owner, id, this.#creditBytes, this.#windowBytes);
    this.#streams[id % STREAM_SLOTS] = stream;
    this.#running += 1;
    if (isLast) stream.onOpened();
    return stream;
  }

  /** Sends one message of the control channel. */
  control(line: string): void {
    this.outbox.text(FRAME.control, 0, line);
    this.#checkBacklog();
  }

  /** Sends a ping; `onAnswer` gets the round trip in milliseconds and is never called when none comes. False when none was sent. */
  ping(onAnswer: (roundTripMs: number) => void): boolean {
    if (this.isOver || this.#pings.length >= PINGS_OUTSTANDING) return false;
    const payload = Buffer.alloc(PING_BYTES);
    this.#pingNumber += 1;
    payload.writeDoubleBE(this.#pingNumber);
    this.#pings.push({ sentMs: this.#clock.monotonicMs(), onAnswer });
    this.outbox.frame(FRAME.ping, 0, payload);
    this.outbox.flush();
    return true;
  }

  /**
   * Ends the session: streams are told, what was said last is written, then the connection closes, however dead the far side is.
   *
   * @param graceMs How long the far side may take to close; 0 destroys the connection at once.
   */
  end(detail: string, graceMs: number): void {
    this.isOver = true;
    this.#pings = [];
    for (const stream of [...this.#streams]) stream?.onLinkEnd(detail);
    this.#streams.length = 0;
    this.#running = 0;
    const carrier = this.#carrier;
    if (graceMs === 0 || carrier.destroyed) {
      this.outbox.discard();
      carrier.destroy();
      return;
    }
    this.outbox.close();
    carrier.end();
    // What still comes is read and dropped, so that the far side gets our last words rather than a reset.
    if (carrier.readableEnded) carrier.once("finish", () => carrier.destroy());
    else carrier.once("end", () => carrier.destroy());
    carrier.once("lost", () => carrier.destroy());
    const timer = this.#clock.after(graceMs, () => carrier.destroy());
    carrier.once("close", () => timer.cancel());
  }

  // StreamHost

  violate(what: string): void {
    this.#giveUp("protocol", what);
  }

  release(stream: LinkStream): void {
    const slot = stream.id % STREAM_SLOTS;
    if (this.#streams[slot] !== stream) return;
    this.#streams[slot] = null;
    this.#running -= 1;
    // A reset or credit of the far side may cross our end of the stream.
    this.allowStray(0);
    if (this.#generations[slot] !== undefined) this.#freeSlots.push(slot);
  }

  allowStray(bytes: number): void {
    this.#strayBytes = Math.min(STRAY_LIMIT_BYTES, this.#strayBytes + bytes + HEADER_BYTES_LIMIT);
  }

  // FrameSink

  onFrame(type: number, isLast: boolean, id: number, payload: Buffer): void {
    if (!this.#hasSettings && type !== FRAME.settings) return this.violate("no settings first");
    switch (type) {
      case FRAME.settings:
        return this.#onSettings(payload);
      case FRAME.open:
        return this.#onOpen(id, payload, isLast);
      case FRAME.head:
        return this.#find(id, payload.length)?.onHead(payload, isLast);
      case FRAME.reset:
        return this.#find(id, payload.length)?.onReset(readReset(payload));
      case FRAME.credit:
        return this.#find(id, payload.length)?.onCredit(payload.readUInt32BE(0));
      case FRAME.ping:
        if (!this.#pingRate.take()) return this.violate("too many pings");
        this.outbox.frame(FRAME.pong, 0, Buffer.from(payload));
        return this.outbox.flush();
      case FRAME.pong:
        return this.#onPong(payload);
      case FRAME.control:
        return this.#events.onControl(payload.toString("utf8"));
      default:
        return this.violate("an unknown frame");
    }
  }

  onData(id: number, chunk: Buffer, isLast: boolean): void {
    if (!this.#hasSettings) return this.violate("no settings first");
    this.#find(id, chunk.length)?.onData(chunk, isLast);
  }

  onViolation(what: string): void {
    this.violate(what);
  }

  #onSettings(payload: Buffer): void {
    if (this.#hasSettings) return this.violate("settings twice");
    this.#hasSettings = true;
    this.#creditBytes = Math.min(payload.readUInt32BE(0), 0x7fff_ffff);
    this.#events.onSettings(payload.readUInt32BE(4));
  }

  #onOpen(id: number, payload: Buffer, isLast: boolean): void {
    if (id < STREAM_SLOTS || (this.#streams[id % STREAM_SLOTS] ?? null) !== null) {
      return this.violate("a stream that cannot be opened");
    }
    this.#events.onOpen(id, payload, isLast);
    this.#checkBacklog();
  }

  #onPong(payload: Buffer): void {
    const ping = this.#pings.shift();
    const number = this.#pingNumber - this.#pings.length;
    if (ping === undefined || payload.readDoubleBE() !== number) return this.violate("an answer to no ping");
    ping.onAnswer(this.#clock.monotonicMs() - ping.sentMs);
  }

  /** The stream, or null where it is no more; what comes for those is bounded by what was under way when they ended. */
  #find(id: number, bytes: number): LinkStream | null {
    const stream = this.#streams[id % STREAM_SLOTS];
    if (stream?.id === id) return stream;
    this.#strayBytes -= bytes;
    if (stream === undefined || this.#strayBytes < 0) this.violate("bytes for a stream that does not run");
    return null;
  }

  #checkBacklog(): void {
    if (this.outbox.backlogBytes > OUTBOX_LIMIT_BYTES) this.#giveUp("dead", "the far side does not read");
  }

  #giveUp(reason: "peer" | "protocol" | "dead", detail: string): void {
    if (this.isOver) return;
    this.isOver = true;
    this.#events.onOver(reason, detail);
  }
}

/** Puts back what arrived behind the head of the upgrade. */
export function giveBack(carrier: Duplex, head: Uint8Array): void {
  if (head.length > 0) carrier.unshift(head);
}

function tune(carrier: Duplex): void {
  if (!(carrier instanceof Socket)) return;
  carrier.setTimeout(0);
  carrier.setNoDelay(true);
  carrier.setKeepAlive(true, TCP_KEEPALIVE_MS);
}
