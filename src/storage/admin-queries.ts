import type { Kysely } from "kysely";
import { PosternError } from "../errors.ts";
import { inTransaction } from "./in-transaction.ts";
import { readList } from "./key-queries.ts";
import type { Tables } from "./schema.ts";
import type { SessionStore, TokenStore, UserStore } from "./store.ts";

/** Tokens of the admin API over any database that Kysely speaks. */
export function createTokenStore(db: Kysely<Tables>): TokenStore {
  return {
    async insert(token) {
      await db
        .insertInto("admin_tokens")
        .values({
          id: token.id,
          name: token.name,
          hash: token.hash,
          role: token.role,
          scopes: token.scopes === null ? null : JSON.stringify(token.scopes),
          ceiling: token.ceiling,
          created_by: token.createdBy,
          created_at_ms: token.createdAtMs,
          expires_at_ms: token.expiresAtMs,
          revoked_at_ms: token.revokedAtMs,
        })
        .execute();
    },

    async list() {
      const rows = await db.selectFrom("admin_tokens").selectAll().orderBy("created_at_ms").orderBy("id").execute();
      return rows.map((row) => ({
        id: row.id,
        name: row.name,
        hash: row.hash,
        role: row.role,
        scopes: row.scopes === null ? null : readList(row.scopes),
        ceiling: row.ceiling,
        createdBy: row.created_by,
        createdAtMs: row.created_at_ms,
        expiresAtMs: row.expires_at_ms,
        revokedAtMs: row.revoked_at_ms,
      }));
    },

    async revoke(ids, atMs) {
      const { numUpdatedRows } = await db
        .updateTable("admin_tokens")
        .set({ revoked_at_ms: atMs })
        .where("id", "in", [...ids])
        .where("revoked_at_ms", "is", null)
        .executeTakeFirst();
      return numUpdatedRows > 0n;
    },
  };
}

/** People who log in. */
export function createUserStore(db: Kysely<Tables>): UserStore {
  return {
    async insert(user) {
      const { numInsertedOrUpdatedRows } = await db
        .insertInto("admin_users")
        .values({
          id: user.id,
          name: user.name,
          role: user.role,
          password_hash: user.passwordHash,
          created_at_ms: user.createdAtMs,
          password_changed_at_ms: user.passwordChangedAtMs,
        })
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst();
      if (numInsertedOrUpdatedRows !== 1n) {
        throw new PosternError("already_exists", { message: `There is already a user "${user.name}"` });
      }
    },

    async list() {
      const rows = await db.selectFrom("admin_users").selectAll().orderBy("name").execute();
      return rows.map((row) => ({
        id: row.id,
        name: row.name,
        role: row.role,
        passwordHash: row.password_hash,
        createdAtMs: row.created_at_ms,
        passwordChangedAtMs: row.password_changed_at_ms,
      }));
    },

    update: (user) =>
      inTransaction(db, async (transaction) => {
        const { numUpdatedRows } = await transaction
          .updateTable("admin_users")
          .set({
            role: user.role,
            password_hash: user.passwordHash,
            password_changed_at_ms: user.passwordChangedAtMs,
          })
          .where("id", "=", user.id)
          .executeTakeFirst();
        // Whatever was changed, who had logged in before logs in again.
        await transaction.deleteFrom("admin_sessions").where("user_id", "=", user.id).execute();
        return numUpdatedRows === 1n;
      }),

    async remove(id) {
      // Sessions go with it (on delete cascade).
      const { numDeletedRows } = await db.deleteFrom("admin_users").where("id", "=", id).executeTakeFirst();
      return numDeletedRows === 1n;
    },
  };
}

/** Who is logged in. */
export function createSessionStore(db: Kysely<Tables>): SessionStore {
  return {
    async insert(session) {
      await db
        .insertInto("admin_sessions")
        .values({
          id: session.id,
          hash: session.hash,
          user_id: session.userId,
          address: session.address,
          created_at_ms: session.createdAtMs,
          last_seen_at_ms: session.lastSeenAtMs,
          expires_at_ms: session.expiresAtMs,
        })
        .execute();
    },

    async list() {
      const rows = await db.selectFrom("admin_sessions").selectAll().orderBy("created_at_ms").orderBy("id").execute();
      return rows.map((row) => ({
        id: row.id,
        hash: row.hash,
        userId: row.user_id,
        address: row.address,
        createdAtMs: row.created_at_ms,
        lastSeenAtMs: row.last_seen_at_ms,
        expiresAtMs: row.expires_at_ms,
      }));
    },

    async touch(id, seenAtMs) {
      await db.updateTable("admin_sessions").set({ last_seen_at_ms: seenAtMs }).where("id", "=", id).execute();
    },

    async remove(ids) {
      const { numDeletedRows } = await db
        .deleteFrom("admin_sessions")
        .where("id", "in", [...ids])
        .executeTakeFirst();
      return numDeletedRows > 0n;
    },
  };
}
