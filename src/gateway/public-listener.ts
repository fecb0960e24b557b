import { createServer, type IncomingMessage, type Server } from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import type { Duplex } from "node:stream";
import type { ListenAddress } from "../config/resolved.ts";
import { listenError } from "../lib/listen-error.ts";
import { EdgeResponse } from "../proxy/edge-response.ts";
import { isEnded } from "../proxy/refuse.ts";
import type { TlsSettings } from "./certificate.ts";
import type { ConnectionGuard, CutReason } from "./connection-guard.ts";

/** How often Node looks for connections that are too slow with their request. */
const CHECK_CONNECTIONS_MS = 5_000;
/** Connections that wait to be accepted. */
const BACKLOG = 1024;

export interface PublicListenerOptions {
  listen: ListenAddress;
  /** Null listens in plain. */
  tls: TlsSettings | null;
  /** Whether callers are asked for a certificate. Who shows none is not turned away here (`socket.authorized` tells). */
  asksForClientCertificates?: boolean;
  maxConnections: number;
  maxHeadBytes: number;
  requestHeadMs: number;
  requestBodyMs: number;
  idleMs: number;
  guard: ConnectionGuard | null;
  onRequest(request: IncomingMessage, response: EdgeResponse): void;
  /** Upgrades: the tunnel's, or refused by the handler. */
  onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  onCut(reason: CutReason): void;
}

/**
 * Makes a public HTTP/1.1 server and starts listening.
 *
 * Node's parser is left strict; what it lets through nevertheless is judged later on the raw headers (proxy/head.ts).
 * Anything that is not a request (CONNECT, a broken head) is answered shortly and closed. HTTP/2 is not offered
 * (docs/decisions/2026-11-30-callers-speak-http-1.md).
 *
 * @throws PosternError `port_taken`, `listen_failed`.
 */
export async function startPublicListener(options: PublicListenerOptions): Promise<Server | TlsServer> {
  const settings = {
    // Judged by us: Node accepts two Host headers, and would answer the missing one without our error body.
    requireHostHeader: false,
    maxHeaderSize: options.maxHeadBytes,
    headersTimeout: options.requestHeadMs,
    requestTimeout: options.requestHeadMs + options.requestBodyMs,
    keepAliveTimeout: options.idleMs,
    connectionsCheckingInterval: CHECK_CONNECTIONS_MS,
    insecureHTTPParser: false,
    noDelay: true,
    ServerResponse: EdgeResponse,
  };
  const server =
    options.tls === null
      ? createServer(settings)
      : createTlsServer({
          ...settings,
          ...options.tls,
          honorCipherOrder: true,
          handshakeTimeout: options.requestHeadMs,
          requestCert: options.asksForClientCertificates === true,
          rejectUnauthorized: false,
          ALPNProtocols: ["http/1.1"],
        });
  // Bounded by their size, and counted on the raw headers: Node would drop the excess in silence, and only from one of its forms.
  server.maxHeadersCount = 0;
  server.maxConnections = options.maxConnections;
  options.guard?.watch(server);
  function onRequest(request: IncomingMessage, response: EdgeResponse): void {
    if (!isEnded(request.socket)) options.onRequest(request, response);
  }
  server.on("request", onRequest);
  // `Expect` is judged with the other headers; without these two listeners Node would answer 100 or 417 by itself.
  server.on("checkContinue", onRequest);
  server.on("checkExpectation", onRequest);
  server.on("upgrade", options.onUpgrade);
  server.on("connect", (_request: IncomingMessage, socket: Duplex) => {
    options.onCut("malformed");
    closeWith(socket, "400 Bad Request");
  });
  server.on("clientError", (error: NodeJS.ErrnoException, socket: Duplex) => onClientError(error, socket, options));
  server.on("tlsClientError", (error: NodeJS.ErrnoException) => {
    // Leaving in the middle of a handshake is what port scans and health checks do.
    if (error.code !== "ECONNRESET")
      options.onCut(error.code === "ERR_SSL_HTTP_REQUEST" ? "plain_http" : "tls_handshake");
  });
  await listen(server, options.listen);
  return server;
}

function onClientError(error: NodeJS.ErrnoException, socket: Duplex, { onCut }: PublicListenerOptions): void {
  if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy();
  // What came behind a refused request; the refusal goes out and closes the connection.
  if (isEnded(socket)) return;
  if (isAnswering(socket)) {
    onCut("malformed");
    return void socket.destroy();
  }
  switch (error.code) {
    case "HPE_HEADER_OVERFLOW":
      onCut("head_too_large");
      return closeWith(socket, "431 Request Header Fields Too Large");
    case "ERR_HTTP_REQUEST_TIMEOUT":
      onCut("slow_head");
      return closeWith(socket, "408 Request Timeout");
    default:
      onCut("malformed");
      return closeWith(socket, "400 Bad Request");
  }
}

/**
 * Whether an answer has begun on the connection: last words of ours would stand in the middle of it. Node's own handler of
 * such errors asks the same field (lib/_http_server.js, `socketOnError`).
 */
function isAnswering(socket: Duplex): boolean {
  const answer: unknown = Reflect.get(socket, "_httpMessage");
  return answer instanceof EdgeResponse && answer.headersSent;
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
