import { constants, setPriority } from "node:os";
import type { DatabaseSync } from "node:sqlite";
import { parentPort, workerData } from "node:worker_threads";
import { Kysely } from "kysely";
import { createSessionStore, createTokenStore, createUserStore } from "../admin-queries.ts";
import { createAlertStore } from "../alert-queries.ts";
import { appendAudit, listAudit, pruneAudit, verifyAudit } from "../audit-queries.ts";
import { SQLITE_TYPES } from "../column-types.ts";
import { createDrillStore } from "../drill-queries.ts";
import { readKeyPage } from "../key-pages.ts";
import { createKeyStore } from "../key-queries.ts";
import { migrate } from "../migrate.ts";
import { createNodeStore } from "../node-queries.ts";
import { createPlaceStore } from "../place-queries.ts";
import type { Tables } from "../schema.ts";
import { createSettingStore } from "../setting-queries.ts";
import { countAnswered, countPerHourOfWeek } from "../usage-counts.ts";
import { createIngest } from "../usage-ingest.ts";
import { findRequest, listRequests, pruneStep } from "../usage-queries.ts";
import { reportUsage } from "../usage-report.ts";
import { createSqliteDialect } from "./dialect.ts";
import { findDamage, openDatabase } from "./open-database.ts";
import {
  type CallName,
  type FromWorker,
  packError,
  type StoreCalls,
  type ToWorker,
  type WorkerData,
} from "./protocol.ts";
import { toStoreError } from "./sqlite-error.ts";

// The program of the store's threads: one writer, which owns the schema, and readers for what may take long. Everything that
// touches SQLite happens here, so that nothing it does can hold up a stream.

type Handlers = { [Name in keyof StoreCalls]: StoreCalls[Name] };

function createHandlers(db: Kysely<Tables>, database: DatabaseSync): Handlers {
  const keys = createKeyStore(db);
  const nodes = createNodeStore(db);
  const places = createPlaceStore(db);
  const settings = createSettingStore(db);
  const tokens = createTokenStore(db);
  const users = createUserStore(db);
  const sessions = createSessionStore(db);
  const alerts = createAlertStore(db);
  const drills = createDrillStore(db);
  return {
    "keys.insert": keys.insert,
    "keys.page": (afterId) => readKeyPage(db, afterId),
    "keys.find": keys.find,
    "keys.update": keys.update,
    "nodes.list": nodes.list,
    "nodes.insert": nodes.insert,
    "nodes.remove": nodes.remove,
    "nodes.connectors": nodes.connectors,
    "nodes.update": nodes.update,
    "nodes.removeConnector": nodes.removeConnector,
    "nodes.touchConnector": nodes.touchConnector,
    "nodes.insertInvitation": nodes.insertInvitation,
    "nodes.invitations": nodes.invitations,
    "nodes.redeemInvitation": nodes.redeemInvitation,
    "places.endpoints": places.endpoints,
    "places.insertEndpoint": places.insertEndpoint,
    "places.updateEndpoint": places.updateEndpoint,
    "places.removeEndpoint": places.removeEndpoint,
    "places.rules": places.rules,
    "places.insertRule": places.insertRule,
    "places.removeRule": places.removeRule,
    "settings.get": settings.get,
    "settings.set": settings.set,
    "tokens.insert": tokens.insert,
    "tokens.list": tokens.list,
    "tokens.revoke": tokens.revoke,
    "users.insert": users.insert,
    "users.list": users.list,
    "users.update": users.update,
    "users.remove": users.remove,
    "sessions.insert": sessions.insert,
    "sessions.list": sessions.list,
    "sessions.touch": sessions.touch,
    "sessions.remove": sessions.remove,
    "alerts.save": alerts.save,
    "alerts.unresolved": alerts.unresolved,
    "alerts.list": alerts.list,
    "alerts.prune": alerts.prune,
    "alerts.acknowledge": alerts.acknowledge,
    "alerts.silences": alerts.silences,
    "alerts.insertSilence": alerts.insertSilence,
    "alerts.removeSilence": alerts.removeSilence,
    "drills.put": drills.put,
    "drills.find": drills.find,
    "drills.list": drills.list,
    "drills.unfinished": drills.unfinished,
    "audit.append": (entry) => appendAudit(db, entry),
    "audit.prune": (beforeMs, entry) => pruneAudit(db, beforeMs, entry),
    "audit.list": (query) => listAudit(db, query),
    "audit.verify": (anchor) => verifyAudit(db, anchor),
    audited: (entry, name, args) =>
      db.transaction().execute(async (transaction) => {
        const value = await handlerOf(createHandlers(transaction, database), name)(...args);
        if (value !== false && value !== null) await appendAudit(transaction, entry);
        return value;
      }),
    "usage.ingest": createIngest(db),
    "usage.report": (query) => reportUsage(db, query),
    "usage.request": (id) => findRequest(db, id),
    "usage.requests": (query) => listRequests(db, query),
    "usage.answered": (sinceMs, untilMs) => countAnswered(db, sinceMs, untilMs),
    "usage.perHourOfWeek": (sinceMs) => countPerHourOfWeek(db, sinceMs),
    "usage.pruneStep": (beforeMs, limit) => pruneStep(db, beforeMs, limit),
    probe: () => settings.set("store.probe", new Uint8Array()),
    findDamage: async () => findDamage(database),
    copyInto: async (path) => void database.prepare("vacuum into ?").run(path),
  };
}

// The main thread's types vouch for name and arguments: both ends are this program.
function handlerOf(handlers: Handlers, name: CallName): (...args: unknown[]) => Promise<unknown> {
  return handlers[name] as (...args: unknown[]) => Promise<unknown>;
}

async function serve(port: NonNullable<typeof parentPort>, { role, path, busyTimeoutMs }: WorkerData): Promise<void> {
  const send = (message: FromWorker) => port.postMessage(message);
  let database: DatabaseSync | undefined;
  try {
    database = openDatabase({ path, isReadOnly: role === "reader", busyTimeoutMs });
    const db = new Kysely<Tables>({ dialect: createSqliteDialect(database, { isReadOnly: role === "reader" }) });
    if (role === "writer") await migrate(db, SQLITE_TYPES, Date.now());
    listen(port, send, createHandlers(db, database), database, path);
    send({ kind: "ready" });
  } catch (error) {
    database?.close();
    send({ kind: "failed", error: packError(toStoreError(error, "open the store", path)) });
    port.close();
  }
}

function listen(
  port: NonNullable<typeof parentPort>,
  send: (message: FromWorker) => void,
  handlers: Handlers,
  database: DatabaseSync,
  path: string,
): void {
  port.on("message", (message: ToWorker) => {
    if (message.kind === "stop") {
      database.close();
      port.close();
      return;
    }
    const { id, name, args } = message;
    handlerOf(
      handlers,
      name,
    )(...args).then(
      (value) => send({ kind: "answer", id, value }),
      (error: unknown) => send({ kind: "refusal", id, error: packError(toStoreError(error, "use the store", path)) }),
    );
  });
}

/** Streams come first: on a small machine, taking a second's records into the tables would otherwise compete with tokens. */
function stepBack(): void {
  // Elsewhere it would be the whole process's priority, not this thread's.
  if (process.platform !== "linux") return;
  try {
    setPriority(constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // Not every container allows it; then this is as urgent as the rest.
  }
}

stepBack();
if (parentPort === null) throw new Error("This file is the program of a worker thread");
await serve(parentPort, workerData as WorkerData);
