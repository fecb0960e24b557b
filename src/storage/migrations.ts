import { type ColumnDefinitionBuilder, type Kysely, sql } from "kysely";
import { createAdminTables } from "./admin-tables.ts";
import { createAlertTables } from "./alert-tables.ts";
import { type ColumnTypes, withSuffix } from "./column-types.ts";
import { readList } from "./key-queries.ts";

/** One forward step of the schema. Runs in a transaction of its own; once released it is never changed. */
export interface Migration {
  version: number;
  name: string;
  up(db: Kysely<unknown>, types: ColumnTypes): Promise<void>;
}

/** Every migration in order; `version` is its place in the list, from 1. */
export const MIGRATIONS: readonly Migration[] = [
  { version: 1, name: "first", up: createFirstTables },
  { version: 2, name: "tokens of thinking", up: addReasoningTokens },
  { version: 3, name: "audit trail", up: createAudit },
  { version: 4, name: "endpoints and address rules", up: createPlaces },
  { version: 5, name: "admin tokens, users and sessions", up: createAdminTables },
  { version: 6, name: "policies of keys", up: addKeyPolicies },
  { version: 7, name: "targets of endpoints", up: addEndpointTargets },
  { version: 8, name: "alerts", up: createAlertTables },
  { version: 9, name: "ceilings of admin tokens", up: addTokenCeilings },
  { version: 10, name: "contingency of requests", up: addContingency },
  { version: 11, name: "tags and localities of nodes", up: addNodeLabels },
  { version: 12, name: "failover drills", up: createDrills },
  { version: 13, name: "retention of the audit trail", up: allowAuditRetention },
];

const required = (column: ColumnDefinitionBuilder) => column.notNull();
const primary = (column: ColumnDefinitionBuilder) => column.notNull().primaryKey();

async function createFirstTables(db: Kysely<unknown>, types: ColumnTypes): Promise<void> {
  const { bytes, integer } = types;
  const create = (name: string) => withSuffix(db.schema.createTable(name), types.tableSuffix);

  await create("settings").addColumn("name", "text", primary).addColumn("value", bytes, required).execute();

  await create("keys")
    .addColumn("id", "text", primary)
    .addColumn("name", "text", required)
    .addColumn("hash", bytes, required)
    .addColumn("endpoint_id", "text", required)
    .addColumn("models", "text")
    .addColumn("created_at_ms", integer, required)
    .addColumn("expires_at_ms", integer)
    .addColumn("revoked_at_ms", integer)
    .execute();

  await create("nodes")
    .addColumn("id", "text", primary)
    .addColumn("name", "text", (column) => column.notNull().unique())
    .addColumn("created_at_ms", integer, required)
    .addColumn("grants", "text")
    .execute();

  const ofNode = (column: ColumnDefinitionBuilder) => column.notNull().references("nodes.id").onDelete("cascade");
  await create("connectors")
    .addColumn("id", "text", primary)
    .addColumn("node_id", "text", ofNode)
    .addColumn("public_key", bytes, required)
    .addColumn("created_at_ms", integer, required)
    .addColumn("last_seen_at_ms", integer)
    .addColumn("last_epoch", integer, required)
    .addColumn("is_ephemeral", integer, required)
    .execute();
  await db.schema.createIndex("connectors_node").on("connectors").column("node_id").execute();

  await create("invitations")
    .addColumn("id", "text", primary)
    .addColumn("node_id", "text", ofNode)
    .addColumn("hash", bytes, required)
    .addColumn("created_at_ms", integer, required)
    .addColumn("expires_at_ms", integer, required)
    .addColumn("max_uses", integer, required)
    .addColumn("uses", integer, required)
    .addColumn("is_ephemeral", integer, required)
    .execute();
  await db.schema.createIndex("invitations_node").on("invitations").column("node_id").execute();

  await createUsageTables(db, types);
}

