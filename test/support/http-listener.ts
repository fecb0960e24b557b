import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { Server as TlsServer } from "node:tls";
import type { ConnectionFault } from "../../src/http1/connection.ts";
import type { BodyReader, HttpRequest } from "../../src/http1/request.ts";
import type { HttpResponse, ResponseOwner } from "../../src/http1/response.ts";
import { HttpServer } from "../../src/http1/server.ts";
import { ManualClock } from "../../src/lib/clock.ts";
import { RawConnection } from "./raw-connection.ts";

export const MAX_HEAD_BYTES = 2048;
export const HEAD_MS = 15_000;
export const BODY_MS = 30_000;
export const IDLE_MS = 60_000;
/** As in server.ts: how exactly connections are timed. */
export const LOOK_EVERY_MS = 5_000;
/** As in connection.ts. */
export const MAX_BEHIND_BYTES = 64 * 1024;
/** Node reads a socket in parts of this size at most. */
export const READ_BYTES = 64 * 1024;

export const DATE = "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n";
export const KEEPS = `${DATE}Connection: keep-alive\r\nKeep-Alive: timeout=60\r\n`;
export const CLOSES = `${DATE}Connection: close\r\n`;
export const LAST_WORDS = {
  malformed: "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
  head_too_large: "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
  slow_head: "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
};

/** Tells those who wait for something whenever it may have come. */
export class Signal {
  #waiting: Array<() => void> = [];

  notify(): void {
    for (const one of [...this.#waiting]) one();
  }

  when(isSo: () => boolean): Promise<void> {
    if (isSo()) return Promise.resolve();
    return new Promise((resolve) => {
      const check = () => {
        if (!isSo()) return;
        this.#waiting = this.#waiting.filter((one) => one !== check);
        resolve();
      };
      this.#waiting.push(check);
    });
  }
}

/** A request that reached the listener, and what its handler was told. */
export class Exchange implements ResponseOwner {
  body = "";
  /** What was told, in order: "end" and "cut" of the body, "gone" of the answer. */
  told: string[] = [];
  readonly request: HttpRequest;
  readonly response: HttpResponse;
  readonly #signal: Signal;

  constructor(request: HttpRequest, response: HttpResponse, signal: Signal) {
    this.request = request;
    this.response = response;
    this.#signal = signal;
    response.owner = this;
  }

  get reader(): BodyReader {
    return {
      onData: (chunk) => {
        this.body += chunk.toString("latin1");
        this.#signal.notify();
      },
      onEnd: () => this.#tell("end"),
      onClose: () => this.#tell("cut"),
    };
  }

  onDrain(): void {}

  onClose(): void {
    this.#tell("gone");
  }

  until(isSo: (exchange: Exchange) => boolean): Promise<void> {
    return this.#signal.when(() => isSo(this));
  }

  answer(text: string): void {
    const body = Buffer.from(text, "latin1");
    this.response.writeHead(200, ["Content-Length", String(body.length)]).end(body);
  }

  /** Begins an answer that goes on. */
  stream(text: string): void {
    this.response.writeHead(200, [], true).write(Buffer.from(`${text.length.toString(16)}\r\n${text}\r\n`));
  }

  #tell(what: string): void {
    this.told.push(what);
    this.#signal.notify();
  }
}

/** The listener's end of a connection. */
export interface Peer {
  socket: Socket;
  receivedBytes: number;
  isClosed: boolean;
}

export interface Upgrade {
  request: HttpRequest;
  socket: Socket;
  head: string;
}

export class Listener {
  readonly clock = new ManualClock();
  readonly server: Server;
  readonly http: HttpServer;
  readonly exchanges: Exchange[] = [];
  readonly upgrades: Upgrade[] = [];
  readonly faults: ConnectionFault[] = [];
  readonly peers: Peer[] = [];
  readonly #signal = new Signal();
  readonly #callers: Socket[] = [];
  /** Called with each request, its body being read already. */
  handle: (exchange: Exchange) => void = () => {};

