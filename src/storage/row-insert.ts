import { CompiledQuery, type RawBuilder, sql, type Transaction } from "kysely";
import type { Tables } from "./schema.ts";

/** Rows per insert statement, the largest first. Each is compiled once: compiling makes a row three times dearer. */
const ROWS_PER_STATEMENT = [128, 32, 8, 1] as const;

export type SqlValue = string | number | null;

/**
 * Inserts rows.
 *
 * @param values Of all rows, one after the other, each in the order of the columns.
 * @returns how many rows were inserted or changed.
 */
export type RowInsert = (db: Transaction<Tables>, values: SqlValue[]) => Promise<number>;

/** Makes the function that inserts many rows into a table. @param onConflict What follows `on conflict`. */
export function createRowInsert(
  table: keyof Tables,
  columns: readonly string[],
  onConflict: RawBuilder<unknown>,
): RowInsert {
  const statements = new Map<number, string>();
  function statementFor(db: Transaction<Tables>, rows: number): string {
    let statement = statements.get(rows);
    if (statement === undefined) {
      const names = sql.join(columns.map((column) => sql.ref(column)));
      const row = sql`(${sql.join(columns.map(() => 0))})`;
      const all = sql.join(Array.from({ length: rows }, () => row));
      statement = sql`insert into ${sql.table(table)} (${names}) values ${all} on conflict ${onConflict}`.compile(
        db,
      ).sql;
      statements.set(rows, statement);
    }
    return statement;
  }
  return async function insertRows(db, values) {
    let inserted = 0n;
    let start = 0;
    for (const rows of ROWS_PER_STATEMENT) {
      const size = rows * columns.length;
      for (; values.length - start >= size; start += size) {
        const query = CompiledQuery.raw(statementFor(db, rows), values.slice(start, start + size));
        inserted += (await db.executeQuery(query)).numAffectedRows ?? 0n;
      }
    }
    return Number(inserted);
  };
}
