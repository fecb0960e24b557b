import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { Kysely } from "kysely";
import { afterEach, beforeEach, expect, it } from "vitest";
import { readPolicy } from "../access/policy.ts";
import { SQLITE_TYPES } from "./column-types.ts";
import { closedLine, encodeOpened } from "./journal-line.ts";
import { migrate } from "./migrate.ts";
import { MIGRATIONS } from "./migrations.ts";
import type { Tables } from "./schema.ts";
import { createSqliteDialect } from "./sqlite/dialect.ts";
import { openDatabase } from "./sqlite/open-database.ts";
import { openSqliteStore } from "./sqlite/open-store.ts";

const DAY = 20_000;
const NOON_MS = (DAY + 0.5) * 86_400_000;

let folder: string;
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), "postern-migrations-")), "data");
  mkdirSync(folder, { mode: 0o700 });
});
afterEach(() => rmSync(join(folder, ".."), { recursive: true, force: true }));

const path = () => join(folder, "postern.db");

/** A store as the given version left it, with one request, its attempt and its rollup. */
async function makeStore(version: number): Promise<void> {
  const database = openDatabase({ path: path(), isReadOnly: false, busyTimeoutMs: 1_000 });
  const db = new Kysely<Tables>({ dialect: createSqliteDialect(database, { isReadOnly: false }) });
  await migrate(db, SQLITE_TYPES, 1, MIGRATIONS.slice(0, version));
  database.exec(`insert into requests (id, endpoint_id, key_id, operation, model, is_stream, opened_at_ms, request_bytes,
      closed_at_ms, outcome, status, error_code, tokens_in, tokens_in_cached, tokens_out, is_estimated, time_to_first_token_ms,
      duration_ms, cost_micros, served_by, generation_tokens, generation_ms)
    values ('old', 'default', 'k', 'openai.chat', 'demo', 1, ${NOON_MS}, 400, ${NOON_MS}, 'ok', 200, null, 10, 2, 21, 0, 50,
      1050, 0, 'node/a', 20, 1000)`);
  database.exec(`insert into attempts values ('old', 0, 'a1', 'node/a', null, 'ollama', 'demo', ${NOON_MS}, ${NOON_MS}, 200,
      null, 9)`);
  database.exec(`insert into daily_usage (day, endpoint_id, key_id, model, served_by, requests, failed, aborted, estimated,
      tokens_in, tokens_in_cached, tokens_out, first_token_count, first_token_ms, generation_tokens, generation_ms, cost_micros)
    values (${DAY}, 'default', 'k', 'demo', 'node/a', 1, 0, 0, 0, 10, 2, 21, 1, 50, 20, 1000, 0)`);
  await db.destroy();
  if (database.isOpen) database.close();
}

function columns(table: string): string[] {
  const database = new DatabaseSync(path(), { readOnly: true });
  try {
    return database
      .prepare(`select name from pragma_table_info('${table}')`)
      .all()
      .map((row) => String(row["name"]));
  } finally {
    database.close();
  }
}

it("version 1 is what was released: it is never changed, only followed", async () => {
  await makeStore(1);
  expect(columns("requests").join()).toBe(
    "id,endpoint_id,key_id,operation,model,is_stream,opened_at_ms,request_bytes,closed_at_ms,outcome,status,error_code," +
      "tokens_in,tokens_in_cached,tokens_out,is_estimated,time_to_first_token_ms,duration_ms,cost_micros,served_by," +
      "generation_tokens,generation_ms",
  );
  expect(columns("daily_usage").join()).toBe(
    "day,endpoint_id,key_id,model,served_by,requests,failed,aborted,estimated,tokens_in,tokens_in_cached,tokens_out," +
      "first_token_count,first_token_ms,generation_tokens,generation_ms,cost_micros",
  );
});

it("a store of version 1 opens with its rows, which have no word of thinking, and takes new ones into the same sums", async () => {
  await makeStore(1);
  const store = await openSqliteStore({ folder });
  try {
    const old = await store.usage.request("old");
    expect(old).toMatchObject({ tokensOut: 21, tokensReasoning: null, attempts: [{ id: "a1" }] });
    expect(old).toMatchObject({ workflow: null, contingency: null, fallback: null });
    if (old === null) throw new Error("the row of version 1 is gone");
    const { attempts, ...closed } = { ...old, id: "new", tokensReasoning: 7 };
    const opened = encodeOpened({ ...closed });
    const line = closedLine(opened, { ...closed, attempts });
    expect(await store.usage.ingest(new Uint8Array(Buffer.from(line)))).toMatchObject({ taken: 1 });
    expect(await store.usage.request("new")).toMatchObject({ tokensOut: 21, tokensReasoning: 7 });
    // The whole day comes from the rollup, which both versions wrote; half of it from the rows.
    for (const sinceMs of [0, NOON_MS - 1]) {
      const untilMs = sinceMs === 0 ? Number.MAX_SAFE_INTEGER : NOON_MS + 1;
      expect(await store.usage.report({ by: "model", sinceMs, untilMs })).toMatchObject([
        { group: "demo", requests: 2, tokensOut: 42, tokensReasoning: 7 },
      ]);
    }
  } finally {
    await store.close();
  }
});

it("keys of version 1 keep what they could do, as a policy, and may name a node as before", async () => {
  await makeStore(1);
  const database = new DatabaseSync(path());
  const insert = database.prepare(
    "insert into keys (id, name, hash, endpoint_id, models, created_at_ms, expires_at_ms, revoked_at_ms) values (?, ?, ?, ?, ?, ?, ?, ?)",
  );
  const hash = new Uint8Array(32).fill(1);
  insert.run("a", "all", hash, "default", null, 1, null, null);
  insert.run("b", "some", hash, "default", '["llama*"]', 2, 5000, 7);
  insert.run("c", "damaged", hash, "team", "{", 3, null, null);
  database.close();
  const store = await openSqliteStore({ folder });
  try {
    const keys = await store.keys.list();
    expect(keys.map(({ policy }) => readPolicy(JSON.parse(policy)).policy)).toEqual([
      { version: 1, mayPin: true },
      { version: 1, models: ["llama*"], mayPin: true, expiresAtMs: 5000 },
      { version: 1, endpoints: ["team"], models: [], mayPin: true },
    ]);
    expect(keys[1]).toMatchObject({ name: "some", hash, revokedAtMs: 7, disabledAtMs: null, previousHash: null });
    expect(columns("keys")).not.toContain("models");
  } finally {
    await store.close();
  }
});
