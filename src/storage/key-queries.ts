import type { Insertable, Kysely, Selectable, Updateable } from "kysely";
import type { KeyRecord } from "../access/key.ts";
import { PosternError } from "../errors.ts";
import type { Tables } from "./schema.ts";
import type { KeyChanges, KeyStore } from "./store.ts";

/** The key part of a store over any database that Kysely speaks; lists are read in pages (key-pages.ts). */
export function createKeyStore(db: Kysely<Tables>): Omit<KeyStore, "list"> {
  return {
    async insert(key) {
      const { numInsertedOrUpdatedRows } = await db
        .insertInto("keys")
        .values(toRow(key))
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst();
      if (numInsertedOrUpdatedRows !== 1n) {
        throw new PosternError("already_exists", { message: `There is already a key "${key.id}"` });
      }
    },

    async find(idOrName) {
      const byId = await db.selectFrom("keys").selectAll().where("id", "=", idOrName).execute();
      if (byId.length > 0) return byId.map(toRecord);
      const named = db.selectFrom("keys").selectAll().where("name", "=", idOrName).orderBy("created_at_ms");
      return (await named.execute()).map(toRecord);
    },

    async update(id, changes) {
      const set = toChangedColumns(changes);
      if (Object.keys(set).length > 0) {
        const query = db.updateTable("keys").set(set).where("id", "=", id).where("revoked_at_ms", "is", null);
        const { numUpdatedRows } = await query.executeTakeFirst();
        if (numUpdatedRows !== 1n) return null;
      }
      const row = await db.selectFrom("keys").selectAll().where("id", "=", id).executeTakeFirst();
      return row === undefined ? null : toRecord(row);
    },
  };
}

function toRow(key: KeyRecord): Insertable<Tables["keys"]> {
  return {
    id: key.id,
    name: key.name,
    hash: key.hash,
    previous_hash: key.previousHash,
    previous_until_ms: key.previousUntilMs,
    policy: key.policy,
    created_at_ms: key.createdAtMs,
    disabled_at_ms: key.disabledAtMs,
    revoked_at_ms: key.revokedAtMs,
  };
}

/** A row as the rest of the program sees it. */
export function toRecord(row: Selectable<Tables["keys"]>): KeyRecord {
  return {
    id: row.id,
    name: row.name,
    hash: row.hash,
    previousHash: row.previous_hash,
    previousUntilMs: row.previous_until_ms,
    policy: row.policy,
    createdAtMs: row.created_at_ms,
    disabledAtMs: row.disabled_at_ms,
    revokedAtMs: row.revoked_at_ms,
  };
}

function toChangedColumns(changes: KeyChanges): Updateable<Tables["keys"]> {
  const { name, hash, previousHash, previousUntilMs, policy, disabledAtMs, revokedAtMs } = changes;
  return {
    ...(name === undefined ? {} : { name }),
    ...(hash === undefined ? {} : { hash }),
    ...(previousHash === undefined ? {} : { previous_hash: previousHash }),
    ...(previousUntilMs === undefined ? {} : { previous_until_ms: previousUntilMs }),
    ...(policy === undefined ? {} : { policy }),
    ...(disabledAtMs === undefined ? {} : { disabled_at_ms: disabledAtMs }),
    ...(revokedAtMs === undefined ? {} : { revoked_at_ms: revokedAtMs }),
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
