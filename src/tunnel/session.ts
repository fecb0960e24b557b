import {
  type ClientHttp2Session,
  connect,
  type Http2Session,
  performServerHandshake,
  type ServerHttp2Session,
} from "node:http2";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Clock } from "../lib/clock.ts";
import {
  ANSWER_WINDOW_BYTES,
  HEADER_BYTES_LIMIT,
  HEADER_PAIRS_LIMIT,
  LINK_WINDOW_BYTES,
  PROMPT_WINDOW_BYTES,
  RESERVED_STREAMS,
  SESSION_MEMORY_MB,
  STREAM_RESET_LIMIT,
  TCP_KEEPALIVE_MS,
} from "./constants.ts";
import { steadyTables } from "./steady-tables.ts";

/** The authority that the gateway writes on the link. It names nobody: both ends know each other already. */
const AUTHORITY = "http://link.invalid";

/** Rejected streams that the agent's session bears; a gateway that hits the capacity is refused, not cut off. */
const REJECTED_STREAMS_LIMIT = 100_000;

/**
 * Flips the roles at the gateway: an HTTP/2 client on the socket that was accepted.
 *
 * Call it only when no write is in flight on the socket: Node aborts the process otherwise (tunnels.md §6.3).
 */
export function openGatewaySession(carrier: Duplex): ClientHttp2Session {
  tune(carrier);
  const session = connect(AUTHORITY, {
    createConnection: () => carrier,
    settings: {
      enablePush: false,
      initialWindowSize: ANSWER_WINDOW_BYTES,
      maxHeaderListSize: HEADER_BYTES_LIMIT,
    },
    maxSessionMemory: SESSION_MEMORY_MB,
    maxHeaderListPairs: HEADER_PAIRS_LIMIT,
    maxOutstandingPings: 16,
    maxReservedRemoteStreams: 0,
    maxSettings: 16,
  });
  session.setLocalWindowSize(LINK_WINDOW_BYTES);
  steadyTables(session);
  return session;
}

/** Flips the roles at the agent: an HTTP/2 server on the socket that it dialled. Same rule as `openGatewaySession`. */
export function openAgentSession(carrier: Duplex, capacity: number): ServerHttp2Session {
  tune(carrier);
  const session = performServerHandshake(carrier, {
    settings: {
      initialWindowSize: PROMPT_WINDOW_BYTES,
      maxConcurrentStreams: capacity + RESERVED_STREAMS,
      maxHeaderListSize: HEADER_BYTES_LIMIT,
    },
    maxSessionMemory: SESSION_MEMORY_MB,
    maxHeaderListPairs: HEADER_PAIRS_LIMIT,
    maxOutstandingPings: 16,
    maxSettings: 16,
    maxSessionRejectedStreams: REJECTED_STREAMS_LIMIT,
    streamResetBurst: STREAM_RESET_LIMIT,
    streamResetRate: STREAM_RESET_LIMIT,
  });
  session.setLocalWindowSize(LINK_WINDOW_BYTES);
  steadyTables(session);
  return session;
}

/**
 * Ends a session and its socket, however dead the far side is. Node's own `destroy()` waits for the socket's queue to
 * drain, which on a half-open connection never happens: after `graceMs` the socket is destroyed.
 * Deferred, because a session must not be destroyed inside one of its own stream events (nodejs/node#64850).
 */
export function endSession(session: Http2Session, carrier: Duplex, clock: Clock, graceMs: number): void {
  setImmediate(() => {
    if (!session.destroyed) session.destroy();
    if (carrier.destroyed) return;
    if (graceMs === 0) {
      carrier.destroy();
      return;
    }
    const timer = clock.after(graceMs, () => carrier.destroy());
    carrier.once("close", () => timer.cancel());
  });
}

/** Puts back what arrived behind the head of the upgrade. */
export function giveBack(carrier: Duplex, head: Uint8Array): void {
  if (head.length > 0) carrier.unshift(head);
}

function tune(carrier: Duplex): void {
  if (!(carrier instanceof Socket)) return;
  carrier.setTimeout(0);
  carrier.setNoDelay(true);
  carrier.setKeepAlive(true, TCP_KEEPALIVE_MS);
}
