import type { Kysely } from "kysely";
import type { Outcome } from "../usage/record.ts";
import type { RequestTable, Tables } from "./schema.ts";
import type { RequestDetail, RequestListPage, RequestListQuery } from "./store.ts";

/** Everything about one closed request, or null. */
export async function findRequest(db: Kysely<Tables>, id: string): Promise<RequestDetail | null> {
  const row = await db.selectFrom("requests").selectAll().where("id", "=", id).executeTakeFirst();
  if (row === undefined) return null;
  const attempts = await db
    .selectFrom("attempts")
    .selectAll()
    .where("request_id", "=", id)
    .orderBy("position")
    .execute();
  return {
    ...toDetail(row),
    attempts: attempts.map((attempt) => ({
      id: attempt.id,
      index: attempt.position,
      target: attempt.target,
      nodeId: attempt.node_id,
      engine: attempt.engine,
      engineModel: attempt.engine_model,
      startedAtMs: attempt.started_at_ms,
      endedAtMs: attempt.ended_at_ms,
      status: attempt.status,
      errorCode: attempt.error_code,
      bytesOut: attempt.bytes_out,
    })),
  };
}

/** Most rows that one page looks at: what a filter that fits nothing costs. */
const ROWS_PER_PAGE = 20_000;

/** Finished requests, newest first. Ids sort by arrival, so that the primary key gives order, pages and times. */
export async function listRequests(db: Kysely<Tables>, query: RequestListQuery): Promise<RequestListPage> {
  const floor = await findFloor(db, query);
  if (floor === null) return { requests: [], next: null };
  let page = within(db, query).selectAll().where("id", ">=", floor.id).orderBy("id", "desc").limit(query.limit);
  if (query.keyId !== null) page = page.where("key_id", "=", query.keyId);
  if (query.model !== null) page = page.where("model", "=", query.model);
  if (query.workflow !== null) page = page.where("workflow", "=", query.workflow);
  if (query.outcome !== null) page = page.where("outcome", "=", query.outcome);
  const requests = (await page.execute()).map(toDetail);
  if (requests.length === query.limit) return { requests, next: requests.at(-1)?.id ?? null };
  return { requests, next: floor.rows < ROWS_PER_PAGE ? null : floor.id };
}

/** The oldest row that this page looks at; null when there is none. */
async function findFloor(db: Kysely<Tables>, query: RequestListQuery): Promise<{ id: string; rows: number } | null> {
  const looked = within(db, query).select("id").orderBy("id", "desc").limit(ROWS_PER_PAGE);
  const found = await db
    .selectFrom(looked.as("looked"))
    .select((select) => [select.fn.countAll<number>().as("rows"), select.fn.min("id").as("id")])
    .executeTakeFirst();
  return found === undefined || found.id === null ? null : { id: found.id, rows: Number(found.rows) };
}

function within(db: Kysely<Tables>, { before, sinceMs, untilMs, isContingency }: RequestListQuery) {
  let rows = db.selectFrom("requests");
  // Before the bound on what a page looks at: the log of contingency is read by an index of its own, and has no empty pages.
  if (isContingency) rows = rows.where("contingency", "is not", null);
  if (before !== null) rows = rows.where("id", "<", before);
  if (untilMs !== null) rows = rows.where("id", "<", lowestId(untilMs));
  if (sinceMs !== null) rows = rows.where("id", ">=", lowestId(sinceMs));
  return rows;
}

/** The smallest UUIDv7 of a millisecond (RFC 9562 §5.7). */
export function lowestId(atMs: number): string {
  const hex = Math.min(Math.max(0, atMs), 2 ** 48 - 1)
    .toString(16)
    .padStart(12, "0");
  return `${hex.slice(0, 8)}-${hex.slice(8)}-`;
}

function toDetail(row: RequestTable): Omit<RequestDetail, "attempts"> {
  return {
    id: row.id,
    endpointId: row.endpoint_id,
    keyId: row.key_id,
    operation: row.operation,
    model: row.model,
    workflow: row.workflow,
    isStream: row.is_stream === 1,
    openedAtMs: row.opened_at_ms,
    requestBytes: row.request_bytes,
    closedAtMs: row.closed_at_ms,
    outcome: row.outcome as Outcome,
    status: row.status,
    errorCode: row.error_code,
    tokensIn: row.tokens_in,
    tokensInCached: row.tokens_in_cached,
    tokensOut: row.tokens_out,
    tokensReasoning: row.tokens_reasoning,
    isEstimated: row.is_estimated === 1,
    timeToFirstTokenMs: row.time_to_first_token_ms,
    durationMs: row.duration_ms,
    costMicros: row.cost_micros,
    contingency: row.contingency,
    fallback: row.fallback,
    servedBy: row.served_by,
  };
}

/**
 * Deletes at most `limit` of the oldest requests closed before `beforeMs`, with their attempts, in one transaction.
 *
 * @returns how many requests went; fewer than `limit` means that none is left.
 */
export async function pruneStep(db: Kysely<Tables>, beforeMs: number, limit: number): Promise<number> {
  return db.transaction().execute(async (transaction) => {
    const old = await transaction
      .selectFrom("requests")
      .select("id")
      .where("closed_at_ms", "<", beforeMs)
      .orderBy("closed_at_ms")
      .limit(limit)
      .execute();
    if (old.length === 0) return 0;
    const ids = old.map((row) => row.id);
    await transaction.deleteFrom("attempts").where("request_id", "in", ids).execute();
    await transaction.deleteFrom("requests").where("id", "in", ids).execute();
    return ids.length;
  });
}
