import type { Kysely } from "kysely";
import type { KeyRecord } from "../access/key.ts";
import { PosternError } from "../errors.ts";
import type { Tables } from "./schema.ts";
import type { KeyStore } from "./store.ts";

/** The key part of a store over any database that Kysely speaks. */
export function createKeyStore(db: Kysely<Tables>): KeyStore {
  return {
    async insert(key) {
      const { numInsertedOrUpdatedRows } = await db
        .insertInto("keys")
        .values({
          id: key.id,
          name: key.name,
          hash: key.hash,
          endpoint_id: key.endpointId,
          models: key.models === null ? null : JSON.stringify(key.models),
          created_at_ms: key.createdAtMs,
          expires_at_ms: key.expiresAtMs,
          revoked_at_ms: key.revokedAtMs,
        })
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst();
      if (numInsertedOrUpdatedRows !== 1n) {
        throw new PosternError("already_exists", { message: `There is already a key "${key.id}"` });
      }
    },

    async list() {
      const rows = await db.selectFrom("keys").selectAll().orderBy("created_at_ms").orderBy("id").execute();
      return rows.map(
        (row): KeyRecord => ({
          id: row.id,
          name: row.name,
          hash: row.hash,
          endpointId: row.endpoint_id,
          models: row.models === null ? null : readList(row.models),
          createdAtMs: row.created_at_ms,
          expiresAtMs: row.expires_at_ms,
          revokedAtMs: row.revoked_at_ms,
        }),
      );
    },

    async revoke(id, atMs) {
      const { numUpdatedRows } = await db
        .updateTable("keys")
        .set({ revoked_at_ms: atMs })
        .where("id", "=", id)
        .where("revoked_at_ms", "is", null)
        .executeTakeFirst();
      return numUpdatedRows === 1n;
    },
  };
}

/** A list of strings as this store writes it; anything else means that the row was damaged, and it then allows nothing. */
export function readList(text: string): string[] {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
  } catch {
    return [];
  }
}
