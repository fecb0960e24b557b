import { CompiledQuery, type Kysely, type Transaction } from "kysely";
import type { RequestClosed, RequestOpened } from "../usage/record.ts";
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

  const insertRollups = createRowInsert((connection, rows: DailyUsageTable[]) =>
    connection
      .insertInto("daily_usage")
      .values(rows)
      .onConflict((conflict) =>
        conflict
          .columns(["day", "endpoint_id", "key_id", "model", "served_by"])
          .doUpdateSet((set) =>
            Object.fromEntries(
              ROLLUP_SUMS.map((column) => [column, set(`daily_usage.${column}`, "+", set.ref(`excluded.${column}`))]),
            ),
          ),
      )
      .compile(),
  );

  async function insertAll(settled: SettledRequest[]): Promise<number> {
    return db.transaction().execute(async (transaction) => {
      const inserted = await insertRequests(transaction, settled.map(toRequestRow));
      if (inserted !== settled.length) throw new SomeKnown();
      await insertAttempts(transaction, settled.flatMap(toAttemptRows));
      await insertRollups(transaction, addUp(settled));
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
    const query = known === undefined ? compile(db, rows) : CompiledQuery.raw(known, valuesOf(rows));
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

function valuesOf(rows: readonly object[]): unknown[] {
  const values: unknown[] = [];
  for (const row of rows) for (const value of Object.values(row)) values.push(value);
  return values;
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

/** What the requests add to the rollups: a row for each day, endpoint, key, model and server. */
function addUp(settled: readonly SettledRequest[]): DailyUsageTable[] {
  const sums = new Map<string, DailyUsageTable>();
  for (const { opened, closed } of settled) {
    const day = Math.floor(closed.closedAtMs / DAY_MS);
    const server = servedBy(closed);
    const name = `${day}\n${opened.endpointId}\n${opened.keyId}\n${opened.model}\n${server}`;
    let sum = sums.get(name);
    if (sum === undefined) {
      sum = emptyRollup(day, opened, server);
      sums.set(name, sum);
    }
    addTo(sum, closed);
  }
  return [...sums.values()];
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

function emptyRollup(day: number, opened: RequestOpened, server: string): DailyUsageTable {
  return {
    day,
    endpoint_id: opened.endpointId,
    key_id: opened.keyId,
    model: opened.model,
    served_by: server,
    requests: 0,
    failed: 0,
    aborted: 0,
    estimated: 0,
    tokens_in: 0,
    tokens_in_cached: 0,
    tokens_out: 0,
    tokens_reasoning: 0,
    first_token_count: 0,
    first_token_ms: 0,
    generation_tokens: 0,
    generation_ms: 0,
    cost_micros: 0,
  };
}

function addTo(sum: DailyUsageTable, closed: RequestClosed): void {
  const { outcome, timeToFirstTokenMs } = closed;
  const generation = generationOf(closed);
  sum.requests += 1;
  if (outcome === "aborted") sum.aborted += 1;
  else if (outcome !== "ok") sum.failed += 1;
  if (closed.isEstimated) sum.estimated += 1;
  sum.tokens_in += closed.tokensIn;
  sum.tokens_in_cached += closed.tokensInCached;
  sum.tokens_out += closed.tokensOut;
  sum.tokens_reasoning += closed.tokensReasoning ?? 0;
  if (timeToFirstTokenMs !== null) sum.first_token_count += 1;
  sum.first_token_ms += timeToFirstTokenMs ?? 0;
  sum.generation_tokens += generation.tokens;
  sum.generation_ms += generation.ms;
  sum.cost_micros += closed.costMicros;
}
