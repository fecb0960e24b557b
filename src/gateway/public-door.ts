import { randomUUID } from "node:crypto";
import type { AddressInfo, Server, Socket } from "node:net";
import type { Logger } from "pino";
import type { ResolvedConfig } from "../config/resolved.ts";
import { familyOf } from "../dialects/classify.ts";
import { PosternError, toPosternError } from "../errors.ts";
import { closeWith } from "../http1/close-with.ts";
import type { HttpRequest } from "../http1/request.ts";
import type { HttpResponse } from "../http1/response.ts";
import { isLoopbackAddress } from "../lib/address-source.ts";
import type { Clock } from "../lib/clock.ts";
import type { Closers } from "../lib/closers.ts";
import type { Pipeline } from "../proxy/pipeline.ts";
import { refuse } from "../proxy/refuse.ts";
import { Acceptor, type AcceptorOptions } from "../tunnel/accept.ts";
import { CONNECT_PATH } from "../tunnel/constants.ts";
import { refusal } from "../tunnel/handshake.ts";
import { Challenges } from "./acme/challenges.ts";
import type { AgentPackageSource } from "./agent-package.ts";
import { type CallerAddresses, callerAddresses } from "./caller-address.ts";
import { ConnectionGuard } from "./connection-guard.ts";
import { createEdge, type Edge } from "./edge.ts";
import { type Listeners, openListeners } from "./listeners.ts";
import type { Nodes } from "./nodes.ts";
import type { LivePlaces } from "./places.ts";
import { createPlainRequests } from "./plain-requests.ts";
import { createPublicRoutes } from "./public-routes.ts";
import type { TrustedProxies } from "./trusted-proxies.ts";

const TOO_MANY_LINKS = refusal("busy", "This gateway has as many links as it may have", { retryAfterSeconds: 30 });

/** What the door is made from. */
export interface DoorParts extends Pick<Nodes, "directory" | "links"> {
  config: ResolvedConfig;
  clock: Clock;
  log: Logger;
  closers: Closers;
  identity: AcceptorOptions["identity"];
  proxies: TrustedProxies;
  places: LivePlaces;
  pipeline: Pipeline;
  agentPackage: AgentPackageSource;
  /** What `/readyz` says. */
  isReady(): boolean;
  /** A connection was cut or refused, and why. */
  onCut(reason: string): void;
  newId: () => string;
}

/** The public side of a gateway that listens. */
export interface PublicDoor {
  listeners: Listeners;
  edge: Edge;
  callers: CallerAddresses;
  /** The guard of one more listener, with bounds like those of the public ones. */
  guard(maxPerAddress: number): ConnectionGuard;
  /** Takes no links any more. */
  stopAccepting(): void;
}

/**
 * Opens the public listeners and puts behind them what strangers may reach: callers' requests, agents' links, health, the agent's
 * package, and what came in clear.
 *
 * Rejects with `port_taken`, `listen_failed` and `config_invalid` (certificates).
 */
export async function openPublicDoor(parts: DoorParts): Promise<PublicDoor> {
  const { config, clock, log, closers, directory, links, proxies, places, pipeline, onCut, newId } = parts;
  const { gateway } = config;
  const callers = callerAddresses(proxies);
  const acceptor = new Acceptor({
    identity: parts.identity,
    clock,
    directory,
    links: {
      check: (id) => (links.count < gateway.limits.links ? links.check(id) : TOO_MANY_LINKS),
      register: (accepted) => links.register(accepted),
    },
    instance: { id: randomUUID(), count: () => 1 },
    addressOf: callers.addressOf,
    isBehindProxy: callers.cameThroughProxy,
    limits: { concurrent: gateway.limits.handshakes },
  });
  const answerPublicRoute = createPublicRoutes({ agentPackage: parts.agentPackage, isReady: parts.isReady });
  const edge = createEdge(gateway);
  const challenges = new Challenges();
  const onPlainRequest = createPlainRequests({
    challenges,
    isOurs: (host, localAddress) => places.places.endpoints.isOurs(host, localAddress),
    publicUrl: gateway.publicUrl,
    tlsPort: () => portOf(listeners.public.server),
    isEndpointHost: (host) => places.places.endpoints.hasHost(host),
    addressOf: callers.addressOf,
    newId,
    log,
  });
  const isHttps = gateway.publicUrl?.startsWith("https:") ?? false;

  function onRequest(request: HttpRequest, response: HttpResponse): void {
    try {
      if (edge.handle(request, response)) return;
      const origin = callers.originOf(request);
      if (request.url === CONNECT_PATH) acceptor.handleRequest(request, response);
      else if (isHttps && origin.cameInClear) onPlainRequest(request, response);
      else if (!answerPublicRoute(request, response, origin.address)) {
        edge.checkClientCertificate(request);
        pipeline.handle(request, response, origin);
      }
    } catch (thrown) {
      const error = toPosternError(thrown);
      const from = request.socket.remoteAddress;
      log.info({ from, error: error.code, detail: error.detail }, "request refused before its caller was known");
      refuse(request, response, error, familyOf(request.url), newId(), null);
    }
  }

  function onAgentRequest(request: HttpRequest, response: HttpResponse): void {
    if (request.url === CONNECT_PATH) return acceptor.handleRequest(request, response);
    try {
      // A new agent fetches its package where it will dial.
      if (answerPublicRoute(request, response, callers.addressOf(request))) return;
      throw new PosternError("unknown_operation");
    } catch (error) {
      refuse(request, response, toPosternError(error), "openai", newId(), null);
    }
  }

  function onUpgrade(request: HttpRequest, socket: Socket, head: Buffer): void {
    if (request.url === CONNECT_PATH && request.method === "GET") acceptor.handleUpgrade(request, socket, head);
    else closeWith(socket, "400 Bad Request");
  }

  const guard = (maxPerAddress: number) =>
    new ConnectionGuard({
      clock,
      maxPerAddress,
      isExempt: (address) => isLoopbackAddress(address) || proxies.isProxy(address),
      slowReader: { graceMs: gateway.timeouts.callerIdleMs, bytesPerSecond: gateway.limits.readRateBytes },
      onCut,
    });
  const listeners = await openListeners({
    gateway,
    endpoints: config.endpoints,
    dataFolder: config.dataFolder,
    clock,
    random: Math.random,
    log,
    closers,
    challenges,
    guard: guard(gateway.limits.connectionsPerAddress),
    onCut,
    onRequest,
    onPlainRequest,
    onPlainUpgrade: (socket) => closeWith(socket, "403 Forbidden"),
    onAgentRequest,
    onUpgrade,
  });
  // Links are connections of the listeners, which are closed only when their connections are gone.
  closers.add(() => links.stop());
  return { listeners, edge, callers, guard, stopAccepting: () => acceptor.stop() };
}

/** The port that a listening server has got. */
export function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}
