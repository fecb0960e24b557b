import type { Kysely } from "kysely";
import { PosternError } from "../errors.ts";
import type { ColumnTypes } from "./column-types.ts";
import { MIGRATIONS, type Migration } from "./migrations.ts";
import type { Tables } from "./schema.ts";

/**
 * Brings the schema to this program's version, each step in its own transaction. Forward only.
 *
 * @param nowMs Written beside each step that was applied.
 * @param migrations All known steps in order. Default `MIGRATIONS`.
 * @returns the versions that were applied now.
 * @throws PosternError `store_newer` when the store knows steps that this program does not; nothing is written then.
 */
export async function migrate(
  db: Kysely<Tables>,
  types: ColumnTypes,
  nowMs: number,
  migrations: readonly Migration[] = MIGRATIONS,
): Promise<number[]> {
  await db.schema
    .createTable("schema_versions")
    .ifNotExists()
    .addColumn("version", types.integer, (column) => column.notNull().primaryKey())
    .addColumn("name", "text", (column) => column.notNull())
    .addColumn("applied_at_ms", types.integer, (column) => column.notNull())
    .execute();
  const current = await currentVersion(db);
  const latest = migrations.at(-1)?.version ?? 0;
  if (current > latest) throw newerSchema(current, latest);

  const applied: number[] = [];
  for (const migration of migrations) {
    if (migration.version <= current) continue;
    await db.transaction().execute(async (transaction) => {
      // A migration must not know today's tables: it runs on those of its own time.
      await migration.up(transaction as unknown as Kysely<unknown>, types);
      await transaction
        .insertInto("schema_versions")
        .values({ version: migration.version, name: migration.name, applied_at_ms: nowMs })
        .execute();
    });
    applied.push(migration.version);
  }
  return applied;
}

async function currentVersion(db: Kysely<Tables>): Promise<number> {
  const row = await db
    .selectFrom("schema_versions")
    .select((select) => select.fn.max("version").as("version"))
    .executeTakeFirst();
  return Number(row?.version ?? 0);
}

function newerSchema(current: number, latest: number): PosternError {
  return new PosternError("store_newer", {
    message: `Cannot open the store: it was written by a newer Postern (schema ${current}, this program knows up to ${latest})`,
    hint: "Install the newer Postern again, or restore a backup that was made before the upgrade.",
    detail: { current, latest },
  });
}
