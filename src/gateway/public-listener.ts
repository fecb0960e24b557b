import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Duplex } from "node:stream";
import type { ListenAddress } from "../config/resolved.ts";
import { listenError } from "../lib/listen-error.ts";

/** Idle time of a kept connection. Above the 60 s of common proxies, so that they close first. */
const KEEP_ALIVE_MS = 75_000;
/** Most header fields of a request. */
const MAX_HEADERS = 100;
/** How often Node looks for connections that are too slow with their request. */
const CHECK_CONNECTIONS_MS = 5_000;
/** Connections that wait to be accepted. */
const BACKLOG = 1024;

export interface PublicListenerOptions {
  listen: ListenAddress;
  /** PEM texts; null listens in plain. */
  tls: { cert: Buffer; key: Buffer } | null;
  maxConnections: number;
  maxHeadBytes: number;
  requestHeadMs: number;
  requestBodyMs: number;
  onRequest(request: IncomingMessage, response: ServerResponse): void;
  /** Upgrades: the tunnel's, or refused by the handler. */
  onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

/**
 * Makes the public HTTP/1.1 server and starts listening.
 *
 * Node's parser is left strict; what it lets through nevertheless is judged later on the raw headers (proxy/head.ts).
 * Anything that is not a request (CONNECT, a broken head) is answered shortly and closed.
 *
 * @throws PosternError `port_taken`, `listen_failed`.
 */
export async function startPublicListener(options: PublicListenerOptions): Promise<Server> {
  const settings = {
    // Judged by us: Node accepts two Host headers, and would answer the missing one without our error body.
    requireHostHeader: false,
    maxHeaderSize: options.maxHeadBytes,
    headersTimeout: options.requestHeadMs,
    requestTimeout: options.requestHeadMs + options.requestBodyMs,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connectionsCheckingInterval: CHECK_CONNECTIONS_MS,
    insecureHTTPParser: false,
    noDelay: true,
  };
  const server: Server =
    options.tls === null
      ? createServer(settings)
      : createTlsServer({ ...settings, ...options.tls, minVersion: "TLSv1.2", ALPNProtocols: ["http/1.1"] });
  server.maxHeadersCount = MAX_HEADERS;
  server.maxConnections = options.maxConnections;
  server.on("request", options.onRequest);
  // `Expect` is judged with the other headers; without these two listeners Node would answer 100 or 417 by itself.
  server.on("checkContinue", options.onRequest);
  server.on("checkExpectation", options.onRequest);
  server.on("upgrade", options.onUpgrade);
  server.on("connect", (_request: IncomingMessage, socket: Duplex) => closeWith(socket, "400 Bad Request"));
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Duplex) => {
    if (error.code === "ECONNRESET" || !socket.writable) socket.destroy();
    else if (error.code === "HPE_HEADER_OVERFLOW") closeWith(socket, "431 Request Header Fields Too Large");
    else if (error.code === "ERR_HTTP_REQUEST_TIMEOUT") closeWith(socket, "408 Request Timeout");
    else closeWith(socket, "400 Bad Request");
  });
  await listen(server, options.listen);
  return server;
}

/** Last words to a peer that does not speak HTTP as it must. */
export function closeWith(socket: Duplex, status: string): void {
  socket.on("error", () => socket.destroy());
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy());
}

function listen(server: Server, address: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    function onError(cause: Error): void {
      reject(listenError(cause, address, "--listen or gateway.listen"));
    }
    server.once("error", onError);
    server.listen({ ...address, backlog: BACKLOG }, () => {
      server.off("error", onError);
      resolve();
    });
  });
}
