import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import type { ListenAddress } from "../config/resolved.ts";
import type { ConnectionFault } from "../http1/connection.ts";
import type { HttpRequest } from "../http1/request.ts";
import type { HttpResponse } from "../http1/response.ts";
import { HttpServer } from "../http1/server.ts";
import type { Clock } from "../lib/clock.ts";
import { listenError } from "../lib/listen-error.ts";
import type { TlsSettings } from "./certificate.ts";
import type { ConnectionGuard, CutReason } from "./connection-guard.ts";

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
  clock: Clock;
  guard: ConnectionGuard | null;
  onRequest(request: HttpRequest, response: HttpResponse): void;
  /** Upgrades: the tunnel's, or refused by the handler. The socket is paused. */
  onUpgrade(request: HttpRequest, socket: Socket, head: Buffer): void;
  onCut(reason: CutReason): void;
}

/** A listener that is open. */
export interface PublicListener {
  /** A `tls.Server` where it has TLS. */
  server: Server;
  http: HttpServer;
}

/**
 * Makes a public HTTP/1.1 server and starts listening.
 *
 * What is not HTTP as it must be never becomes a request (src/http1); what may be asked for is judged later, on the fields as they
 * came (proxy/head.ts). HTTP/2 is not offered (docs/decisions/2026-11-30-callers-speak-http-1.md).
 *
 * @throws PosternError `port_taken`, `listen_failed`.
 */
export async function startPublicListener(options: PublicListenerOptions): Promise<PublicListener> {
  const { clock, onCut } = options;
  const server =
    options.tls === null
      ? // Who closes its side in the middle of a head is told what was wrong with it.
        createServer({ allowHalfOpen: true, noDelay: true })
      : createTlsServer({
          noDelay: true,
          ...options.tls,
          honorCipherOrder: true,
          handshakeTimeout: options.requestHeadMs,
          requestCert: options.asksForClientCertificates === true,
          rejectUnauthorized: false,
          ALPNProtocols: ["http/1.1"],
        });
  const http = new HttpServer(server, {
    maxHeadBytes: options.maxHeadBytes,
    headMs: options.requestHeadMs,
    bodyMs: options.requestBodyMs,
    idleMs: options.idleMs,
    clock,
    onRequest: options.onRequest,
    onUpgrade: options.onUpgrade,
    onFault: (fault: ConnectionFault) => onCut(fault),
  });
  server.maxConnections = options.maxConnections;
  options.guard?.watch(server);
  server.on("tlsClientError", (error: NodeJS.ErrnoException) => {
    // Leaving in the middle of a handshake is what port scans and health checks do.
    if (error.code !== "ECONNRESET") onCut(error.code === "ERR_SSL_HTTP_REQUEST" ? "plain_http" : "tls_handshake");
  });
  await listen(server, options.listen);
  return { server, http };
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
