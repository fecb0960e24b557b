import { CompiledQuery, type Kysely, type Transaction } from "kysely";
import type { RequestClosed } from "../usage/record.ts";
import { decodeLines, type SettledRequest } from "./journal-line.ts";
import type { AttemptTable, DailyUsageTable, RequestTable, Tables } from "./schema.ts";
import type { IngestResult } from "./store.ts";

/** Milliseconds of a UTC day; there are no leap seconds in Unix time. */
export const DAY_MS = 86_400_000;

/** Rows per insert statement, the largest first. Each is compiled once: compiling makes a row three times dearer. */
const ROWS_PER_STATEMENT = [128, 32, 8, 1] as const;

/**
 * Makes the function that takes journal lines into the tables, each block in one transaction.
 *
 * Idempotent by request id: only rows that were really inserted count in the attempts and in the daily rollups, so that the
 * three are always in step, however often a journal is replayed.
 */
export function createIngest(db: Kysely<Tables>): (lines: Uint8Array) => Promise<IngestResult> {
  const insertRequests = createRowInsert((connection, rows: RequestTable[]) =>
    connection
      .insertInto("requests")
      .values(rows)
      .onConflict((conflict) => conflict.doNothing())
      .compile(),
  );
  const insertAttempts = createRowInsert((connection, rows: AttemptTable[]) =>
    connection
      .insertInto("attempts")
      .values(rows)
      .onConflict((conflict) => conflict.doNothing())
      .compile(),
  );

  async function insertAll(settled: SettledRequest[]): Promise<number> {
    return db.transaction().execute(async (transaction) => {
      const inserted = await insertRequests(transaction, settled.map(toRequestRow));
      if (inserted !== settled.length) throw new SomeKnown();
      await insertAttempts(transaction, settled.flatMap(toAttemptRows));
      await addToRollups(transaction, settled);
      return inserted;
    });
  }

  return async function ingest(lines) {
    const { settled, unreadable } = decodeLines(lines, false);
    if (settled.length === 0) return { taken: 0, known: 0, unreadable };
    let taken: number;
    try {
      taken = await insertAll(settled);
    } catch (error) {
      if (!(error instanceof SomeKnown)) throw error;
      // A replay, which is rare: only then is it worth asking which ones are new.
      const fresh = await withoutKnown(db, settled);
      taken = fresh.length === 0 ? 0 : await insertAll(fresh);
    }
    return { taken, known: settled.length - taken, unreadable };
  };
}

/** Undoes a block of which the store has a part already. */
class SomeKnown extends Error {}

/** Ids per question; SQLite takes 32,766 parameters, but few enough keep the statement small. */
const IDS_PER_QUESTION = 500;

/**
 * The records that the store does not have, each once: a block may hold one twice (a write that was repeated after a full disk).
 * Nobody else writes requests, so what is new now is still new when it is inserted.
 */
async function withoutKnown(db: Kysely<Tables>, settled: SettledRequest[]): Promise<SettledRequest[]> {
  const fresh = new Map(settled.toReversed().map((request) => [request.opened.id, request]));
  const ids = [...fresh.keys()];
  for (let start = 0; start < ids.length; start += IDS_PER_QUESTION) {
    const part = ids.slice(start, start + IDS_PER_QUESTION);
    const known = await db.selectFrom("requests").select("id").where("id", "in", part).execute();
    for (const { id } of known) fresh.delete(id);
  }
  return [...fresh.values()].reverse();
}

type RowInsert<Row> = (db: Transaction<Tables>, rows: Row[]) => Promise<number>;

// Relies on `compile` putting one parameter per column in the order of the row's own keys, so every row of one kind must be
// made by one function. A test ingests enough rows to take both ways and compares them.
function createRowInsert<Row extends object>(
  compile: (db: Transaction<Tables>, rows: Row[]) => CompiledQuery<unknown>,
): RowInsert<Row> {
  const statements = new Map<number, string>();
  async function insert(db: Transaction<Tables>, rows: Row[]): Promise<bigint> {
    const known = statements.get(rows.length);
    const query = known === undefined ? compile(db, rows) : CompiledQuery.raw(known, rows.flatMap(Object.values));
    if (known === undefined) statements.set(rows.length, query.sql);
    return (await db.executeQuery(query)).numAffectedRows ?? 0n;
  }
  return async function insertRows(db, rows) {
    let inserted = 0n;
    let start = 0;
    for (const size of ROWS_PER_STATEMENT) {
      for (; rows.length - start >= size; start += size) inserted += await insert(db, rows.slice(start, start + size));
    }
    return Number(inserted);
  };
}

