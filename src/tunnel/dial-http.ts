import { Agent, type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocket } from "ws";
import {
  ACCEPT_HEADER,
  AUTHORIZATION_SCHEME,
  CONNECT_PATH,
  HANDSHAKE_BODY_LIMIT,
  UPGRADE_DIRECT,
  WEBSOCKET_PAYLOAD_LIMIT,
} from "./constants.ts";
import { type DialStage, notGateway, refused } from "./dial-failure.ts";
import { type Acceptance, readAcceptance } from "./handshake.ts";
import { giveBack } from "./session.ts";
import { WebSocketCarrier } from "./websocket-carrier.ts";

/** Largest head of an answer in the handshake. */
const HEAD_LIMIT_BYTES = 16 * 1024;

/** The HTTP/1.1 requests of one handshake, all on the one socket that was opened for it. */
export class HandshakeConnection {
  readonly socket: Socket;
  /** How far the handshake has got. */
  stage: DialStage = "hello";
  readonly #host: string;
  readonly #agent: OneSocketAgent;

  /** @param host Value of the `Host` header. */
  constructor(socket: Socket, host: string) {
    this.socket = socket;
    this.#host = host;
    this.#agent = new OneSocketAgent(socket);
  }

  /** Sends a GET and reads the answer. Rejects when the socket ends or the answer is too long. */
  async get(headers: Record<string, string>): Promise<{ response: IncomingMessage; body: string }> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const request = this.#request(headers);
    request.on("response", resolve);
    request.on("error", reject);
    request.end();
    const response = await promise;
    return { response, body: await readBody(response) };
  }

  /** Upgrades to frames on the bare socket. Rejects with a `DialStop` when the gateway, or a proxy, will not. */
  async upgrade(proof: string): Promise<{ carrier: Duplex; acceptance: Acceptance }> {
    const { promise, resolve, reject } = Promise.withResolvers<{ response: IncomingMessage; head: Buffer | null }>();
    const request = this.#request({
      connection: "Upgrade",
      upgrade: UPGRADE_DIRECT,
      authorization: `${AUTHORIZATION_SCHEME} ${proof}`,
    });
    request.on("upgrade", (response, _socket, head) => resolve({ response, head }));
    request.on("response", (response) => resolve({ response, head: null }));
    request.on("error", reject);
    request.end();
    const { response, head } = await promise;
    if (head === null) throw refused("upgrade", response, await readBody(response), true);
    const acceptance = readAcceptance(headerOf(response));
    if (acceptance === null) throw notGateway("upgrade", "the upgrade was answered by something else");
    giveBack(this.socket, head);
    await flushed(this.socket);
    return { carrier: this.socket, acceptance };
  }

  /** Upgrades to a WebSocket. Same promises as `upgrade`. */
  async upgradeWebSocket(proof: string): Promise<{ carrier: Duplex; acceptance: Acceptance }> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage | Duplex>();
    let accept: string | undefined;
    // `ws:` although the socket may be TLS: the socket is there already.
    const webSocket = new WebSocket(`ws://${this.#host}${CONNECT_PATH}`, {
      agent: this.#agent,
      headers: { host: this.#host, authorization: `${AUTHORIZATION_SCHEME} ${proof}` },
      perMessageDeflate: false,
      maxPayload: WEBSOCKET_PAYLOAD_LIMIT,
      followRedirects: false,
    });
    webSocket.on("upgrade", (response) => {
      accept = headerOf(response);
    });
    webSocket.on("unexpected-response", (_request, response) => resolve(response));
    webSocket.on("error", reject);
    // At once, in the event: the first messages may be in the same segment as the 101.
    webSocket.on("open", () => resolve(new WebSocketCarrier(webSocket)));
    const result = await promise;
    if ("statusCode" in result) throw refused("upgrade", result, await readBody(result), true);
    const carrier = result as Duplex;
    const acceptance = readAcceptance(accept);
    if (acceptance === null) throw notGateway("upgrade", "the upgrade was answered by something else");
    return { carrier, acceptance };
  }

  #request(headers: Record<string, string>): ClientRequest {
    return httpRequest({
      agent: this.#agent,
      method: "GET",
      path: CONNECT_PATH,
      headers: { host: this.#host, ...headers },
      maxHeaderSize: HEAD_LIMIT_BYTES,
    });
  }
}

/** Lets the requests of one handshake share the socket that was opened for it, and open no other. */
class OneSocketAgent extends Agent {
  readonly #socket: Socket;
  #isTaken = false;

  constructor(socket: Socket) {
    super({ keepAlive: true, maxSockets: 1, maxFreeSockets: 1 });
    this.#socket = socket;
  }

  override getName(): string {
    return "handshake";
  }

  override createConnection(): Duplex {
    if (this.#isTaken) throw new Error("the gateway closed the connection between the two steps of the handshake");
    this.#isTaken = true;
    return this.#socket;
  }
}

async function readBody(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > HANDSHAKE_BODY_LIMIT) throw notGateway("hello", "its answer is too long");
    parts.push(chunk);
  }
  return Buffer.concat(parts).toString("utf8");
}

/** Resolves when no write is in flight on the socket: the roles must not flip before (tunnels.md §6.3). */
async function flushed(socket: Socket): Promise<void> {
  do {
    await new Promise<void>((resolve) => setImmediate(resolve));
  } while (socket.writableLength > 0 && !socket.destroyed);
}

function headerOf(response: IncomingMessage): string | undefined {
  const value = response.headers[ACCEPT_HEADER];
  return typeof value === "string" ? value : undefined;
}
