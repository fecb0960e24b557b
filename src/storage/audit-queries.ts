import type { Kysely } from "kysely";
import {
  type AuditDraft,
  type AuditEntry,
  type AuditHead,
  type AuditRow,
  chainRow,
  findBreak,
  NO_HEAD,
  toAuditEntry,
} from "./audit-chain.ts";
import { inTransaction } from "./in-transaction.ts";
import type { Tables } from "./schema.ts";
import { createSettingStore } from "./setting-queries.ts";
import type { AuditQuery, AuditVerdict } from "./store.ts";

/** Where the end of the chain is kept a second time, so that entries cut off at the end are missed. */
const HEAD_SETTING = "audit.head";
/** Rows read at one time while the chain is walked. */
const PAGE_ROWS = 100;

/** Adds an entry to the end of the chain. Call it in the transaction of the change, so that neither is without the other. */
export async function appendAudit(db: Kysely<Tables>, draft: AuditDraft): Promise<void> {
  await inTransaction(db, async (transaction) => {
    const head = transaction.selectFrom("audit").select(["seq", "hash"]).orderBy("seq", "desc").limit(1);
    const row = chainRow(draft, (await head.executeTakeFirst()) ?? NO_HEAD);
    await transaction.insertInto("audit").values(row).execute();
    await createSettingStore(transaction).set(HEAD_SETTING, Buffer.from(`${row.seq} ${row.hash}`));
  });
}

/** Newest first, as the filter says. */
export async function listAudit(db: Kysely<Tables>, query: AuditQuery): Promise<AuditEntry[]> {
  let select = db.selectFrom("audit").selectAll().orderBy("seq", "desc").limit(query.limit);
  if (query.beforeSeq !== null) select = select.where("seq", "<", query.beforeSeq);
  if (query.sinceMs !== null) select = select.where("at_ms", ">=", query.sinceMs);
  if (query.actor !== null) select = select.where("actor", "=", query.actor);
  if (query.action !== null) select = select.where("action", "=", query.action);
  return (await select.execute()).map(toAuditEntry);
}

/** Walks the whole chain and names the first entry that is not as it was written. */
export async function verifyAudit(db: Kysely<Tables>, anchor: AuditHead | null): Promise<AuditVerdict> {
  // One consistent state: entries that are added meanwhile are not missed at the end.
  return db.transaction().execute(async (transaction) => {
    let head = NO_HEAD;
    for (;;) {
      const rows = await transaction
        .selectFrom("audit")
        .selectAll()
        .where("seq", ">", head.seq)
        .orderBy("seq")
        .limit(PAGE_ROWS)
        .execute();
      for (const row of rows) {
        const reason = reasonToDoubt(row, head, anchor);
        if (reason !== null) return { entries: head.seq, head, fault: { seq: head.seq + 1, reason } };
        head = { seq: row.seq, hash: row.hash };
      }
      if (rows.length < PAGE_ROWS) break;
    }
    return { entries: head.seq, head, fault: await findMissingEnd(transaction, head, anchor) };
  });
}

function reasonToDoubt(row: AuditRow, head: AuditHead, anchor: AuditHead | null): string | null {
  if (row.seq !== head.seq + 1) return "it is missing";
  const reason = findBreak(row, head);
  if (reason !== null || row.seq !== anchor?.seq || row.hash === anchor.hash) return reason;
  return "it is not the entry that the anchor was taken from: the chain was rewritten";
}

async function findMissingEnd(
  db: Kysely<Tables>,
  head: AuditHead,
  anchor: AuditHead | null,
): Promise<AuditVerdict["fault"]> {
  const kept = await createSettingStore(db).get(HEAD_SETTING);
  const [seq = "0", hash = NO_HEAD.hash] = kept === null ? [] : Buffer.from(kept).toString().split(" ");
  if (Math.max(Number(seq), anchor?.seq ?? 0) > head.seq) {
    return { seq: head.seq + 1, reason: "it is missing, and so is everything after it" };
  }
  return Number(seq) === head.seq && hash === head.hash
    ? null
    : { seq: head.seq, reason: "it is not the last entry that was written" };
}