  constructor(server: Server = createServer({ allowHalfOpen: true, noDelay: true })) {
    this.server = server;
    this.http = new HttpServer(server, {
      ...{ maxHeadBytes: MAX_HEAD_BYTES, headMs: HEAD_MS, bodyMs: BODY_MS, idleMs: IDLE_MS, clock: this.clock },
      onRequest: (request, response) => this.#onRequest(request, response),
      onUpgrade: (request, socket, head) => {
        this.upgrades.push({ request, socket, head: head.toString("latin1") });
        this.#signal.notify();
      },
      onFault: (fault) => this.faults.push(fault),
    });
    // Behind the server's own, so that what is counted here has been dealt with there.
    server.on(server instanceof TlsServer ? "secureConnection" : "connection", (socket: Socket) => {
      const peer: Peer = { socket, receivedBytes: 0, isClosed: false };
      this.peers.push(peer);
      socket.on("data", (chunk: Buffer) => {
        peer.receivedBytes += chunk.length;
        this.#signal.notify();
      });
      socket.on("pause", () => this.#signal.notify());
      socket.on("close", () => {
        peer.isClosed = true;
        this.#signal.notify();
      });
      this.#signal.notify();
    });
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get urls(): string[] {
    return this.exchanges.map(({ request }) => request.url);
  }

  async start(): Promise<void> {
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
  }

  async stop(): Promise<void> {
    for (const one of this.#callers) one.destroy();
    for (const { socket } of this.peers) socket.destroy();
    this.server.close();
    await once(this.server, "close");
  }

  /** A caller whose bytes have been received and dealt with. */
  async call(bytes = ""): Promise<{ caller: RawConnection; peer: Peer }> {
    const at = this.peers.length;
    const caller = new RawConnection(this.port, Buffer.from(bytes, "latin1"));
    this.#callers.push(caller.socket);
    await this.until(() => this.peers.length > at);
    const peer = this.peers[at]!;
    await this.until(() => peer.receivedBytes === bytes.length || peer.isClosed);
    return { caller, peer };
  }

  /** Sends more, and resolves once it has been dealt with. */
  async send(caller: RawConnection, peer: Peer, bytes: string): Promise<void> {
    const due = peer.receivedBytes + bytes.length;
    caller.socket.write(Buffer.from(bytes, "latin1"));
    await this.until(() => peer.receivedBytes >= due || peer.isClosed);
  }

  /** The nth request that reaches the listener. */
  async exchange(at: number): Promise<Exchange> {
    await this.until(() => this.exchanges.length > at);
    return this.exchanges[at]!;
  }

  until(isSo: () => boolean): Promise<void> {
    return this.#signal.when(isSo);
  }

  /** A whole exchange beside all others: whatever was to happen meanwhile has. */
  async aside(): Promise<void> {
    const aside = new RawConnection(this.port, "GET /aside HTTP/1.1\r\nConnection: close\r\n\r\n");
    this.#callers.push(aside.socket);
    await aside.untilClosed();
  }

  #onRequest(request: HttpRequest, response: HttpResponse): void {
    const exchange = new Exchange(request, response, this.#signal);
    if (request.url === "/aside") return exchange.answer("");
    this.exchanges.push(exchange);
    request.read(exchange.reader);
    this.handle(exchange);
    this.#signal.notify();
  }
}

export function get(url: string, lines = "", method = "GET"): string {
  return `${method} ${url} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`;
}

export function post(url: string, body: string, lines = ""): string {
  return `POST ${url} HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n${lines}\r\n${body}`;
}

export function chunked(url: string, coded: string): string {
  return `POST ${url} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${coded}`;
}

export function ok(body: string, closing = KEEPS): string {
  return `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${closing}\r\n${body}`;
}

/** Answers each request with its URL, as soon as its head is there. */
export function answerUrl(exchange: Exchange): void {
  exchange.answer(exchange.request.url);
}