// No foreign keys here: a request outlives the key and the node that it names, and these tables take thousands of rows a second.
async function createUsageTables(db: Kysely<unknown>, types: ColumnTypes): Promise<void> {
  const { integer } = types;

  await withSuffix(db.schema.createTable("requests"), types.tableSuffix)
    .addColumn("id", "text", primary)
    .addColumn("endpoint_id", "text", required)
    .addColumn("key_id", "text", required)
    .addColumn("operation", "text", required)
    .addColumn("model", "text", required)
    .addColumn("is_stream", integer, required)
    .addColumn("opened_at_ms", integer, required)
    .addColumn("request_bytes", integer, required)
    .addColumn("closed_at_ms", integer, required)
    .addColumn("outcome", "text", required)
    .addColumn("status", integer, required)
    .addColumn("error_code", "text")
    .addColumn("tokens_in", integer, required)
    .addColumn("tokens_in_cached", integer, required)
    .addColumn("tokens_out", integer, required)
    .addColumn("is_estimated", integer, required)
    .addColumn("time_to_first_token_ms", integer)
    .addColumn("duration_ms", integer, required)
    .addColumn("cost_micros", integer, required)
    .addColumn("served_by", "text", required)
    .addColumn("generation_tokens", integer, required)
    .addColumn("generation_ms", integer, required)
    .execute();
  // The only way in besides the id: the edges of a report, and pruning.
  await db.schema.createIndex("requests_closed").on("requests").column("closed_at_ms").execute();

  await withSuffix(db.schema.createTable("attempts"), types.clusteredSuffix)
    .addColumn("request_id", "text", required)
    .addColumn("position", integer, required)
    .addColumn("id", "text", required)
    .addColumn("target", "text", required)
    .addColumn("node_id", "text")
    .addColumn("engine", "text", required)
    .addColumn("engine_model", "text", required)
    .addColumn("started_at_ms", integer, required)
    .addColumn("ended_at_ms", integer, required)
    .addColumn("status", integer, required)
    .addColumn("error_code", "text")
    .addColumn("bytes_out", integer, required)
    .addPrimaryKeyConstraint("attempts_key", ["request_id", "position"])
    .execute();

  await withSuffix(db.schema.createTable("daily_usage"), types.clusteredSuffix)
    .addColumn("day", integer, required)
    .addColumn("endpoint_id", "text", required)
    .addColumn("key_id", "text", required)
    .addColumn("model", "text", required)
    .addColumn("served_by", "text", required)
    .addColumn("requests", integer, required)
    .addColumn("failed", integer, required)
    .addColumn("aborted", integer, required)
    .addColumn("estimated", integer, required)
    .addColumn("tokens_in", integer, required)
    .addColumn("tokens_in_cached", integer, required)
    .addColumn("tokens_out", integer, required)
    .addColumn("first_token_count", integer, required)
    .addColumn("first_token_ms", integer, required)
    .addColumn("generation_tokens", integer, required)
    .addColumn("generation_ms", integer, required)
    .addColumn("cost_micros", integer, required)
    .addPrimaryKeyConstraint("daily_usage_key", ["day", "endpoint_id", "key_id", "model", "served_by"])
    .execute();
}

// Rows of before stay null: nobody asked their engines. In the sums that is zero.
async function addReasoningTokens(db: Kysely<unknown>, { integer }: ColumnTypes): Promise<void> {
  await db.schema.alterTable("requests").addColumn("tokens_reasoning", integer).execute();
  await db.schema
    .alterTable("daily_usage")
    .addColumn("tokens_reasoning", integer, (column) => column.notNull().defaultTo(0))
    .execute();
}

async function createAudit(db: Kysely<unknown>, types: ColumnTypes): Promise<void> {
  await withSuffix(db.schema.createTable("audit"), types.tableSuffix)
    .addColumn("seq", types.integer, primary)
    .addColumn("at_ms", types.integer, required)
    .addColumn("actor", "text", required)
    .addColumn("action", "text", required)
    .addColumn("subject", "text", required)
    .addColumn("body", "text", required)
    .addColumn("hash", "text", required)
    .execute();
  for (const statement of types.appendOnly("audit")) await statement.execute(db);
}

