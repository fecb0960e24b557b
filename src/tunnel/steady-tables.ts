import type { Http2Session } from "node:http2";

/** Members that stay, so that a stream that comes and goes does not make V8 build a new table. */
const PENDING_BALLAST = 64;
/** More, because streams that run when a table is replaced are kept alive by the old one. */
const RUNNING_BALLAST = 512;

interface Tables {
  pendingStreams: Set<object>;
  streams: Map<number, object>;
}

/** What `node:http2` calls on its streams when a session ends. */
const BALLAST_STREAM = { close() {}, destroy() {} };

/**
 * Keeps the tables in which Node's HTTP/2 session holds its streams from emptying, for the reason that `LiveSet` gives: without
 * it every stream of a quiet link lives until the next full collection, with all that hangs on it.
 *
 * Reaches into a private state of Node (26.10: `lib/internal/http2/core.js`), found by name and shape. Where a later Node has
 * none of that shape nothing is done and nothing breaks, it is only slower; a test tells. A session with ballast never ends by
 * itself because its last stream did: ours are always destroyed (`endSession`).
 *
 * @returns whether the tables were found.
 */
export function steadyTables(session: Http2Session): boolean {
  const symbol = Object.getOwnPropertySymbols(session).find((one) => one.description === "state");
  const state: unknown = symbol === undefined ? null : Reflect.get(session, symbol);
  if (typeof state !== "object" || state === null) return false;
  const { pendingStreams: pending, streams: running } = state as Partial<Tables>;
  // Node's own kinds of Set and Map, which are no instances of ours.
  if (typeof pending?.add !== "function" || typeof running?.set !== "function") return false;
  for (let index = 0; index < PENDING_BALLAST; index++) pending.add({ ...BALLAST_STREAM });
  // Ids of streams are positive.
  for (let index = 1; index <= RUNNING_BALLAST; index++) running.set(-index, BALLAST_STREAM);
  return true;
}
