import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { keyRecord } from "../../../test/support/key-record.ts";
import type { KeyRecord } from "../../access/key.ts";
import { PosternError } from "../../errors.ts";
import type { Store } from "../store.ts";
import { openSqliteStore, type SqliteStoreOptions } from "./open-store.ts";

let folder: string;
let store: Store | null;

beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), "postern-sqlite-")), "data");
  store = null;
});

afterEach(async () => {
  await store?.close();
  rmSync(join(folder, ".."), { recursive: true, force: true });
});

async function open(options: Partial<SqliteStoreOptions> = {}): Promise<Store> {
  store = await openSqliteStore({ folder, ...options });
  return store;
}

async function refusal(options: Partial<SqliteStoreOptions> = {}): Promise<PosternError> {
  const error: unknown = await open(options).then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(PosternError);
  expect((error as PosternError).hint).toBeTruthy();
  return error as PosternError;
}

const path = () => join(folder, "postern.db");

function key(id: string): KeyRecord {
  return keyRecord({ id, createdAtMs: 1 });
}

describe("openSqliteStore() looks at the folder", () => {
  it("and makes it 0700 with files of 0600, the write-ahead log included", async () => {
    await (await open()).keys.insert(key("a"));
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(folder))
      expect([name, statSync(join(folder, name)).mode & 0o777]).toEqual([name, 0o600]);
    expect(readdirSync(folder)).toContain("postern.db-wal");
  });

  // On a machine under load the reader's connection was the last to close now and then, and left the log in the folder.
  it("and leaves nothing but the file there, whichever of its threads is slow to end", async () => {
    const one = await open();
    await one.keys.insert(key("a"));
    // Starts the reader's thread, and is not waited for.
    const reading = one.usage.report({ by: "key", sinceMs: 0, untilMs: 1 });
    await one.close();
    expect(await reading).toEqual([]);
    expect(readdirSync(folder).filter((name) => name.startsWith("postern.db-"))).toEqual([]);
  });

  it("and closes one of ours that was opened up, files too", async () => {
    await (await open()).close();
    chmodSync(folder, 0o755);
    chmodSync(path(), 0o644);
    await open();
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(statSync(path()).mode & 0o777).toBe(0o600);
  });

  it("and refuses one with other files that others may enter, without touching it", async () => {
    mkdirSync(folder, { mode: 0o755 });
    writeFileSync(join(folder, "thesis.txt"), "");
    expect((await refusal()).code).toBe("data_folder");
    expect(statSync(folder).mode & 0o777).toBe(0o755);
    expect(readdirSync(folder)).toEqual(["thesis.txt"]);
  });

  it("and says so when it is a file", async () => {
    writeFileSync(folder, "");
    expect((await refusal()).message).toContain(folder);
  });
});

describe("openSqliteStore() refuses, in plain words and without changing anything,", () => {
  it("a file that is not a database", async () => {
    mkdirSync(folder, { mode: 0o700 });
    writeFileSync(path(), "Dear diary, ".repeat(1_000));
    const error = await refusal();
    expect(error.code).toBe("store_corrupt");
    expect(error.message).toContain(path());
    expect(readFileSync(path(), "utf8").startsWith("Dear diary")).toBe(true);
  });

  it("the database of another program", async () => {
    mkdirSync(folder, { mode: 0o700 });
    const other = new DatabaseSync(path());
    other.exec("create table songs (name text)");
    other.close();
    const error = await refusal();
    expect(error.code).toBe("store_corrupt");
    expect(error.message).toContain("another program");
    const after = new DatabaseSync(path());
    expect(after.prepare("select name from sqlite_schema").all()).toEqual([{ name: "songs" }]);
    after.close();
  });

  it("a damaged file, and finds damage in a large one after it has opened", async () => {
    const first = await open();
    for (let index = 0; index < 20; index += 1) await first.settings.set(`s${index}`, new Uint8Array(40_000));
    await first.close();
    const bytes = readFileSync(path());
    bytes.fill(0x5a, 300_000, 330_000);
    writeFileSync(path(), bytes);
    const error = await refusal();
    expect(error.code).toBe("store_corrupt");
    expect(error.hint).toContain("backup");
    const late = await open({ checkBeforeOpenBytes: 0 });
    await expect.poll(() => late.health(), { timeout: 5_000, interval: 20 }).toContain("damaged");
  });

  it("a schema newer than this program", async () => {
    await (await open()).close();
    const database = new DatabaseSync(path());
    database.exec("insert into schema_versions values (999, 'future', 0)");
    database.close();
    const error = await refusal();
    expect(error.code).toBe("store_newer");
    expect(error.message).toContain("999");
  });

  it("a folder that another process holds, until that process dies", async () => {
    const holder = spawn(process.execPath, ["--input-type=module", "--eval", HOLD_SCRIPT, import.meta.url, folder], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      await new Promise((resolve) => holder.stdout.once("data", resolve));
      const error = await refusal();
      expect(error.code).toBe("store_locked");
      expect(error.message).toContain(`process ${holder.pid}`);
    } finally {
      holder.kill("SIGKILL");
      await new Promise((resolve) => holder.once("exit", resolve));
    }
    expect((await open()).keys).toBeDefined();
  });

  it("a folder that this process holds already", async () => {
    const first = await open();
    expect((await refusal()).message).toContain("this process");
    await first.close();
    await open();
  });
});

