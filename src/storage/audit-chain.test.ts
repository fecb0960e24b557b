import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type AuditDraft, chainRow, NO_HEAD } from "./audit-chain.ts";
import { openSqliteStore } from "./sqlite/open-store.ts";
import type { AuditVerdict } from "./store.ts";

let folder: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "postern-audit-"));
  const store = await openSqliteStore({ folder });
  for (let at = 1; at <= 5; at += 1) await store.audit.append(draft(`key ${at}`));
  await store.close();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function draft(subject: string): AuditDraft {
  const actor = { kind: "socket", id: null, name: "uid 0", address: null };
  return { atMs: 1_700_000_000_000, actor, action: "keys.create", subject, before: null, after: { name: subject } };
}

/** Does what somebody with the file could do, and asks for a verdict. */
async function tamper(...statements: string[]): Promise<AuditVerdict> {
  const database = new DatabaseSync(join(folder, "postern.db"));
  database.exec("drop trigger audit_no_update; drop trigger audit_no_delete");
  for (const statement of statements) database.exec(statement);
  database.close();
  const store = await openSqliteStore({ folder });
  try {
    return await store.audit.verify(null);
  } finally {
    await store.close();
  }
}

/** An entry that somebody made up, with a hash that fits its content. */
function forged(seq: number, previous: string): string {
  const row = chainRow(draft("key forged"), { seq: seq - 1, hash: previous });
  return `update audit set body = '${row.body}', hash = '${row.hash}', subject = 'key forged' where seq = ${seq}`;
}

test("the table takes no change and no deletion", () => {
  const database = new DatabaseSync(join(folder, "postern.db"));
  expect(() => database.exec("update audit set subject = 'x' where seq = 1")).toThrow(/append-only/);
  expect(() => database.exec("delete from audit")).toThrow(/append-only/);
  database.close();
});

test("an untouched chain verifies", async () => {
  expect(await tamper()).toMatchObject({ entries: 5, head: { seq: 5 }, fault: null });
});

describe("verify() names the first bad entry after", () => {
  const EDIT = "update audit set body = replace(body, 'key 3', 'key 9') where seq = 3";
  const SWAP = ["update audit set seq = 99 where seq = 2", "update audit set seq = 2 where seq = 3"];
  test.each<[string, number, string[]]>([
    ["an edit", 3, [EDIT]],
    ["an edit of a column that is searched", 2, ["update audit set subject = 'key 9' where seq = 2"]],
    ["an edit of the actor", 4, ["update audit set actor = 'token x' where seq = 4"]],
    [
      "a body that is no entry",
      2,
      [
        "update audit set body = 'null', hash = '74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b' where seq = 2",
      ],
    ],
    ["a deletion", 3, ["delete from audit where seq = 3"]],
    ["a deletion of the first", 1, ["delete from audit where seq = 1"]],
    ["a deletion of the last", 5, ["delete from audit where seq = 5"]],
    ["a deletion of everything", 1, ["delete from audit"]],
    ["a reordering", 2, [...SWAP, "update audit set seq = 3 where seq = 99"]],
    ["an entry made up in the middle, with a hash of its own", 3, [forged(3, "0".repeat(64))]],
    [
      "a last entry that was replaced",
      5,
      [
        "delete from audit where seq = 5",
        "insert into audit select 5, at_ms, actor, action, subject, body, hash from audit where seq = 4",
      ],
    ],
  ])("%s", async (_what, seq, statements) => {
    expect((await tamper(...statements)).fault).toMatchObject({ seq });
  });
});

test("a chain that was written anew from the start needs an anchor to be found out", async () => {
  const store = await openSqliteStore({ folder });
  const { head: anchor } = await store.audit.verify(null);
  await store.close();
  let head = NO_HEAD;
  const rows = Array.from({ length: 5 }, (_, at) => {
    const row = chainRow(draft(`key invented ${at}`), head);
    head = row;
    return `insert into audit values (${row.seq}, ${row.at_ms}, '${row.actor}', '${row.action}', '${row.subject}', '${row.body}', '${row.hash}')`;
  });
  const kept = `update settings set value = cast('5 ${head.hash}' as blob) where name = 'audit.head'`;
  expect((await tamper("delete from audit", ...rows, kept)).fault).toBeNull();
  const again = await openSqliteStore({ folder });
  expect((await again.audit.verify(anchor)).fault).toMatchObject({
    seq: 5,
    reason: expect.stringContaining("rewritten"),
  });
  await again.close();
});
