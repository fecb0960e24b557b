import { type AddressInfo, createServer as createPlainServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { HttpRequest } from "../../http1/request.ts";
import type { HttpResponse } from "../../http1/response.ts";
import { HttpServer } from "../../http1/server.ts";
import { type Clock, systemClock } from "../../lib/clock.ts";
import type { Exchange, ExchangeFailure, ExchangeHeaders, ExchangeRequest, Exchanger } from "../../lib/exchange.ts";
import { Acceptor, type AcceptorOptions } from "../accept.ts";
import { Connector, type ConnectorEvents, type ConnectorOptions } from "../connector.ts";
import { CONNECT_PATH } from "../constants.ts";
import type { ConnectorDirectory, DirectoryConnector, DirectoryNode, Redemption } from "../directory.ts";
import { Identity } from "../identity.ts";
import type { Link, LinkCloseReason, NodeReport } from "../link.ts";
import { Links } from "../links.ts";
import type { AttemptHandler } from "../serve.ts";

/** The directory over plain maps. Unlike the gateway's, it forgets everything when the test ends. */
class MemoryDirectory implements ConnectorDirectory {
  readonly connectors = new Map<string, DirectoryConnector>();
  readonly invitations = new Map<string, { hash: Uint8Array; node: DirectoryNode; usesLeft: number }>();
  readonly seenEpochs: number[] = [];

  approve(identity: Identity, node: DirectoryNode = { nodeId: "node-1", nodeName: "forge" }): void {
    this.connectors.set(identity.fingerprint, { ...node, publicKey: identity.publicKey, lastEpoch: 0 });
  }

  find(connectorId: string): DirectoryConnector | undefined {
    return this.connectors.get(connectorId);
  }

  async redeem(redemption: Redemption): Promise<DirectoryNode | null> {
    const invitation = this.invitations.get(redemption.invitationId);
    if (invitation === undefined || invitation.usesLeft === 0) return null;
    if (!Buffer.from(invitation.hash).equals(redemption.secretHash)) return null;
    invitation.usesLeft -= 1;
    this.connectors.set(redemption.connectorId, { ...invitation.node, publicKey: redemption.publicKey, lastEpoch: 0 });
    return invitation.node;
  }

  seen(connectorId: string, epoch: number): void {
    this.seenEpochs.push(epoch);
    const connector = this.connectors.get(connectorId);
    if (connector) connector.lastEpoch = Math.max(connector.lastEpoch, epoch);
  }
}

/** A gateway's side of the tunnel on a real listener. */
export class TestGateway {
  readonly directory = new MemoryDirectory();
  readonly identity: Identity;
  readonly links: Links;
  readonly acceptor: Acceptor;
  readonly server: Server;
  readonly ready: Link[] = [];
  readonly closed: Array<{ link: Link; reason: LinkCloseReason; detail: string }> = [];
  readonly reports: Array<{ nodeId: string; connectorId: string; report: NodeReport }> = [];
  readonly sockets = new Set<Socket>();
  /** Set by `listen`, and kept after `stop`. */
  port = 0;
  /** Put something else here to play another gateway. */
  onRequest = (request: HttpRequest, response: HttpResponse): void => {
    if (request.url === CONNECT_PATH) this.acceptor.handleRequest(request, response);
    else reply(response, 404, "");
  };
  /** Upgrades that are refused before they reach the acceptor, as a proxy on the way would. */
  blockUpgrade: (token: string | undefined) => boolean = () => false;
  onUpgrade = (request: HttpRequest, socket: Socket, head: Buffer): void => {
    if (this.blockUpgrade(request.header("upgrade"))) socket.end("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    else this.acceptor.handleUpgrade(request, socket, head);
  };
  readonly #http: HttpServer;
  #waiting: Array<{ isDone: () => boolean; resolve: () => void }> = [];

  constructor(options: {
    tls?: { key: string; cert: string };
    clock?: Clock;
    identity?: Identity;
    acceptor?: Partial<AcceptorOptions>;
  } = {}) {
    const clock = options.clock ?? systemClock;
    this.identity = options.identity ?? Identity.create();
    this.links = new Links(clock, this.directory, {
      onLinkReady: (link) => {
        this.ready.push(link);
        this.#wake();
      },
      onLinkState: () => this.#wake(),
      onReport: (nodeId, connectorId, report) => {
        this.reports.push({ nodeId, connectorId, report });
        this.#wake();
      },
      onLinkClosed: (link, reason, detail) => {
        this.closed.push({ link, reason, detail });
        this.#wake();
      },
    });
    this.acceptor = new Acceptor({
      identity: this.identity,
      directory: this.directory,
      links: this.links,
      clock,
      instance: { id: "instance-1", count: () => 1 },
      addressOf: (request) => request.socket.remoteAddress ?? "",
      isBehindProxy: () => false,
      limits: { addressBurst: 100_000, addressPerSecond: 100_000, burst: 100_000, perSecond: 100_000 },
      ...options.acceptor,
    });
    this.server = options.tls
      ? createTlsServer({ ...options.tls, minVersion: "TLSv1.3", noDelay: true })
      : createPlainServer({ allowHalfOpen: true, noDelay: true });
    this.#http = new HttpServer(this.server, {
      ...{ maxHeadBytes: 16_384, headMs: 15_000, bodyMs: 15_000, idleMs: 60_000, clock: systemClock, onFault() {} },
      onRequest: (request, response) => this.onRequest(request, response),
      onUpgrade: (request, socket, head) => this.onUpgrade(request, socket, head),
    });
    this.server.on("connection", (socket: Socket) => {
      this.sockets.add(socket);
      socket.once("close", () => this.sockets.delete(socket));
    });
  }

  async listen(port = 0): Promise<this> {
    await new Promise<void>((resolve) => this.server.listen(port, "127.0.0.1", resolve));
    this.port = (this.server.address() as AddressInfo).port;
    return this;
  }

  get url(): URL {
    return new URL(`${"setSecureContext" in this.server ? "https" : "http"}://127.0.0.1:${this.port}`);
  }

  /** Resolves when the condition holds; looked at after every event of the registry. */
  when(isDone: () => boolean): Promise<void> {
    if (isDone()) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ isDone, resolve }));
  }

  async stop(): Promise<void> {
    await this.links.stop();
    this.#http.closeAll();
    for (const socket of this.sockets) socket.destroy();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
  }

  #wake(): void {
    const done = this.#waiting.filter((one) => one.isDone());
    this.#waiting = this.#waiting.filter((one) => !done.includes(one));
    for (const one of done) one.resolve();
  }
}

