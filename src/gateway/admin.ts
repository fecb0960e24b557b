import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Logger } from "pino";
import { FailureLimiter } from "../access/failure-limiter.ts";
import { AdminAccess } from "../admin/access/access.ts";
import { listenerDoor, ownersDoor } from "../admin/access/door.ts";
import type { LiveGateway } from "../admin/context.ts";
import { type AdminParts, createAdmin } from "../admin/create-context.ts";
import { type AdminListenerOptions, createAdminListener } from "../admin/listener.ts";
import { RefusalLog } from "../admin/refusal-log.ts";
import { createAdminApp, listenOnSocket } from "../admin/server.ts";
import { adminSocketPath } from "../admin/socket-path.ts";
import { formatListen } from "../config/listen-address.ts";
import { type PosternError, toPosternError } from "../errors.ts";
import type { Closers } from "../lib/closers.ts";

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
  /** Makes the live part. @param adminUrl Where the admin listener is, once it is open. */
  createLive(adminUrl: () => string): LiveGateway;
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
 * @throws PosternError `store_*`, `store_locked`, `port_taken`, `listen_failed`.
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
  const contextFor = createAdmin({ ...parts, access, live: parts.createLive(() => adminUrl) });
  const onFailure = (error: PosternError): void =>
    log.error({ error: inWords(error), id: randomUUID() }, "admin call failed");

  const remote = createAdminApp({
    contextFor,
    onFailure,
    door: listenerDoor({
      access,
      clock,
      failures: new FailureLimiter({ maxFailures: limits.authFailuresPerMinute }),
      addressOf: parts.addressOf,
      isSecure: parts.cameThroughProxy,
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
    }),
  });
  await remote.ready();
  closers.add(() => remote.close());
  const listener = createAdminListener({
    listen: admin.listen,
    hosts: admin.hosts,
    notReadyReasons: parts.notReadyReasons,
    metrics: parts.metrics,
    api: (request, response) => remote.routing(request, response),
  });
  adminUrl = `http://${formatListen(await listener.start())}`;
  closers.add(() => listener.stop());

  const local = createAdminApp({ contextFor, onFailure, door: ownersDoor("socket") });
  const socketPath = adminSocketPath(config.dataFolder);
  await listenOnSocket(local, socketPath);
  closers.add(() => local.close());
  return { adminUrl, socketPath };
}

function inWords(error: unknown): string {
  const known = toPosternError(error);
  return known.cause === undefined
    ? `${known.code}: ${known.message}`
    : `${known.code}: ${known.message} (${String(known.cause)})`;
}
