import { type ErrorCode, PosternError } from "../../errors.ts";

/** Primary result codes of SQLite (https://www.sqlite.org/rescode.html) that mean something of their own to an operator. */
const BUSY = 5;
const LOCKED = 6;
const READONLY = 8;
const IOERR = 10;
const CORRUPT = 11;
const FULL = 13;
const CANTOPEN = 14;
const NOTADB = 26;
/** The shared-memory file beside the database could not grow: that is what a full disk looks like there. */
const IOERR_SHMSIZE = 4874;

/**
 * Puts a failure of SQLite or of the file system into one of the `store_*` codes, in plain words with the next step.
 * Errors of ours pass unchanged.
 *
 * @param action What was being done, as in "open the store".
 * @param path The database file, for the operator; never part of an answer to a caller.
 */
export function toStoreError(error: unknown, action: string, path: string): PosternError {
  if (error instanceof PosternError) return error;
  const code = storeCodeOf(error);
  const { why, hint } = WORDS[code];
  return new PosternError(code, {
    message: `Cannot ${action} at ${path}: ${why ?? reasonOf(error)}`,
    hint: hint(path),
    detail: { path, reason: reasonOf(error), ...numberOf(error) },
    cause: error,
  });
}

type StoreCode = Extract<ErrorCode, `store_${string}`>;

function storeCodeOf(error: unknown): Exclude<StoreCode, "store_newer"> {
  const { errcode, code } = error as { errcode?: unknown; code?: unknown };
  if (typeof errcode === "number") {
    if (errcode === IOERR_SHMSIZE) return "store_full";
    switch (errcode & 0xff) {
      case BUSY:
      case LOCKED:
        return "store_locked";
      case READONLY:
      case CANTOPEN:
        return "store_readonly";
      case CORRUPT:
      case NOTADB:
        return "store_corrupt";
      case FULL:
        return "store_full";
      case IOERR:
        return "store_failed";
      default:
        return "store_failed";
    }
  }
  switch (code) {
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return "store_readonly";
    case "ENOSPC":
    case "EDQUOT":
      return "store_full";
    default:
      return "store_failed";
  }
}

const WORDS: Record<Exclude<StoreCode, "store_newer">, { why: string | null; hint: (path: string) => string }> = {
  store_locked: {
    why: "another process is using it",
    hint: () => "Stop the other gateway or the program that has the file open, then try again.",
  },
  store_readonly: {
    why: "the file or its folder cannot be written by this user",
    hint: () => "Give this user the folder and the files in it (chown, chmod 700), or choose another one with --data.",
  },
  store_corrupt: {
    why: "the file is damaged, or is not a SQLite database",
    hint: (path) =>
      `Move ${path} and the files beside it (-wal, -shm) away and restore a backup, or start with an empty one.`,
  },
  store_full: {
    why: "the disk is full",
    hint: () => "Free some space on that disk. Serving goes on meanwhile, and nothing has to be restarted afterwards.",
  },
  store_failed: {
    why: null,
    hint: () => "Look at the disk (dmesg, SMART, quota). `postern doctor` shows more.",
  },
};

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function numberOf(error: unknown): { sqlite?: number } {
  const { errcode } = error as { errcode?: unknown };
  return typeof errcode === "number" ? { sqlite: errcode } : {};
}
