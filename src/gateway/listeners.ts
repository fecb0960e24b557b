import type { Socket } from "node:net";
import { Server as TlsServer } from "node:tls";
import type { Logger } from "pino";
import type { FileEndpoint, GatewayConfig, ListenAddress, TlsConfig } from "../config/resolved.ts";
import type { HttpRequest } from "../http1/request.ts";
import type { HttpResponse } from "../http1/response.ts";
import type { Clock } from "../lib/clock.ts";
import type { Closers } from "../lib/closers.ts";
import type { Challenges } from "./acme/challenges.ts";
import { Certificate } from "./certificate.ts";
import type { CertificateState } from "./certificate-state.ts";
import type { ConnectionGuard, CutReason } from "./connection-guard.ts";
import { EndpointCertificates } from "./endpoint-certificates.ts";
import { type PublicListener, startPublicListener } from "./public-listener.ts";

/** How long what is open may take to end after a drain. */
const STOP_GRACE_MS = 2_000;

type Answer = (request: HttpRequest, response: HttpResponse) => void;

export interface ListenersParts {
  gateway: GatewayConfig;
  /** Those of the file; some have certificates of their own. */
  endpoints: readonly FileEndpoint[];
  dataFolder: string;
  clock: Clock;
  random: () => number;
  log: Logger;
  /** Gets the listeners: closing begins at once and is done when the connections are gone, upgraded ones included. */
  closers: Closers;
  challenges: Challenges;
  guard: ConnectionGuard;
  onRequest(request: HttpRequest, response: HttpResponse): void;
  /** Requests on the listener for agents alone, where there is one. */
  onAgentRequest: Answer;
  /** Requests on the listener without TLS, where there is one. */
  onPlainRequest: Answer;
  onUpgrade(request: HttpRequest, socket: Socket, head: Buffer): void;
  /** Upgrades on the listener without TLS. */
  onPlainUpgrade(socket: Socket): void;
  onCut(reason: CutReason): void;
}

/** A listener that is open, for status. */
export interface OpenListener extends PublicListener {
  name: "public" | "plain" | "agents";
  certificate: Certificate | null;
}

/** What is open, the public listener first. */
export interface Listeners {
  public: OpenListener;
  all: readonly OpenListener[];
  /** Takes over the certificates of endpoints. @throws PosternError `config_invalid` for files that are of no use; nothing has changed then. */
  setEndpoints(endpoints: readonly FileEndpoint[]): void;
  /** State of each certificate, by listener. */
  certificates(): Array<CertificateState & { listener: string }>;
}

/**
 * Opens the public listener, and the one for agents alone and the one without TLS where the configuration has them.
 *
 * @throws PosternError `port_taken`, `listen_failed`, `config_invalid` (certificates).
 */
export async function openListeners(parts: ListenersParts): Promise<Listeners> {
  const { listen, tls, agents, plainListen } = parts.gateway;
  const all: OpenListener[] = [];
  if (agents !== null) {
    const files = { source: agents.tls, minVersion: "1.3", clientCertificates: null } as const;
    all.push(await openListener(parts, "agents", agents.listen, files, parts.onAgentRequest, parts.onUpgrade));
  }
  // Before the one with TLS, so that an authority finds its answers as soon as a certificate is ordered.
  if (plainListen !== null) {
    const onUpgrade = (_request: HttpRequest, socket: Socket) => parts.onPlainUpgrade(socket);
    all.push(await openListener(parts, "plain", plainListen, null, parts.onPlainRequest, onUpgrade));
  }
  const opened = await openListener(parts, "public", listen, tls, parts.onRequest, parts.onUpgrade);
  all.unshift(opened);
  const ofEndpoints = showEndpointCertificates(parts, opened);
  return {
    public: opened,
    all,
    setEndpoints: (endpoints) => ofEndpoints?.replaceAll(endpoints),
    certificates: () => [
      ...all.flatMap(({ name, certificate }) =>
        certificate === null ? [] : [{ ...certificate.state(), listener: name }],
      ),
      ...(ofEndpoints?.states() ?? []),
    ],
  };
}

/** Null where the public listener has no TLS. */
function showEndpointCertificates(
  { endpoints, closers, log }: ListenersParts,
  { server, certificate }: OpenListener,
): EndpointCertificates | null {
  if (certificate === null || !(server instanceof TlsServer)) return null;
  const certificates = new EndpointCertificates({ endpoints, settingsFor: (pair) => certificate.settings(pair), log });
  closers.add(() => certificates.stop());
  certificates.keepFresh(server);
  return certificates;
}

async function openListener(
  parts: ListenersParts,
  name: OpenListener["name"],
  address: ListenAddress,
  tls: Pick<TlsConfig, "source" | "minVersion" | "clientCertificates"> | null,
  onRequest: Answer,
  onUpgrade: ListenersParts["onUpgrade"],
): Promise<OpenListener> {
  const { gateway, closers } = parts;
  const certificate = tls === null ? null : new Certificate({ ...parts, tls });
  const listener = await startPublicListener({
    listen: address,
    tls: certificate?.settings() ?? null,
    asksForClientCertificates: certificate?.asksForClientCertificates ?? false,
    maxConnections: gateway.limits.connections,
    maxHeadBytes: gateway.limits.headersBytes,
    requestHeadMs: gateway.timeouts.requestHeadMs,
    requestBodyMs: gateway.timeouts.requestBodyMs,
    idleMs: gateway.timeouts.idleMs,
    clock: parts.clock,
    guard: parts.guard,
    onRequest,
    onUpgrade,
    onCut: parts.onCut,
  });
  closers.add(() => close(listener));
  if (certificate !== null && listener.server instanceof TlsServer) {
    closers.add(() => certificate.stop());
    certificate.keepFresh(listener.server);
  }
  return { ...listener, name, certificate };
}

/** Stops accepting, gives answers under way a moment, then ends what is left. */
function close({ server, http }: PublicListener): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => http.closeAll(), STOP_GRACE_MS);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    http.closeIdle();
  });
}
