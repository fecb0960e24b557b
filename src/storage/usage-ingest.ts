import { type Kysely, sql } from "kysely";
import { decodeLines, type SettledRequest } from "./journal-line.ts";
import { createRowInsert } from "./row-insert.ts";
import type { Tables } from "./schema.ts";
import type { IngestResult } from "./store.ts";
import { ROLLUP_KEY, ROLLUP_SUMS, toRollups } from "./usage-rollups.ts";
import { ATTEMPT_COLUMNS, REQUEST_COLUMNS, toRows } from "./usage-rows.ts";

/**
 * Makes the function that takes journal lines into the tables, each block in one transaction.
 *
 * Idempotent by request id: only rows that were really inserted count in the attempts and in the daily rollups, so that the
 * three are always in step, however often a journal is replayed.
 */
export function createIngest(db: Kysely<Tables>): (lines: Uint8Array) => Promise<IngestResult> {
  const insertRequests = createRowInsert("requests", REQUEST_COLUMNS, sql`do nothing`);
  const insertAttempts = createRowInsert("attempts", ATTEMPT_COLUMNS, sql`do nothing`);
  const sums = ROLLUP_SUMS.map(
    (column) => sql`${sql.ref(column)} = ${sql.ref(`daily_usage.${column}`)} + ${sql.ref(`excluded.${column}`)}`,
  );
  const insertRollups = createRowInsert(
    "daily_usage",
    [...ROLLUP_KEY, ...ROLLUP_SUMS],
    sql`(${sql.join(ROLLUP_KEY.map((column) => sql.ref(column)))}) do update set ${sql.join(sums)}`,
  );

  async function insertAll(settled: SettledRequest[]): Promise<number> {
    return db.transaction().execute(async (transaction) => {
      const rows = toRows(settled);
      const inserted = await insertRequests(transaction, rows.requests);
      if (inserted !== settled.length) throw new SomeKnown();
      await insertAttempts(transaction, rows.attempts);
      await insertRollups(transaction, toRollups(settled));
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
