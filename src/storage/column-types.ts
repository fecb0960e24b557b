import { type RawBuilder, sql } from "kysely";

/** What differs between databases in a table's definition. */
export interface ColumnTypes {
  bytes: "blob" | "bytea";
  /** A 64-bit integer. */
  integer: "integer" | "bigint";
  /** Appended to every `create table`; null for nothing. */
  tableSuffix: RawBuilder<unknown> | null;
  /** Appended to tables that live in the order of their primary key. */
  clusteredSuffix: RawBuilder<unknown> | null;
  /** What makes the database itself refuse to change or delete a row of the table. */
  appendOnly(table: string): RawBuilder<unknown>[];
  /** Instead: rows may go up to the `seq` that a setting begins with, and no others. */
  deletableUpTo(table: string, setting: string): RawBuilder<unknown>[];
}

/** Puts the end of a table definition on, where the database wants one. */
export function withSuffix<T extends { modifyEnd(modifier: RawBuilder<unknown>): T }>(
  builder: T,
  suffix: RawBuilder<unknown> | null,
): T {
  return suffix === null ? builder : builder.modifyEnd(suffix);
}

/** The definitions that SQLite takes: STRICT tables refuse values of the wrong type instead of keeping them. */
export const SQLITE_TYPES: ColumnTypes = {
  bytes: "blob",
  integer: "integer",
  tableSuffix: sql`strict`,
  clusteredSuffix: sql`strict, without rowid`,
  appendOnly: (table) =>
    ["update", "delete"].map((change) =>
      sql.raw(
        `create trigger ${table}_no_${change} before ${change} on ${table} begin select raise(abort, '${table} is append-only'); end`,
      ),
    ),
  deletableUpTo: (table, setting) => [
    sql.raw(`drop trigger ${table}_no_delete`),
    // What begins with a number is that number as an integer.
    sql.raw(
      `create trigger ${table}_no_delete before delete on ${table}
       when old.seq > coalesce((select cast(cast(value as text) as integer) from settings where name = '${setting}'), 0)
       begin select raise(abort, '${table} is append-only'); end`,
    ),
  ],
};