/** Answers, and closes the connection. */
export function reply(response: HttpResponse, status: number, text: string): void {
  const body = Buffer.from(text);
  response.shouldKeepAlive = false;
  response.writeHead(status, ["Content-Length", String(body.length)]).end(body);
}

/** A connector for this gateway, approved in its directory. Not started. */
export function makeConnector(
  gateway: TestGateway,
  onAttempt: AttemptHandler,
  options: Partial<ConnectorOptions> & { events?: ConnectorEvents } = {},
): Connector {
  const identity = options.identity ?? Identity.create();
  gateway.directory.approve(identity);
  let epoch = 0;
  return new Connector({
    url: gateway.url,
    gatewayFingerprint: gateway.identity.fingerprint,
    agentVersion: "0.0.0-test",
    tables: { operations: 1, fields: 1 },
    links: 1,
    nextEpoch: async (floor) => {
      epoch = Math.max(epoch, floor) + 1;
      return epoch;
    },
    onAttempt,
    clock: systemClock,
    ...options,
    identity,
  });
}

/** What came of an exchange. */
export interface Outcome {
  status: number | null;
  headers: ExchangeHeaders;
  chunks: Buffer[];
  body: string;
  failure: ExchangeFailure | null;
}

export function post(path: string, body: string | Buffer = "{}", headers: Record<string, string> = {}): ExchangeRequest {
  return { method: "POST", path, headers, body: Buffer.from(body) };
}

/** Runs an exchange to its end and tells what came. `onChunk` may pause or cancel through the exchange. */
export function run(
  exchanger: Exchanger,
  request: ExchangeRequest,
  onChunk: (chunk: Buffer, exchange: Exchange) => void = () => {},
): Promise<Outcome> {
  return new Promise((resolve) => {
    const outcome: Outcome = { status: null, headers: {}, chunks: [], body: "", failure: null };
    const settle = (failure: ExchangeFailure | null) => {
      resolve({ ...outcome, failure, body: Buffer.concat(outcome.chunks).toString("utf8") });
    };
    const exchange = exchanger.start(request, {
      onHead(status, headers) {
        outcome.status = status;
        outcome.headers = headers;
      },
      onData(chunk) {
        outcome.chunks.push(chunk);
        onChunk(chunk, exchange);
      },
      onEnd: () => settle(null),
      onFailure: settle,
    });
  });
}
