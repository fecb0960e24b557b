import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { TLSSocket } from "node:tls";
import type { Logger } from "pino";
import { FailureLimiter } from "../access/failure-limiter.ts";
import { AdminAccess } from "../admin/access/access.ts";
import { type Door, listenerDoor, ownersDoor } from "../admin/access/door.ts";
import { isAllowed } from "../admin/access/role.ts";
import type { LiveGateway } from "../admin/context.ts";
import { type AdminParts, createAdmin } from "../admin/create-context.ts";
import { type AdminListenerOptions, createAdminListener } from "../admin/listener.ts";
import { RefusalLog } from "../admin/refusal-log.ts";
import { createAdminApp, listenOnSocket } from "../admin/server.ts";
import { adminSocketPath } from "../admin/socket-path.ts";
import { formatListen, isLoopback } from "../config/listen-address.ts";
import { type PosternError, toPosternError } from "../errors.ts";
import type { Closers } from "../lib/closers.ts";
import type { CertificateState } from "./certificate-state.ts";
import type { ConnectionGuard } from "./connection-guard.ts";
import { WatchedTlsFiles } from "./tls-files.ts";

/** What the admin side of a gateway is made of. */
export interface AdminSideParts
  extends Omit<AdminParts, "access" | "live">,
    Pick<AdminListenerOptions, "notReadyReasons" | "metrics"> {
  log: Logger;
  closers: Closers;
  /** Address of whoever called, as far as proxies are trusted. */
  addressOf(request: IncomingMessage): string;
  /** Whether it came through a declared proxy, which ends TLS in front. */
  cameThroughProxy(request: IncomingMessage): boolean;
  /** Bounds the connections of the listener. */
  guard: Pick<ConnectionGuard, "watch">;
  /** Makes the live part. @param listener Where the admin listener is, once it is open, and what it shows. */
  createLive(listener: () => AdminListenerState): LiveGateway;
}

/** The admin listener, for status. */
export interface AdminListenerState {
  url: string;
  certificate: CertificateState | null;
}

/** Where the admin side is. */
export interface AdminSide {
  adminUrl: string;
  socketPath: string;
}

/**
 * Opens the admin API on the data folder's socket, where the folder's owner needs nothing more, and on the admin listener,
 * where everybody needs a token or a login.
 *
 * @throws PosternError `store_*`, `store_locked`, `port_taken`, `listen_failed`, `config_invalid` (its certificate).
 */
export async function openAdmin(parts: AdminSideParts): Promise<AdminSide> {
  const { config, store, clock, log, closers } = parts;
  const { admin, limits } = config.gateway;
  const access = new AdminAccess();
  await access.book.load(store);
  const refusals = new RefusalLog({
    clock,
    append: (entry) => store.audit.append(entry),
    onFailure: (error) => log.warn({ error: inWords(error) }, "refused admin calls not written"),
  });
  closers.add(() => refusals.flush());
  let adminUrl = "";
  const listenerState = () => ({ url: adminUrl, certificate: files?.state() ?? null });
  const contextFor = createAdmin({ ...parts, access, live: parts.createLive(listenerState) });
  const onFailure = (error: PosternError): void =>
    log.error({ error: inWords(error), id: randomUUID() }, "admin call failed");

  const door = listenerDoor({
    access,
    clock,
    failures: new FailureLimiter({ maxFailures: limits.authFailuresPerMinute }),
    addressOf: parts.addressOf,
    isSecure: (request) => request.socket instanceof TLSSocket || parts.cameThroughProxy(request),
    onTouched: (session) => {
      store.sessions
        .touch(session.id, session.lastSeenAtMs)
        .catch((error: unknown) => log.warn({ error: inWords(error) }, "use of a login not written"));
    },
    onRefused(refusal) {
      const { actor, call, code } = refusal;
      log.info(
        { from: actor.address, actor: `${actor.kind} ${actor.id ?? actor.name}`, call, code },
        "admin call refused",
      );
      refusals.refused(refusal);
    },
  });
  const remote = createAdminApp({ contextFor, onFailure, door });
  await remote.ready();
  closers.add(() => remote.close());
  const files =
    admin.tls === null
      ? null
      : new WatchedTlsFiles(admin.tls, {
          onCertificate(pair) {
            listener.show(pair);
            log.info({ file: admin.tls?.certFile }, "certificate of the admin listener reloaded");
          },
          onFailure: (error) =>
            log.warn({ file: admin.tls?.certFile, error }, "certificate of the admin listener not reloaded"),
        });
  const isLocal = isLoopback(admin.listen.host);
  const listener = createAdminListener({
    listen: admin.listen,
    hosts: admin.hosts,
    certificate: files?.pair ?? null,
    mayLook: (request) => isLocal || mayLook(door, request),
    watch: (server) => parts.guard.watch(server),
    notReadyReasons: parts.notReadyReasons,
    metrics: parts.metrics,
    api: (request, response) => remote.routing(request, response),
  });
  adminUrl = `${files === null ? "http" : "https"}://${formatListen(await listener.start())}`;
  closers.add(() => listener.stop());
  files?.start();
  closers.add(() => files?.stop());

  const local = createAdminApp({ contextFor, onFailure, door: ownersDoor("socket") });
  const socketPath = adminSocketPath(config.dataFolder);
  await listenOnSocket(local, socketPath);
  closers.add(() => local.close());
  return { adminUrl, socketPath };
}

/** Away from loopback numbers and reasons tell too much: names of models and nodes, and what is broken. */
function mayLook(door: Door, request: IncomingMessage): boolean {
  try {
    const caller = door.identify(request);
    return caller.kind !== "anonymous" && isAllowed(caller, { resource: "system", access: "read", role: "viewer" });
  } catch {
    return false;
  }
}

function inWords(error: unknown): string {
  const known = toPosternError(error);
  return known.cause === undefined
    ? `${known.code}: ${known.message}`
    : `${known.code}: ${known.message} (${String(known.cause)})`;
}
