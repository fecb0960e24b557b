import { chmodSync, rmSync } from "node:fs";
import { connect } from "node:net";
import fastify, { type FastifyError, type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { type ErrorCode, PosternError, toPosternError } from "../errors.ts";
import { sessionCookie } from "./access/cookie.ts";
import type { Door } from "./access/door.ts";
import { isAllowed } from "./access/role.ts";
import { actorOf, anonymousAt, type Caller } from "./caller.ts";
import type { AdminContext } from "./context.ts";
import { ADMIN_PREFIX, type AdminErrorBody } from "./contract.ts";
import type { RawCall, Route } from "./routes/route.ts";
import { ROUTES } from "./routes/table.ts";

/** Largest body of an admin request. */
const MAX_BODY_BYTES = 256 * 1024;
/** Longest name or id in a path. */
const MAX_PARAMETER_LENGTH = 256;

export interface AdminServerOptions {
  /** The contract in the name of one caller, so that each change is known by who made it. */
  contextFor(caller: Caller): AdminContext;
  door: Door;
  /** Told of each failure that is not the asker's; the answer itself says no more than the catalogue. */
  onFailure?(error: PosternError): void;
}

/** Said with every answer. No page may frame, guess or keep what is here, and none of another origin may read it. */
const SECURITY_HEADERS = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
};

/** Routes check with zod and give Fastify no schemas: without compilers of its own it would load Ajv, 2 MB. */
const NO_COMPILERS = { buildValidator: noCompiler, buildSerializer: noCompiler };

function noCompiler(): never {
  throw new Error("routes of the admin API have no Fastify schemas");
}

/** Refusals for who somebody is, which the audit trail has. */
const REFUSED: readonly ErrorCode[] = ["unauthorized", "forbidden", "too_many_failures"];

/**
 * The `/admin/v1` application, not listening anywhere: `listenOnSocket` opens it, the admin listener hands requests to it, the
 * offline CLI injects into it. Every request passes one check before anything of it is read; what the table of routes does not
 * allow is denied.
 */
export function createAdminApp(options: AdminServerOptions): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: 30_000,
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: MAX_PARAMETER_LENGTH },
    schemaController: { compilersFactory: NO_COMPILERS },
    frameworkErrors: (error, _request, reply) => answerError(reply, fromFramework(error)),
  });
  const callers = new WeakMap<FastifyRequest, Caller>();
  app.removeContentTypeParser("text/plain");
  app.addHook("onRequest", async (request, reply) => {
    reply.headers(SECURITY_HEADERS);
    const caller = options.door.identify(request.raw);
    callers.set(request, caller);
    checkAllowed(caller, routeOf(request));
  });
  app.setErrorHandler((error: FastifyError, request: FastifyRequest, reply: FastifyReply) => {
    const known = fromFramework(error);
    if (known.status >= 500) options.onFailure?.(known);
    const route = routeOf(request);
    // A page that asks whether it is logged in tries nothing.
    const isQuestion = route?.method === "GET" && route.path === "/session" && known.code === "unauthorized";
    if (REFUSED.includes(known.code) && !isQuestion) {
      options.door.onRefused({
        actor: actorOf(callers.get(request) ?? anonymousAt(request.raw.socket?.remoteAddress ?? "")),
        call: route === undefined ? "unknown" : `${route.method} ${route.path}`,
        code: known.code,
        user: typeof known.detail["user"] === "string" ? known.detail["user"] : null,
      });
    }
    return answerError(reply, known);
  });
  app.setNotFoundHandler(() => {
    throw new PosternError("not_found", {
      message: "There is no such route",
      hint: "GET /admin/v1/openapi.json lists them.",
    });
  });
  for (const route of ROUTES) addRoute(app, route, options, (request) => callers.get(request) ?? anonymousAt(""));
  return app;
}

const TABLE: ReadonlyMap<string, Route> = new Map(ROUTES.map((route) => [`${route.method} ${urlOf(route)}`, route]));

function urlOf(route: Route): string {
  return `${ADMIN_PREFIX}${route.path.replace(/\{(\w+)\}/g, ":$1")}`;
}

function routeOf(request: FastifyRequest): Route | undefined {
  return TABLE.get(`${request.method} ${request.routeOptions.url}`);
}

/** Whoever is unknown learns nothing, not even what there is. */
function checkAllowed(caller: Caller, route: Route | undefined): void {
  if (route?.role === "anyone") return;
  if (caller.kind === "anonymous") {
    throw new PosternError("unauthorized", {
      message: "The admin API needs a token or a login",
      hint: "Send `Authorization: Bearer psta_…`; `postern admin tokens create NAME` makes one.",
    });
  }
  if (route === undefined || isAllowed(caller, { ...route, role: route.role })) return;
  const { role, resource, access } = route;
  const hasScope = isAllowed({ ...caller, role: "owner" }, { resource, access, role });
  throw new PosternError("forbidden", {
    message: hasScope ? `This needs the role "${role}"` : `This needs the scope "${resource}:${access}"`,
    hint: "Ask an owner for a token or a user that has it.",
  });
}

function addRoute(
  app: FastifyInstance,
  route: Route,
  options: AdminServerOptions,
  callerOf: (request: FastifyRequest) => Caller,
): void {
  app.route({
    method: route.method,
    url: urlOf(route),
    async handler(request, reply) {
      const caller = callerOf(request);
      const { params, query, body, raw } = request;
      const stop = new AbortController();
      const ended = Promise.withResolvers<never>();
      ended.promise.catch(() => {});
      const unwatch = options.door.watch(caller, () => {
        stop.abort();
        // Who ends their own access (logging out) has done so by then, and gets that answer.
        setImmediate(() => ended.reject(new PosternError("unauthorized", { message: "Your access ended" })));
      });
      const leave = (): void => stop.abort();
      // An asker that leaves must not keep an engine busy. Injected requests have no socket that could close.
      raw.socket?.once("close", leave);
      try {
        const setCookie: RawCall["setCookie"] = (value, lifeMs) =>
          void reply.header("set-cookie", sessionCookie(value, lifeMs, options.door.isSecure(raw)));
        const call = { params, query, body, signal: stop.signal, setCookie };
        const answer = await Promise.race([route.handle(options.contextFor(caller), call), ended.promise]);
        return reply.code(route.status).send(answer);
      } finally {
        unwatch();
        raw.socket?.off("close", leave);
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

/** Errors of Fastify itself (body too large, not JSON, wrong type, a path that cannot be decoded) in our words. */
function fromFramework(error: FastifyError): PosternError {
  if (error instanceof PosternError) return error;
  const { statusCode } = error;
  if (statusCode === undefined || statusCode >= 500) return toPosternError(error);
  if (statusCode === 413) return new PosternError("body_too_large", { cause: error });
  return new PosternError("invalid_input", { message: `The input is not valid: ${error.message}`, cause: error });
}

function answerError(reply: FastifyReply, error: PosternError): FastifyReply {
  reply.headers(SECURITY_HEADERS).code(error.status);
  if (error.status === 401) reply.header("www-authenticate", 'Bearer realm="postern"');
  if (error.retryAfterSeconds !== undefined) reply.header("retry-after", error.retryAfterSeconds);
  // What was refused before its body was read would leave that body to be taken for the next request.
  if (error.status !== 404) reply.header("connection", "close");
  return reply.send(errorBody(error));
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
