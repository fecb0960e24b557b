import type { ColumnDefinitionBuilder, Kysely } from "kysely";
import { type ColumnTypes, withSuffix } from "./column-types.ts";

const required = (column: ColumnDefinitionBuilder) => column.notNull();
const primary = (column: ColumnDefinitionBuilder) => column.notNull().primaryKey();

/** Migration: tokens, users and sessions of the admin API. */
export async function createAdminTables(db: Kysely<unknown>, types: ColumnTypes): Promise<void> {
  const { bytes, integer } = types;
  const create = (name: string) => withSuffix(db.schema.createTable(name), types.tableSuffix);

  await create("admin_tokens")
    .addColumn("id", "text", primary)
    .addColumn("name", "text", required)
    .addColumn("hash", bytes, required)
    .addColumn("role", "text", required)
    .addColumn("scopes", "text")
    .addColumn("created_by", "text", required)
    .addColumn("created_at_ms", integer, required)
    .addColumn("expires_at_ms", integer)
    .addColumn("revoked_at_ms", integer)
    .execute();

  await create("admin_users")
    .addColumn("id", "text", primary)
    .addColumn("name", "text", (column) => column.notNull().unique())
    .addColumn("role", "text", required)
    .addColumn("password_hash", "text", required)
    .addColumn("created_at_ms", integer, required)
    .addColumn("password_changed_at_ms", integer, required)
    .execute();

  await create("admin_sessions")
    .addColumn("id", "text", primary)
    .addColumn("hash", bytes, required)
    .addColumn("user_id", "text", (column) => column.notNull().references("admin_users.id").onDelete("cascade"))
    .addColumn("address", "text", required)
    .addColumn("created_at_ms", integer, required)
    .addColumn("last_seen_at_ms", integer, required)
    .addColumn("expires_at_ms", integer, required)
    .execute();
  await db.schema.createIndex("admin_sessions_user").on("admin_sessions").column("user_id").execute();
}
