import { DatabaseSync } from "node:sqlite";
import { PosternError } from "../../errors.ts";

/** Marks a file as ours (`PRAGMA application_id`): "PSTN". */
const APPLICATION_ID = 0x5053544e;
/** Pages in the write-ahead log before it is copied back: 4 MiB, which a worker does in a few milliseconds. */
const CHECKPOINT_PAGES = 1000;
/** A long report lets the write-ahead log grow; afterwards it is cut back to this. */
const LOG_BYTES_KEPT = 16 * 1024 * 1024;

export interface DatabaseOptions {
  path: string;
  isReadOnly: boolean;
  /** How long SQLite waits for a lock that another program holds. */
  busyTimeoutMs: number;
}

/**
 * Opens the store's file with the settings that it relies on. The file exists already (mode 0600), perhaps empty.
 *
 * Commits are synced (`synchronous=FULL`): nothing on the request path waits for them, and a revocation, a used-up invitation
 * or the records of a journal file that is deleted next must not come back or vanish with the power. A commit costs one fsync.
 *
 * @throws PosternError `store_corrupt` for another program's database; SQLite's own errors otherwise.
 */
export function openDatabase({ path, isReadOnly, busyTimeoutMs }: DatabaseOptions): DatabaseSync {
  const database = new DatabaseSync(path, { readOnly: isReadOnly, timeout: busyTimeoutMs, defensive: true });
  try {
    if (!isReadOnly) {
      claim(database, path);
      if (readPragma(database, "journal_mode = wal") !== "wal") throw noWriteAheadLog(path);
      database.exec("pragma synchronous = full");
      database.exec(`pragma wal_autocheckpoint = ${CHECKPOINT_PAGES}`);
      database.exec(`pragma journal_size_limit = ${LOG_BYTES_KEPT}`);
    }
    database.exec("pragma trusted_schema = off");
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function claim(database: DatabaseSync, path: string): void {
  const id = readPragma(database, "application_id");
  if (id === APPLICATION_ID) return;
  const { tables } = database.prepare("select count(*) as tables from sqlite_schema").get() as { tables: number };
  if (id !== 0 || tables > 0) {
    throw new PosternError("store_corrupt", {
      message: `Cannot open the store at ${path}: it is the database of another program`,
      hint: "Move the file away, or choose another data folder with --data.",
      detail: { path, applicationId: id },
    });
  }
  database.exec(`pragma application_id = ${APPLICATION_ID}`);
}

function noWriteAheadLog(path: string): PosternError {
  return new PosternError("store_failed", {
    message: `Cannot open the store at ${path}: the file system has no shared memory for SQLite's write-ahead log`,
    hint: "Put the data folder on a local disk; network file systems do not work.",
    detail: { path },
  });
}

function readPragma(database: DatabaseSync, text: string): unknown {
  return Object.values(database.prepare(`pragma ${text}`).get() ?? {})[0];
}

/** Looks for damage in the whole file; null when there is none. Takes about a second per gigabyte that is in memory. */
export function findDamage(database: DatabaseSync): string | null {
  const found = readPragma(database, "quick_check(1)");
  return found === "ok" ? null : String(found);
}
