import { timingSafeEqual } from "node:crypto";
import type { Kysely, Transaction } from "kysely";
import { PosternError } from "../errors.ts";
import { inTransaction } from "./in-transaction.ts";
import { readList } from "./key-queries.ts";
import type { Tables } from "./schema.ts";
import type { ConnectorRecord, InvitationRecord, NodeChanges, NodeRecord, NodeStore } from "./store.ts";

/** Nodes, connectors and invitations over any database that Kysely speaks. */
export function createNodeStore(db: Kysely<Tables>): NodeStore {
  return {
    async list() {
      const rows = await db.selectFrom("nodes").selectAll().orderBy("name").execute();
      return rows.map(toNode);
    },

    async insert(node) {
      const { numInsertedOrUpdatedRows } = await db
        .insertInto("nodes")
        .values({
          id: node.id,
          name: node.name,
          created_at_ms: node.createdAtMs,
          ...toColumns(node),
          locality: node.locality,
        })
        .onConflict((conflict) => conflict.doNothing())
        .executeTakeFirst();
      if (numInsertedOrUpdatedRows !== 1n) {
        throw new PosternError("already_exists", { message: `There is already a node "${node.name}"` });
      }
    },

    async update(id, changes) {
      const columns = toColumns(changes);
      if (Object.keys(columns).length === 0) return true;
      const { numUpdatedRows } = await db.updateTable("nodes").set(columns).where("id", "=", id).executeTakeFirst();
      return numUpdatedRows === 1n;
    },

    async remove(id) {
      // Connectors and invitations go with it (on delete cascade).
      const { numDeletedRows } = await db.deleteFrom("nodes").where("id", "=", id).executeTakeFirst();
      return numDeletedRows === 1n;
    },

    async connectors() {
      const rows = await db.selectFrom("connectors").selectAll().orderBy("created_at_ms").orderBy("id").execute();
      return rows.map(toConnector);
    },

    async removeConnector(id) {
      const { numDeletedRows } = await db.deleteFrom("connectors").where("id", "=", id).executeTakeFirst();
      return numDeletedRows === 1n;
    },

    async touchConnector(id, seenAtMs, epoch) {
      // Never backwards: two links of one connector report in any order.
      await db
        .updateTable("connectors")
        .set((set) => ({
          last_seen_at_ms: seenAtMs,
          last_epoch: set.case().when("last_epoch", "<", epoch).then(epoch).else(set.ref("last_epoch")).end(),
        }))
        .where("id", "=", id)
        .execute();
    },

    async insertInvitation(invitation) {
      const node = await db.selectFrom("nodes").select("id").where("id", "=", invitation.nodeId).executeTakeFirst();
      if (node === undefined) throw new PosternError("not_found", { message: "The node of the invitation is gone" });
      await db
        .insertInto("invitations")
        .values({
          id: invitation.id,
          node_id: invitation.nodeId,
          hash: invitation.hash,
          created_at_ms: invitation.createdAtMs,
          expires_at_ms: invitation.expiresAtMs,
          max_uses: invitation.maxUses,
          uses: invitation.uses,
          is_ephemeral: Number(invitation.isEphemeral),
        })
        .execute();
    },

    async invitations() {
      const rows = await db.selectFrom("invitations").selectAll().orderBy("created_at_ms").orderBy("id").execute();
      return rows.map(toInvitation);
    },

    async redeemInvitation(id, hash, connector, nowMs) {
      return inTransaction(db, (transaction) => redeem(transaction, id, hash, connector, nowMs));
    },
  };
}

async function redeem(
  db: Transaction<Tables>,
  id: string,
  hash: Uint8Array,
  connector: Omit<ConnectorRecord, "nodeId" | "isEphemeral">,
  nowMs: number,
): Promise<NodeRecord | null> {
  const invitation = await db.selectFrom("invitations").selectAll().where("id", "=", id).executeTakeFirst();
  if (invitation === undefined || !isSame(invitation.hash, hash) || invitation.expires_at_ms <= nowMs) return null;
  const node = await db.selectFrom("nodes").selectAll().where("id", "=", invitation.node_id).executeTakeFirst();
  if (node === undefined) return null;

  // An agent whose answer was lost asks again with the same key pair: that is the same use, not a second one.
  const earlier = await db.selectFrom("connectors").selectAll().where("id", "=", connector.id).executeTakeFirst();
  if (earlier !== undefined) {
    return earlier.node_id === node.id && isSame(earlier.public_key, connector.publicKey) ? toNode(node) : null;
  }

  // The condition is in the update, so that two agents that share an invitation cannot both take its last use.
  const { numUpdatedRows } = await db
    .updateTable("invitations")
    .set((set) => ({ uses: set("uses", "+", 1) }))
    .where("id", "=", id)
    .whereRef("uses", "<", "max_uses")
    .executeTakeFirst();
  if (numUpdatedRows !== 1n) return null;
  await db
    .insertInto("connectors")
    .values({
      id: connector.id,
      node_id: node.id,
      public_key: connector.publicKey,
      created_at_ms: connector.createdAtMs,
      last_seen_at_ms: connector.lastSeenAtMs,
      last_epoch: connector.lastEpoch,
      is_ephemeral: invitation.is_ephemeral,
    })
    .execute();
  return toNode(node);
}

function isSame(first: Uint8Array, second: Uint8Array): boolean {
  return first.byteLength === second.byteLength && timingSafeEqual(first, second);
}

function toColumns({ grants, tags, locality }: NodeChanges): Partial<Tables["nodes"]> {
  return {
    ...(grants === undefined ? {} : { grants: grants === null ? null : JSON.stringify(grants) }),
    ...(tags === undefined ? {} : { tags: tags.length === 0 ? null : JSON.stringify(tags) }),
    ...(locality === undefined ? {} : { locality }),
  };
}

function toNode(row: Tables["nodes"]): NodeRecord {
  return {
    id: row.id,
    name: row.name,
    createdAtMs: row.created_at_ms,
    grants: row.grants === null ? null : readList(row.grants),
    tags: row.tags === null ? [] : readList(row.tags),
    // A word that this version does not know is not one's own machine.
    locality: row.locality === "own" ? "own" : "rented",
  };
}

function toConnector(row: Tables["connectors"]): ConnectorRecord {
  return {
    id: row.id,
    nodeId: row.node_id,
    publicKey: row.public_key,
    createdAtMs: row.created_at_ms,
    lastSeenAtMs: row.last_seen_at_ms,
    lastEpoch: row.last_epoch,
    isEphemeral: row.is_ephemeral === 1,
  };
}

function toInvitation(row: Tables["invitations"]): InvitationRecord {
  return {
    id: row.id,
    nodeId: row.node_id,
    hash: row.hash,
    createdAtMs: row.created_at_ms,
    expiresAtMs: row.expires_at_ms,
    maxUses: row.max_uses,
    uses: row.uses,
    isEphemeral: row.is_ephemeral === 1,
  };
}