const HOLD_SCRIPT = `
const { openSqliteStore } = await import(new URL("./open-store.ts", process.argv[1]));
await openSqliteStore({ folder: process.argv[2] });
process.stdout.write("held");
setInterval(() => {}, 1000);
`;

const mounts: string[] = [];

/** A file system of its own: its size is a real end, and read-only is real even for root. Null where this process may not mount. */
function mountSmallDisk(size: string): string | null {
  const place = mkdtempSync(join(tmpdir(), "postern-disk-"));
  if (spawnSync("mount", ["-t", "tmpfs", "-o", `size=${size},mode=0700`, "tmpfs", place]).status !== 0) {
    rmSync(place, { recursive: true });
    return null;
  }
  mounts.push(place);
  return place;
}

afterEach(() => {
  for (const place of mounts.splice(0)) {
    spawnSync("umount", ["-l", place]);
    rmSync(place, { recursive: true, force: true });
  }
});

/** Loud, because a skipped fault is a promise that nobody checked here. */
function skipLoudly(context: { skip: (note: string) => never }, what: string): never {
  process.stderr.write(`\nSKIPPED: ${what} needs the right to mount a tmpfs\n`);
  return context.skip("no right to mount a tmpfs");
}

describe("on a disk of its own", () => {
  it("a read-only file system is refused in plain words", async (context) => {
    const place = mountSmallDisk("4m") ?? skipLoudly(context, "the read-only store");
    folder = join(place, "data");
    await (await open()).close();
    spawnSync("mount", ["-o", "remount,ro", place]);
    const error = await refusal();
    expect(error.code).toBe("store_readonly");
    expect(error.message).toContain("cannot be written");
  });

  it("a full disk fails writes only, corrupts nothing, and is over when there is room again", async (context) => {
    const place = mountSmallDisk("4m") ?? skipLoudly(context, "the full disk");
    folder = join(place, "data");
    const full = await open();
    await full.keys.insert(key("before"));
    const filler = join(place, "filler");
    fill(filler);
    const failures: unknown[] = [];
    for (let index = 0; index < 50; index += 1) {
      await full.settings.set(`s${index}`, new Uint8Array(50_000)).catch((error: unknown) => failures.push(error));
    }
    expect(failures.length).toBeGreaterThan(0);
    for (const error of failures) expect(error).toMatchObject({ code: "store_full" });
    expect(await full.health()).toContain("full");
    expect((await full.keys.list()).map((one) => one.id)).toEqual(["before"]);
    rmSync(filler);
    expect(await full.health()).toBeNull();
    await full.keys.insert(key("later"));
    await full.close();
    expect((await (await open()).keys.list()).map((one) => one.id)).toEqual(["before", "later"]);
  });

  function fill(file: string): void {
    for (let size = 1 << 20; size > 0; ) {
      try {
        writeFileSync(file, Buffer.alloc(size), { flag: "a" });
      } catch {
        size >>= 1;
      }
    }
  }
});

describe("while another program holds the file", () => {
  it("a write waits so long and no longer, reports go on, and the next write works", async () => {
    const one = await open({ busyTimeoutMs: 50 });
    const other = new DatabaseSync(path());
    other.exec("begin immediate");
    await expect(one.keys.insert(key("a"))).rejects.toMatchObject({ code: "store_locked" });
    expect(await one.health()).toContain("another process");
    expect(await one.usage.report({ by: "day", sinceMs: 0, untilMs: 1 })).toEqual([]);
    other.exec("rollback");
    other.close();
    await one.keys.insert(key("a"));
    expect(await one.health()).toBeNull();
  });
});

describe("backup()", () => {
  it("writes one file of mode 0600 and nothing beside it", async () => {
    const one = await open();
    await one.keys.insert(key("a"));
    const target = join(folder, "..", "copy.db");
    await one.backup(target);
    expect(statSync(target).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(folder, "..")).sort()).toEqual(["copy.db", "data"]);
  });

  it("never touches a file that exists", async () => {
    const one = await open();
    const target = join(folder, "..", "copy.db");
    writeFileSync(target, "precious");
    await expect(one.backup(target)).rejects.toMatchObject({ code: "already_exists" });
    expect(readFileSync(target, "utf8")).toBe("precious");
  });

  it("leaves nothing when it cannot be written, and says why", async () => {
    const one = await open();
    await expect(one.backup(join(folder, "nowhere", "copy.db"))).rejects.toBeInstanceOf(PosternError);
    expect(existsSync(join(folder, "nowhere"))).toBe(false);
    expect(await one.health()).toBeNull();
  });
});
