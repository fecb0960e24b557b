import type { ColumnDefinitionBuilder, Kysely } from "kysely";
import { type ColumnTypes, withSuffix } from "./column-types.ts";

const required = (column: ColumnDefinitionBuilder) => column.notNull();
const primary = (column: ColumnDefinitionBuilder) => column.notNull().primaryKey();

/** Migration: alerts, what became of messages about them, and silences. */
export async function createAlertTables(db: Kysely<unknown>, types: ColumnTypes): Promise<void> {
  const { integer } = types;
  const create = (name: string) => withSuffix(db.schema.createTable(name), types.tableSuffix);

  await create("alerts")
    .addColumn("id", "text", primary)
    .addColumn("rule", "text", required)
    .addColumn("key", "text", required)
    .addColumn("severity", "text", required)
    .addColumn("summary", "text", required)
    .addColumn("labels", "text", required)
    .addColumn("started_at_ms", integer, required)
    .addColumn("fired_at_ms", integer, required)
    .addColumn("resolved_at_ms", integer)
    .addColumn("told_at_ms", integer)
    .addColumn("acked_at_ms", integer)
    .addColumn("acked_by", "text")
    .addColumn("ack_note", "text")
    .execute();
  await db.schema.createIndex("alerts_resolved").on("alerts").column("resolved_at_ms").execute();

  await withSuffix(db.schema.createTable("alert_deliveries"), types.clusteredSuffix)
    .addColumn("alert_id", "text", (column) => column.notNull().references("alerts.id").onDelete("cascade"))
    .addColumn("notification_id", "text", required)
    .addColumn("channel", "text", required)
    .addColumn("kind", "text", required)
    .addColumn("status", "text", required)
    .addColumn("is_delivered", integer, required)
    .addColumn("attempts", integer, required)
    .addColumn("detail", "text", required)
    .addColumn("at_ms", integer, required)
    .addPrimaryKeyConstraint("alert_deliveries_key", ["alert_id", "notification_id", "channel"])
    .execute();

  await create("alert_silences")
    .addColumn("id", "text", primary)
    .addColumn("rule", "text", required)
    .addColumn("key", "text")
    .addColumn("reason", "text", required)
    .addColumn("created_by", "text", required)
    .addColumn("created_at_ms", integer, required)
    .addColumn("until_ms", integer, required)
    .execute();
}
