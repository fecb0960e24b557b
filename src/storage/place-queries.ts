import type { Kysely } from "kysely";
import type { RuleEffect } from "../access/address-rule.ts";
import type { Endpoint } from "../access/endpoint.ts";
import type { parsePolicy } from "../access/policy.ts";
import { PosternError } from "../errors.ts";
import { inTransaction } from "./in-transaction.ts";
import { readList } from "./key-queries.ts";
import type { Tables } from "./schema.ts";
import type { EndpointRecord, PlaceStore, RuleRecord } from "./store.ts";

/** Endpoints and rules about addresses over any database that Kysely speaks. */
export function createPlaceStore(db: Kysely<Tables>): PlaceStore {
  return {
    async endpoints() {
      const rows = await db.selectFrom("endpoints").selectAll().orderBy("name").execute();
      if (rows.length === 0) return [];
      // Only now: the schemas of policies take 3 MB of the store's thread, and most gateways have no endpoint of their own.
      const policies = await import("../access/policy.ts");
      return rows.map((row) => toEndpoint(row, policies.parsePolicy));
    },

    async insertEndpoint(endpoint) {
      const { numInsertedOrUpdatedRows } = await db
        .insertInto("endpoints")
        .values(fromEndpoint(endpoint))
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst();
      if (numInsertedOrUpdatedRows !== 1n) {
        throw new PosternError("already_exists", { message: `There is already an endpoint "${endpoint.name}"` });
      }
    },

    async updateEndpoint(endpoint) {
      const { name, created_at_ms: _made, ...values } = fromEndpoint(endpoint);
      const { numUpdatedRows } = await db
        .updateTable("endpoints")
        .set(values)
        .where("name", "=", name)
        .executeTakeFirst();
      return numUpdatedRows === 1n;
    },

    async removeEndpoint(name) {
      return inTransaction(db, async (transaction) => {
        await transaction.deleteFrom("address_rules").where("endpoint", "=", name).execute();
        const { numDeletedRows } = await transaction
          .deleteFrom("endpoints")
          .where("name", "=", name)
          .executeTakeFirst();
        return numDeletedRows === 1n;
      });
    },

    async rules() {
      const rows = await db.selectFrom("address_rules").selectAll().orderBy("created_at_ms").orderBy("name").execute();
      return rows.map(toRule);
    },

    async insertRule(rule) {
      const { numInsertedOrUpdatedRows } = await db
        .insertInto("address_rules")
        .values({
          name: rule.name,
          effect: rule.effect,
          range: rule.range,
          endpoint: rule.endpoint,
          key: rule.key,
          label: rule.label,
          purpose: rule.purpose,
          owner: rule.owner,
          may_rotate: Number(rule.mayRotate),
          created_at_ms: rule.createdAtMs,
          expires_at_ms: rule.expiresAtMs,
        })
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst();
      if (numInsertedOrUpdatedRows !== 1n) {
        throw new PosternError("already_exists", { message: `There is already a rule "${rule.name}"` });
      }
    },

    async removeRule(name) {
      const { numDeletedRows } = await db.deleteFrom("address_rules").where("name", "=", name).executeTakeFirst();
      return numDeletedRows === 1n;
    },
  };
}

function fromEndpoint(endpoint: EndpointRecord): Tables["endpoints"] {
  return {
    name: endpoint.name,
    host: endpoint.host,
    path: endpoint.path,
    models: endpoint.models === null ? null : JSON.stringify(endpoint.models),
    may_leave: Number(endpoint.mayLeave === "yes"),
    prefer: endpoint.prefer,
    fallback: endpoint.fallback,
    targets: endpoint.targets === null ? null : JSON.stringify(endpoint.targets),
    owner: endpoint.owner,
    purpose: endpoint.purpose,
    review_on: endpoint.reviewOn,
    created_at_ms: endpoint.createdAtMs,
  };
}

function toEndpoint(row: Tables["endpoints"], parse: typeof parsePolicy): EndpointRecord {
  return {
    name: row.name,
    host: row.host,
    path: row.path,
    models: row.models === null ? null : readList(row.models),
    mayLeave: row.may_leave === 1 ? "yes" : "no",
    ...readRouting(row, parse),
    owner: row.owner,
    purpose: row.purpose,
    reviewOn: row.review_on,
    createdAtMs: row.created_at_ms,
  };
}

/** What is damaged reaches nothing. */
function readRouting(
  row: Tables["endpoints"],
  parse: typeof parsePolicy,
): Pick<Endpoint, "prefer" | "fallback" | "targets"> {
  const targets = row.targets === null ? "" : `,"targets":${row.targets}`;
  const words = parse(`{"prefer":"${row.prefer}","fallback":"${row.fallback}"${targets}}`);
  if (words === null) return { prefer: "none", fallback: "never", targets: { nodes: [] } };
  return { prefer: words.prefer ?? "none", fallback: words.fallback ?? "automatic", targets: words.targets ?? null };
}

function toRule(row: Tables["address_rules"]): RuleRecord {
  return {
    name: row.name,
    // What is damaged closes a door, never opens one.
    effect: isEffect(row.effect) ? row.effect : "deny",
    range: row.range,
    endpoint: row.endpoint,
    key: row.key,
    label: row.label,
    purpose: row.purpose,
    owner: row.owner,
    mayRotate: row.may_rotate === 1,
    createdAtMs: row.created_at_ms,
    expiresAtMs: row.expires_at_ms,
  };
}

function isEffect(text: string): text is RuleEffect {
  return text === "allow" || text === "deny" || text === "ambient";
}