async function createPlaces(db: Kysely<unknown>, types: ColumnTypes): Promise<void> {
  await withSuffix(db.schema.createTable("endpoints"), types.tableSuffix)
    .addColumn("name", "text", primary)
    .addColumn("host", "text")
    .addColumn("path", "text")
    .addColumn("models", "text")
    .addColumn("may_leave", types.integer, required)
    .addColumn("owner", "text")
    .addColumn("purpose", "text")
    .addColumn("review_on", "text")
    .addColumn("created_at_ms", types.integer, required)
    .execute();
  await withSuffix(db.schema.createTable("address_rules"), types.tableSuffix)
    .addColumn("name", "text", primary)
    .addColumn("effect", "text", required)
    .addColumn("range", "text", required)
    .addColumn("endpoint", "text")
    .addColumn("key", "text")
    .addColumn("label", "text")
    .addColumn("purpose", "text")
    .addColumn("owner", "text")
    .addColumn("may_rotate", types.integer, required)
    .addColumn("created_at_ms", types.integer, required)
    .addColumn("expires_at_ms", types.integer)
    .execute();
}

// `type`: an interface would not do for Kysely.
type KeysBeforePolicies = {
  keys: { id: string; endpoint_id: string; models: string | null; expires_at_ms: number | null; policy: string };
};

/** What a key may do moves into one document. Keys of before could name a node, and still can. */
async function addKeyPolicies(db: Kysely<unknown>, { bytes, integer }: ColumnTypes): Promise<void> {
  await db.schema.alterTable("keys").addColumn("previous_hash", bytes).execute();
  await db.schema.alterTable("keys").addColumn("previous_until_ms", integer).execute();
  await db.schema.alterTable("keys").addColumn("disabled_at_ms", integer).execute();
  // What stands here when nothing else does is no policy, and allows nothing.
  await db.schema
    .alterTable("keys")
    .addColumn("policy", "text", (column) => column.notNull().defaultTo(""))
    .execute();
  const old = db.withTables<KeysBeforePolicies>();
  const rows = await old.selectFrom("keys").select(["id", "endpoint_id", "models", "expires_at_ms"]).execute();
  for (const { id, endpoint_id: endpoint, models, expires_at_ms: expiresAtMs } of rows) {
    const policy = JSON.stringify({
      version: 1,
      ...(endpoint === "default" ? {} : { endpoints: [endpoint] }),
      ...(models === null ? {} : { models: readList(models) }),
      mayPin: true,
      ...(expiresAtMs === null ? {} : { expiresAtMs }),
    });
    await old.updateTable("keys").set({ policy }).where("id", "=", id).execute();
  }
  for (const column of ["endpoint_id", "models", "expires_at_ms"]) {
    await db.schema.alterTable("keys").dropColumn(column).execute();
  }
}

/** A node of before is the operator's own, as it was taken to be. */
async function addNodeLabels(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable("nodes").addColumn("tags", "text").execute();
  await db.schema
    .alterTable("nodes")
    .addColumn("locality", "text", (column) => column.notNull().defaultTo("own"))
    .execute();
}

// A statement each: SQLite adds one column at a time.
async function addEndpointTargets(db: Kysely<unknown>): Promise<void> {
  const table = () => db.schema.alterTable("endpoints");
  await table()
    .addColumn("prefer", "text", (column) => column.notNull().defaultTo("none"))
    .execute();
  await table()
    .addColumn("fallback", "text", (column) => column.notNull().defaultTo("automatic"))
    .execute();
  await table().addColumn("targets", "text").execute();
}

async function addTokenCeilings(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable("admin_tokens").addColumn("ceiling", "text").execute();
}

async function addContingency(db: Kysely<unknown>): Promise<void> {
  for (const column of ["workflow", "contingency", "fallback"]) {
    await db.schema.alterTable("requests").addColumn(column, "text").execute();
  }
  // Only the few rows that ran under it are in the index, so that it costs the others nothing.
  await db.schema
    .createIndex("requests_contingency")
    .on("requests")
    .column("id")
    .where(sql.ref("contingency"), "is not", null)
    .execute();
}

async function createDrills(db: Kysely<unknown>, types: ColumnTypes): Promise<void> {
  await withSuffix(db.schema.createTable("drills"), types.tableSuffix)
    .addColumn("id", "text", primary)
    .addColumn("plan", "text", required)
    .addColumn("started_at_ms", types.integer, required)
    .addColumn("ended_at_ms", types.integer)
    .addColumn("body", "text", required)
    .execute();
  await db.schema.createIndex("drills_started").on("drills").columns(["plan", "started_at_ms"]).execute();
}

async function allowAuditRetention(db: Kysely<unknown>, types: ColumnTypes): Promise<void> {
  for (const statement of types.deletableUpTo("audit", "audit.base")) await statement.execute(db);
}
