import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { AuditDraft, AuditHead } from "./audit-chain.ts";
import { openSqliteStore } from "./sqlite/open-store.ts";
import type { AuditVerdict, Store } from "./store.ts";

let folder: string;
let store: Store;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "postern-audit-retention-"));
  store = await openSqliteStore({ folder });
  for (let at = 1; at <= 5; at += 1) await store.audit.append(draft(at * 1000));
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

function draft(atMs: number, action = "keys.create"): AuditDraft {
  const actor = { kind: "gateway", id: null, name: "gateway", address: null };
  return { atMs, actor, action, subject: `key ${atMs}`, before: null, after: null };
}

const prune = (beforeMs: number) => store.audit.prune(beforeMs, draft(9000));
const list = async () =>
  (await store.audit.list({ actor: null, action: null, sinceMs: null, beforeSeq: null, limit: 50 })).map(
    ({ seq, action }) => `${seq} ${action}`,
  );
const headOf = async (seq: number): Promise<AuditHead> => {
  const entries = await store.audit.list({ actor: null, action: null, sinceMs: null, beforeSeq: seq + 1, limit: 1 });
  return { seq, hash: entries[0]?.hash ?? "" };
};

/** What somebody with the file could do. */
async function tamper(statement: string, anchor: AuditHead | null = null): Promise<AuditVerdict> {
  await store.close();
  const database = new DatabaseSync(join(folder, "postern.db"));
  database.exec("drop trigger if exists audit_no_update; drop trigger if exists audit_no_delete");
  database.exec(statement);
  database.close();
  store = await openSqliteStore({ folder });
  return store.audit.verify(anchor);
}

test("what is older is deleted, an entry says so, and the rest is a chain that verifies", async () => {
  const third = await headOf(3);
  expect(await prune(3500)).toBe(3);
  expect(await list()).toEqual(["6 audit.prune", "5 keys.create", "4 keys.create"]);
  expect(await store.audit.verify(null)).toMatchObject({ entries: 3, deleted: 3, head: { seq: 6 }, fault: null });
  // The last one that went is a good anchor still.
  expect((await store.audit.verify(third)).fault).toBeNull();
  expect((await store.audit.verify({ ...third, hash: "0".repeat(64) })).fault?.reason).toContain("rewritten");
  expect((await store.audit.verify(await headOf(5))).fault).toBeNull();
  expect((await store.audit.verify({ seq: 2, hash: "0".repeat(64) })).fault?.reason).toContain("newer anchor");
});

test("it may be done again, and does nothing where nothing is older", async () => {
  expect(await prune(500)).toBe(0);
  expect(await prune(2500)).toBe(2);
  expect(await prune(2500)).toBe(0);
  expect(await prune(4500)).toBe(2);
  await store.audit.append(draft(10_000));
  expect(await list()).toEqual(["8 keys.create", "7 audit.prune", "6 audit.prune", "5 keys.create"]);
  expect((await store.audit.verify(null)).fault).toBeNull();
});

test("a time that went back keeps what stands behind it", async () => {
  await store.audit.append(draft(100));
  expect(await prune(4500)).toBe(4);
  expect(await list()).toEqual(["7 audit.prune", "6 keys.create", "5 keys.create"]);
});

test("the table gives nothing away but what retention has named", async () => {
  await prune(3500);
  await store.close();
  const database = new DatabaseSync(join(folder, "postern.db"));
  expect(() => database.exec("delete from audit where seq = 4")).toThrow(/append-only/);
  expect(() => database.exec("update audit set subject = 'x'")).toThrow(/append-only/);
  database.close();
  store = await openSqliteStore({ folder });
});

test("a beginning that somebody cut off is found, with a made-up base too", async () => {
  const fifth = await headOf(5);
  expect((await tamper("delete from audit where seq <= 2")).fault).toMatchObject({ seq: 1, reason: "it is missing" });
  const base = `${fifth.seq - 3} ${(await headOf(3)).hash}`;
  const set = `insert or replace into settings values ('audit.base', cast('${base}' as blob))`;
  expect((await tamper(set)).fault).not.toBeNull();
});

test("a base that fits the chain, without an entry that says so, is found", async () => {
  const third = await headOf(3);
  const { fault } = await tamper(
    `delete from audit where seq <= 3; insert or replace into settings values ('audit.base', cast('3 ${third.hash}' as blob))`,
  );
  expect(fault).toMatchObject({ seq: 3, reason: expect.stringContaining("no entry says") });
});
