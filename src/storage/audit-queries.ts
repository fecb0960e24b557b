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
/** Where the chain begins since its oldest entries were deleted: number and hash of the last of those. */
const BASE_SETTING = "audit.base";
export const PRUNE_ACTION = "audit.prune";
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

/**
 * Deletes the oldest entries, up to the first that is not before `beforeMs`. First an entry says so, with the number and hash of the
 * last that goes: the chain goes on from there, and a beginning that is cut off without such an entry is found.
 *
 * @param draft Of that entry; its `after` is set here.
 * @returns how many were deleted.
 */
export async function pruneAudit(db: Kysely<Tables>, beforeMs: number, draft: AuditDraft): Promise<number> {
  return inTransaction(db, async (transaction) => {
    const base = await readHead(transaction, BASE_SETTING);
    const kept = await transaction
      .selectFrom("audit")
      .select((select) => select.fn.min("seq").as("seq"))
      .where("at_ms", ">=", beforeMs)
      .executeTakeFirst();
    let last = transaction.selectFrom("audit").select(["seq", "hash"]).orderBy("seq", "desc").limit(1);
    if (kept?.seq != null) last = last.where("seq", "<", Number(kept.seq));
    const cut = await last.executeTakeFirst();
    if (cut === undefined || cut.seq <= base.seq) return 0;
    const after = { seq: cut.seq, hash: cut.hash, deleted: cut.seq - base.seq };
    await appendAudit(transaction, { ...draft, action: PRUNE_ACTION, subject: "audit", before: null, after });
    await createSettingStore(transaction).set(BASE_SETTING, Buffer.from(`${cut.seq} ${cut.hash}`));
    await transaction.deleteFrom("audit").where("seq", "<=", cut.seq).execute();
    return after.deleted;
  });
}

async function readHead(db: Kysely<Tables>, setting: string): Promise<AuditHead> {
  const kept = await createSettingStore(db).get(setting);
  const [seq = "0", hash = NO_HEAD.hash] = kept === null ? [] : Buffer.from(kept).toString().split(" ");
  return { seq: Number(seq), hash };
}

/** Walks the whole chain and names the first entry that is not as it was written. */
export async function verifyAudit(db: Kysely<Tables>, anchor: AuditHead | null): Promise<AuditVerdict> {
  // One consistent state: entries that are added meanwhile are not missed at the end.
  return db.transaction().execute(async (transaction) => {
    const base = await readHead(transaction, BASE_SETTING);
    let head = base;
    let isBaseSaid = base.seq === 0;
    const verdict = (fault: AuditVerdict["fault"]) => ({
      entries: head.seq - base.seq,
      deleted: base.seq,
      head,
      fault,
    });
    if (anchor?.seq === base.seq && anchor.hash !== base.hash) {
      return verdict({
        seq: base.seq,
        reason: "it is not the entry that the anchor was taken from: the chain was rewritten",
      });
    }
    if (anchor !== null && anchor.seq < base.seq) {
      return verdict({ seq: anchor.seq, reason: "it was deleted by retention, as an entry says: take a newer anchor" });
    }
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
        if (reason !== null) return verdict({ seq: head.seq + 1, reason });
        head = { seq: row.seq, hash: row.hash };
        isBaseSaid ||= row.action === PRUNE_ACTION && isAbout(row, base);
      }
      if (rows.length < PAGE_ROWS) break;
    }
    if (!isBaseSaid) {
      return verdict({
        seq: base.seq,
        reason: "it and all before it are missing, and no entry says that they were deleted",
      });
    }
    return verdict(await findMissingEnd(transaction, head, anchor));
  });
}

/** Whether an entry says that everything up to there was deleted. */
function isAbout(row: AuditRow, base: AuditHead): boolean {
  const { after } = toAuditEntry(row);
  const said = (typeof after === "object" && after !== null ? after : {}) as Partial<AuditHead>;
  return said.seq === base.seq && said.hash === base.hash;
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
  const { seq, hash } = await readHead(db, HEAD_SETTING);
  if (Math.max(seq, anchor?.seq ?? 0) > head.seq) {
    return { seq: head.seq + 1, reason: "it is missing, and so is everything after it" };
  }
  return seq === head.seq && hash === head.hash
    ? null
    : { seq: head.seq, reason: "it is not the last entry that was written" };
}
