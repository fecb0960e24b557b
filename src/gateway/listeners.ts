import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Logger } from "pino";
import type { GatewayConfig, ListenAddress, TlsFiles } from "../config/resolved.ts";
import type { Closers } from "../lib/closers.ts";
import { startPublicListener } from "./public-listener.ts";
import { readTlsFiles, reloadTlsFiles } from "./tls-files.ts";

/** How long what is open may take to end after a drain. */
const STOP_GRACE_MS = 2_000;

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

export interface ListenersParts {
  gateway: GatewayConfig;
  log: Logger;
  /** Gets the listeners: closing begins at once and is done when the connections are gone, upgraded ones included. */
  closers: Closers;
  onRequest: Answer;
  /** Requests on the listener for agents alone, where there is one. */
  onAgentRequest: Answer;
  onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

/**
 * Opens the public listener, and the one for agents alone where the configuration has it.
 *
 * @returns the public one.
 * @throws PosternError `port_taken`, `listen_failed`, `config_invalid` (certificates).
 */
export async function openListeners(parts: ListenersParts): Promise<Server> {
  const { listen, tls, agents } = parts.gateway;
  if (agents !== null) await openListener(parts, agents.listen, agents.tls, parts.onAgentRequest);
  return openListener(parts, listen, tls, parts.onRequest);
}

async function openListener(
  { gateway, log, closers, onUpgrade }: ListenersParts,
  address: ListenAddress,
  files: TlsFiles | null,
  onRequest: Answer,
): Promise<Server> {
  const server = await startPublicListener({
    listen: address,
    tls: files === null ? null : readTlsFiles(files),
    maxConnections: gateway.limits.connections,
    maxHeadBytes: gateway.limits.headersBytes,
    requestHeadMs: gateway.timeouts.requestHeadMs,
    requestBodyMs: gateway.timeouts.requestBodyMs,
    onRequest,
    onUpgrade,
  });
  closers.add(() => closeServer(server));
  if (files !== null) {
    const stop = reloadTlsFiles(server, files, (error) =>
      error === null
        ? log.info({ file: files.certFile }, "certificate reloaded")
        : log.warn({ file: files.certFile, error: error.message }, "certificate not reloaded"),
    );
    closers.add(stop);
  }
  return server;
}

/** Stops accepting, gives answers under way a moment, then ends what is left. */
function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), STOP_GRACE_MS);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
  });
}
