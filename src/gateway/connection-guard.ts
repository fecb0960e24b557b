import type { Server, Socket } from "node:net";
import { sourceOf } from "../lib/address-source.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import { LiveSet, type Placed } from "../lib/live-set.ts";

/** How exactly slow readers are timed. */
const LOOK_EVERY_MS = 5_000;

/** Why a connection was refused or cut before or beside any request on it. */
export type CutReason =
  | "connections"
  | "connections_per_address"
  | "slow_reader"
  | "slow_head"
  | "head_too_large"
  | "malformed"
  | "tls_handshake"
  | "plain_http";

export interface ConnectionGuardParts {
  clock: Clock;
  /** Most open connections from one address, or one /64. */
  maxPerAddress: number;
  /** Whether connections from this address are not counted: proxies and this machine stand for many callers. */
  isExempt(address: string): boolean;
  /** Grace of a connection that does not take what it is sent, and the least rate after it, in bytes per second. */
  slowReader: { graceMs: number; bytesPerSecond: number };
  onCut(reason: CutReason): void;
}

interface Connection extends Placed {
  socket: Socket;
  /** Under which it is counted; empty: it is not. */
  source: string;
  /** Monotonic time since which bytes wait to be taken; null while none do. */
  waitingSinceMs: number | null;
  /** Most bytes that waited since then. */
  mostWaiting: number;
}

/**
 * Watches over the connections of public listeners: how many come from one address, and whether what they are sent is taken.
 *
 * A connection costs an entry here, and a look every few seconds while it is open; nothing per request.
 */
export class ConnectionGuard {
  readonly #parts: ConnectionGuardParts;
  readonly #perSource = new Map<string, number>();
  readonly #open = new LiveSet<Connection>();
  #timer: Timer | null = null;

  constructor(parts: ConnectionGuardParts) {
    this.#parts = parts;
  }

  /**
   * Watches a listener's connections from their first packet, before TLS. It stands in front of the listeners that start HTTP and
   * TLS, so that a refused connection costs neither, and no socket is destroyed from under TLS (with both destroyed in one turn
   * Node 26.10 crashes).
   */
  watch(server: Server): void {
    const own = server.listeners("connection") as Array<(this: Server, socket: Socket) => void>;
    server.removeAllListeners("connection");
    server.on("connection", (socket: Socket) => {
      if (this.#admits(socket)) for (const listener of own) listener.call(server, socket);
      else socket.destroy();
    });
    // With TLS, what waits to be taken waits at the socket above.
    server.on("secureConnection", (socket: Socket) => this.#watch(socket, ""));
    server.on("drop", () => this.#parts.onCut("connections"));
  }

  #admits(socket: Socket): boolean {
    const address = socket.remoteAddress;
    // Gone already.
    if (address === undefined) return false;
    const source = this.#parts.isExempt(address) ? "" : sourceOf(address);
    const count = (this.#perSource.get(source) ?? 0) + 1;
    if (source !== "" && count > this.#parts.maxPerAddress) {
      this.#parts.onCut("connections_per_address");
      return false;
    }
    if (source !== "") this.#perSource.set(source, count);
    this.#watch(socket, source);
    return true;
  }

  #watch(socket: Socket, source: string): void {
    const connection = { socket, source, waitingSinceMs: null, mostWaiting: 0, place: -1 };
    this.#open.add(connection);
    socket.once("close", () => this.#forget(connection));
    this.#arm();
  }

  #forget(connection: Connection): void {
    this.#open.delete(connection);
    const { source } = connection;
    if (source === "") return;
    const left = (this.#perSource.get(source) ?? 1) - 1;
    if (left === 0) this.#perSource.delete(source);
    else this.#perSource.set(source, left);
  }

  #arm(): void {
    if (this.#timer !== null || this.#open.size === 0) return;
    this.#timer = this.#parts.clock.after(LOOK_EVERY_MS, () => {
      this.#timer = null;
      const nowMs = this.#parts.clock.monotonicMs();
      for (const one of this.#open.all()) if (one.place !== -1) this.#look(one, nowMs);
      this.#arm();
    });
  }

  /** What waits never once came to an end, for longer than that many bytes may take: nobody reads, or somebody reads to hold us. */
  #look(one: Connection, nowMs: number): void {
    const waiting = one.socket.writableLength;
    if (waiting === 0) {
      one.waitingSinceMs = null;
      one.mostWaiting = 0;
      return;
    }
    one.waitingSinceMs ??= nowMs;
    one.mostWaiting = Math.max(one.mostWaiting, waiting);
    const { graceMs, bytesPerSecond } = this.#parts.slowReader;
    if (nowMs - one.waitingSinceMs <= graceMs + (one.mostWaiting / bytesPerSecond) * 1000) return;
    this.#parts.onCut("slow_reader");
    this.#open.delete(one);
    one.socket.destroy();
  }
}
