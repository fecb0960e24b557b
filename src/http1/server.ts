import type { Server, Socket } from "node:net";
import { Server as TlsServer } from "node:tls";
import type { Clock, Timer } from "../lib/clock.ts";
import { LiveSet } from "../lib/live-set.ts";
import { type ConnectionHost, HttpConnection } from "./connection.ts";

/** How exactly connections are timed. */
const LOOK_EVERY_MS = 5_000;

export interface HttpServerOptions
  extends Pick<
    ConnectionHost,
    "maxHeadBytes" | "headMs" | "bodyMs" | "idleMs" | "onRequest" | "onUpgrade" | "onFault"
  > {
  clock: Clock;
}

/**
 * Speaks HTTP/1.1 on the connections of a server: on those whose TLS handshake is done, where it has TLS. Make it before the
 * server listens.
 *
 * Why this and not Node's own: docs/decisions/2026-11-30-an-http-1-server-of-our-own.md.
 */
export class HttpServer {
  readonly #host: ConnectionHost;
  readonly #clock: Clock;
  readonly #open = new LiveSet<HttpConnection>();
  #timer: Timer | null = null;
  #second = -1;
  #keptLines = "";
  #closingLines = "";

  constructor(server: Server, options: HttpServerOptions) {
    const { clock } = options;
    this.#clock = clock;
    this.#host = {
      maxHeadBytes: options.maxHeadBytes,
      headMs: options.headMs,
      bodyMs: options.bodyMs,
      idleMs: options.idleMs,
      onRequest: options.onRequest,
      onUpgrade: options.onUpgrade,
      onFault: options.onFault,
      monotonicMs: () => clock.monotonicMs(),
      closingLines: (keepsAlive) => this.#lines(keepsAlive),
      onEnd: (connection) => this.#open.delete(connection),
    };
    server.on(server instanceof TlsServer ? "secureConnection" : "connection", (socket: Socket) => {
      this.#open.add(new HttpConnection(socket, this.#host));
      this.#arm();
    });
  }

  /** Ends the connections on which nothing is under way. */
  closeIdle(): void {
    for (const one of this.#open.all()) one.closeIfIdle();
  }

  /** Ends all connections that were not taken over. */
  closeAll(): void {
    for (const one of this.#open.all()) one.socket.destroy();
  }

  #arm(): void {
    if (this.#timer !== null || this.#open.size === 0) return;
    this.#timer = this.#clock.after(LOOK_EVERY_MS, () => {
      this.#timer = null;
      const nowMs = this.#clock.monotonicMs();
      for (const one of this.#open.all()) if (one.place !== -1) one.check(nowMs);
      this.#arm();
    });
  }

  /** What stands at the end of every head; made once a second. */
  #lines(keepsAlive: boolean): string {
    const nowMs = this.#clock.nowMs();
    const second = Math.floor(nowMs / 1000);
    if (second !== this.#second) {
      this.#second = second;
      const date = `Date: ${new Date(nowMs).toUTCString()}\r\n`;
      this.#keptLines = `${date}Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(this.#host.idleMs / 1000)}\r\n`;
      this.#closingLines = `${date}Connection: close\r\n`;
    }
    return keepsAlive ? this.#keptLines : this.#closingLines;
  }
}
