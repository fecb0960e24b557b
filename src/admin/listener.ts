import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import { isIPv6 } from "node:net";
import type { ListenAddress } from "../config/resolved.ts";
import { listenError } from "../lib/listen-error.ts";
import { SETUP_PAGE, SETUP_PAGE_POLICY } from "./setup-page.ts";

/** Most open connections: browsers take six each. */
const MAX_CONNECTIONS = 256;
const MAX_HEADER_BYTES = 16 * 1024;
const HEAD_TIMEOUT_MS = 5000;
/** A whole request, its body of at most 256 KiB included. */
const REQUEST_TIMEOUT_MS = 15_000;
/** How often connections are held against those times. */
const CHECK_EVERY_MS = 2_500;
/** A connection is closed after so many requests, so that none is for ever. */
const MAX_REQUESTS_PER_CONNECTION = 1000;
const LIMITS = {
  maxHeaderSize: MAX_HEADER_BYTES,
  requireHostHeader: false,
  connectionsCheckingInterval: CHECK_EVERY_MS,
};
const TLS = { minVersion: "TLSv1.3", handshakeTimeout: HEAD_TIMEOUT_MS, ALPNProtocols: ["http/1.1"] } as const;
const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "[::1]"];

/** A certificate and its key, PEM. */
export interface AdminCertificate {
  cert: string | Buffer;
  key: string | Buffer;
}

export interface AdminListenerOptions {
  listen: ListenAddress;
  /** Null: it speaks plain HTTP. */
  certificate: AdminCertificate | null;
  /** Whether this caller may see metrics and why the gateway is not ready. Must not throw. */
  mayLook(request: IncomingMessage): boolean;
  /** Watches the connections from the start. */
  watch?(server: Server | TlsServer): void;
  /** Further `Host` names, without port. */
  hosts: readonly string[];
  /** Empty when ready; otherwise the reasons. Must not throw. */
  notReadyReasons(): readonly string[];
  /** The text for Prometheus. */
  metrics(): Promise<{ contentType: string; text: string }>;
  /** Answers what is below `/admin/`. Access is its business. */
  api(request: IncomingMessage, response: ServerResponse): void;
}

/** The admin listener: health for whoever reaches it, metrics for whoever may look, the admin API for whoever proves who they are. */
export interface AdminListener {
  /** @throws PosternError `port_taken` or `listen_failed`. */
  start(): Promise<ListenAddress>;
  /** Shows this certificate from now on; only where it began with one. */
  show(certificate: AdminCertificate): void;
  /** Closes the listener and its connections at once. */
  stop(): Promise<void>;
}

/**
 * Makes the admin listener. `GET /healthz`, `/readyz`, `/metrics`, `/setup`, and what is below `/admin/`; anything else is 404. A
 * request whose `Host` is not
 * loopback, the listener's own or a configured one is refused with 421, so that a web page cannot reach it by a name that
 * it points at 127.0.0.1 (DNS rebinding).
 */
export function createAdminListener(options: AdminListenerOptions): AdminListener {
  const names = allowedNames(options);
  function onRequest(request: IncomingMessage, response: ServerResponse): void {
    answer(request, response, options, names).catch(() => response.destroy());
  }
  const secure = options.certificate === null ? null : createTlsServer({ ...LIMITS, ...TLS, ...options.certificate });
  const server: Server | TlsServer = secure ?? createServer(LIMITS);
  server.on("request", onRequest);
  options.watch?.(server);
  server.maxConnections = MAX_CONNECTIONS;
  server.headersTimeout = HEAD_TIMEOUT_MS;
  server.requestTimeout = REQUEST_TIMEOUT_MS;
  server.maxRequestsPerSocket = MAX_REQUESTS_PER_CONNECTION;
  return {
    start: () => startServer(server, options.listen),
    show: (certificate) => secure?.setSecureContext({ ...TLS, ...certificate }),
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: AdminListenerOptions,
  names: ReadonlySet<string>,
): Promise<void> {
  if (!isKnownHost(request, names)) return send(response, 421, "text/plain", "Unknown Host\n");
  // The bytes that arrived, for the check and for the router alike; a path that is not in origin form is none of ours.
  if (request.url?.startsWith("/admin/") === true) return options.api(request, response);
  if (request.method !== "GET") return send(response, 404, "text/plain", "Not found\n");
  switch (request.url) {
    case "/healthz":
      return send(response, 200, "text/plain", "ok\n");
    case "/readyz": {
      const reasons = options.notReadyReasons();
      const told = options.mayLook(request) ? reasons : [];
      const body = JSON.stringify({ ready: reasons.length === 0, reasons: told });
      return send(response, reasons.length === 0 ? 200 : 503, "application/json", `${body}\n`);
    }
    case "/metrics": {
      if (!options.mayLook(request)) {
        response.setHeader("www-authenticate", "Bearer");
        return send(response, 401, "text/plain", "Needs an admin token with system:read\n");
      }
      const { contentType, text } = await options.metrics();
      return send(response, 200, contentType, text);
    }
    case "/setup":
      response.setHeader("content-security-policy", SETUP_PAGE_POLICY);
      response.setHeader("referrer-policy", "no-referrer");
      return send(response, 200, "text/html; charset=utf-8", SETUP_PAGE);
    default:
      return send(response, 404, "text/plain", "Not found\n");
  }
}

function send(response: ServerResponse, status: number, contentType: string, body: string): void {
  response.writeHead(status, {
    "content-type": contentType,
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    // A body that nobody read would be taken for the next request.
    connection: "close",
  });
  response.end(body);
}

/** Judged on the raw headers: Node's parsed form hides a second `Host`. */
function isKnownHost(request: IncomingMessage, names: ReadonlySet<string>): boolean {
  const hosts = request.rawHeaders.filter(
    (_, index, raw) => index % 2 === 1 && raw[index - 1]?.toLowerCase() === "host",
  );
  const [host] = hosts;
  if (hosts.length !== 1 || host === undefined) return false;
  return names.has(host.toLowerCase().replace(/:\d{1,5}$/, ""));
}

function allowedNames({ listen, hosts }: AdminListenerOptions): ReadonlySet<string> {
  const own = isIPv6(listen.host) ? `[${listen.host}]` : listen.host;
  return new Set([...LOOPBACK_NAMES, own, ...hosts].map((name) => name.toLowerCase()));
}

function startServer(server: Server, { host, port }: ListenAddress): Promise<ListenAddress> {
  return new Promise((resolve, reject) => {
    server.once("error", (error) => reject(listenError(error, { host, port })));
    server.listen(port, host, () => {
      const address = server.address();
      resolve({ host, port: typeof address === "object" && address !== null ? address.port : port });
    });
  });
}
