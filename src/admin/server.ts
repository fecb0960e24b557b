import { chmodSync, rmSync } from "node:fs";
import { connect } from "node:net";
import fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { PosternError, toPosternError } from "../errors.ts";
import { isAllowed } from "./access/role.ts";
import type { Caller } from "./caller.ts";
import type { AdminContext } from "./context.ts";
import { ADMIN_PREFIX, type AdminErrorBody } from "./contract.ts";
import type { Route } from "./routes/route.ts";
import { ROUTES } from "./routes/table.ts";

/** Largest body of an admin request. */
const MAX_BODY_BYTES = 256 * 1024;

export interface AdminServerOptions {
  /** The contract in the name of one caller, so that each change is known by who made it. */
  contextFor(caller: Caller): AdminContext;
  /** Who calls. */
  identify(request: FastifyRequest): Caller;
  /** Told of each failure that is not the asker's; the answer itself says no more than the catalogue. */
  onFailure?(error: PosternError): void;
}

/** The `/admin/v1` application, not listening anywhere: `listenOnSocket` opens it, the offline CLI injects into it. */
export function createAdminApp(options: AdminServerOptions): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: 30_000,
    forceCloseConnections: true,
  });
  app.removeContentTypeParser("text/plain");
  app.setErrorHandler((error: FastifyError, _request: FastifyRequest, reply: FastifyReply) => {
    const known = fromFramework(error) ?? toPosternError(error);
    if (known.status >= 500) options.onFailure?.(known);
    return reply.code(known.status).send(errorBody(known));
  });
  app.setNotFoundHandler((request, reply) => {
    const error = new PosternError("not_found", {
      message: `There is no ${request.method} ${request.url.split("?")[0]}`,
    });
    return reply.code(error.status).send(errorBody(error));
  });
  for (const route of ROUTES) addRoute(app, route, options);
  return app;
}

function addRoute(app: FastifyInstance, route: Route, { contextFor, identify }: AdminServerOptions): void {
  app.route({
    method: route.method,
    url: `${ADMIN_PREFIX}${route.path.replace(/\{(\w+)\}/g, ":$1")}`,
    async handler(request, reply) {
      const caller = identify(request);
      if (!isAllowed(caller, route)) throw new PosternError("forbidden");
      const asker = new AbortController();
      const leave = (): void => asker.abort();
      // An asker that leaves must not keep an engine busy. Injected requests have no socket that could close.
      request.raw.socket?.once("close", leave);
      try {
        const { params, query, body } = request;
        const answer = await route.handle(contextFor(caller), { params, query, body, signal: asker.signal });
        return reply.code(route.status).send(answer);
      } finally {
        request.raw.socket?.off("close", leave);
      }
    },
  });
}

/**
 * Opens the application on a unix socket with mode 0600 (or a named pipe). A socket left behind by a killed gateway is
 * replaced; one that answers is not.
 *
 * @throws PosternError `store_locked` when another gateway answers there, `listen_failed` otherwise.
 */
export async function listenOnSocket(app: FastifyInstance, socketPath: string): Promise<void> {
  const isPipe = process.platform === "win32";
  if (await answers(socketPath)) {
    throw new PosternError("store_locked", {
      message: "Another gateway already runs on this data folder",
      hint: "`postern status` shows it. Stop it first, or use another folder with --data.",
    });
  }
  try {
    if (!isPipe) rmSync(socketPath, { force: true });
    await app.listen({ path: socketPath });
    // The folder is 0700, so nobody else could have come in between.
    if (!isPipe) chmodSync(socketPath, 0o600);
  } catch (cause) {
    throw new PosternError("listen_failed", { message: `Cannot open the admin socket ${socketPath}`, cause });
  }
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** Errors of Fastify itself (body too large, not JSON, wrong type) in our words. */
function fromFramework(error: FastifyError): PosternError | null {
  if (error instanceof PosternError || error.statusCode === undefined || error.statusCode >= 500) return null;
  return new PosternError("invalid_input", { message: `The input is not valid: ${error.message}`, cause: error });
}

function errorBody(error: PosternError): AdminErrorBody {
  const { faults } = error.detail;
  return {
    error: {
      code: error.code,
      message: error.message,
      hint: error.hint ?? null,
      ...(Array.isArray(faults) ? { faults } : {}),
    },
  };
}