function toRequestRow({ opened, closed }: SettledRequest): RequestTable {
  const generation = generationOf(closed);
  return {
    id: opened.id,
    endpoint_id: opened.endpointId,
    key_id: opened.keyId,
    operation: opened.operation,
    model: opened.model,
    is_stream: Number(opened.isStream),
    opened_at_ms: opened.openedAtMs,
    request_bytes: opened.requestBytes,
    closed_at_ms: closed.closedAtMs,
    outcome: closed.outcome,
    status: closed.status,
    error_code: closed.errorCode,
    tokens_in: closed.tokensIn,
    tokens_in_cached: closed.tokensInCached,
    tokens_out: closed.tokensOut,
    tokens_reasoning: closed.tokensReasoning,
    is_estimated: Number(closed.isEstimated),
    time_to_first_token_ms: closed.timeToFirstTokenMs,
    duration_ms: closed.durationMs,
    cost_micros: closed.costMicros,
    workflow: opened.workflow,
    contingency: closed.contingency,
    fallback: closed.fallback,
    served_by: servedBy(closed),
    generation_tokens: generation.tokens,
    generation_ms: generation.ms,
  };
}

function toAttemptRows({ opened, closed }: SettledRequest): AttemptTable[] {
  return closed.attempts.map((attempt) => ({
    request_id: opened.id,
    position: attempt.index,
    id: attempt.id,
    target: attempt.target,
    node_id: attempt.nodeId,
    engine: attempt.engine,
    engine_model: attempt.engineModel,
    started_at_ms: attempt.startedAtMs,
    ended_at_ms: attempt.endedAtMs,
    status: attempt.status,
    error_code: attempt.errorCode,
    bytes_out: attempt.bytesOut,
  }));
}

function servedBy(closed: RequestClosed): string {
  const last = closed.attempts.at(-1);
  return last === undefined ? "" : (last.nodeId ?? last.target);
}

/**
 * What a request adds to "tokens per second": the tokens after the first one over the time after the first one. Without a time
 * to first token (an answer in one piece) all tokens over the whole time. Nothing where counts are estimates, or too small to
 * say anything.
 */
export function generationOf(closed: RequestClosed): { tokens: number; ms: number } {
  const { isEstimated, tokensOut, durationMs, timeToFirstTokenMs } = closed;
  const ms = Math.round(durationMs - (timeToFirstTokenMs ?? 0));
  const tokens = timeToFirstTokenMs === null ? tokensOut : tokensOut - 1;
  return isEstimated || tokens < 1 || ms < 1 ? { tokens: 0, ms: 0 } : { tokens, ms };
}

async function addToRollups(db: Transaction<Tables>, settled: SettledRequest[]): Promise<void> {
  const sums = new Map<string, DailyUsageTable>();
  for (const request of settled) {
    const one = toRollup(request);
    const name = `${one.day}\n${one.endpoint_id}\n${one.key_id}\n${one.model}\n${one.served_by}`;
    const sum = sums.get(name);
    if (sum === undefined) sums.set(name, one);
    else for (const column of ROLLUP_SUMS) sum[column] += one[column];
  }
  for (const sum of sums.values()) {
    await db
      .insertInto("daily_usage")
      .values(sum)
      .onConflict((conflict) =>
        conflict
          .columns(["day", "endpoint_id", "key_id", "model", "served_by"])
          .doUpdateSet((set) =>
            Object.fromEntries(ROLLUP_SUMS.map((column) => [column, set(`daily_usage.${column}`, "+", sum[column])])),
          ),
      )
      .execute();
  }
}

/** The columns of a rollup that are added up. */
const ROLLUP_SUMS = [
  "requests",
  "failed",
  "aborted",
  "estimated",
  "tokens_in",
  "tokens_in_cached",
  "tokens_out",
  "tokens_reasoning",
  "first_token_count",
  "first_token_ms",
  "generation_tokens",
  "generation_ms",
  "cost_micros",
] as const satisfies readonly (keyof DailyUsageTable)[];

function toRollup({ opened, closed }: SettledRequest): DailyUsageTable {
  const generation = generationOf(closed);
  return {
    day: Math.floor(closed.closedAtMs / DAY_MS),
    endpoint_id: opened.endpointId,
    key_id: opened.keyId,
    model: opened.model,
    served_by: servedBy(closed),
    requests: 1,
    failed: closed.outcome === "ok" || closed.outcome === "aborted" ? 0 : 1,
    aborted: closed.outcome === "aborted" ? 1 : 0,
    estimated: Number(closed.isEstimated),
    tokens_in: closed.tokensIn,
    tokens_in_cached: closed.tokensInCached,
    tokens_out: closed.tokensOut,
    tokens_reasoning: closed.tokensReasoning ?? 0,
    first_token_count: closed.timeToFirstTokenMs === null ? 0 : 1,
    first_token_ms: closed.timeToFirstTokenMs ?? 0,
    generation_tokens: generation.tokens,
    generation_ms: generation.ms,
    cost_micros: closed.costMicros,
  };
}
