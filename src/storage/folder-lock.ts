import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { PosternError } from "../errors.ts";
import { prepareFile } from "./folder.ts";

/** Exactly one process owns a data folder. Ends with `release`, or with the process, however it dies. */
export interface FolderLock {
  /** Idempotent. */
  release(): void;
}

const LOCK_FILE = "postern.lock";
const OWNER_FILE = "postern.pid";

/**
 * Takes the data folder for this process.
 *
 * The lock is SQLite's own on an empty file, held open for life: the only file lock that Node has on every platform, and the
 * kernel drops it with the process. On POSIX it also goes when this process closes *any* descriptor of that file, so nothing
 * else may open it. The process id lies in a file beside it only for the message.
 *
 * @throws PosternError `store_locked` when another process, or another part of this one, has the folder; SQLite's own errors
 *   when the file cannot be used.
 */
export function lockFolder(folder: string): FolderLock {
  const path = join(folder, LOCK_FILE);
  prepareFile(path);
  const file = new DatabaseSync(path, { timeout: 0 });
  try {
    file.exec("begin exclusive");
  } catch (error) {
    file.close();
    if (((error as { errcode?: number }).errcode ?? 0) % 256 === 5) throw taken(folder);
    throw error;
  }
  writeFileSync(join(folder, OWNER_FILE), `${process.pid}\n`, { mode: 0o600 });
  return {
    release: () => {
      if (file.isOpen) file.close();
    },
  };
}

function taken(folder: string): PosternError {
  const pid = ownerOf(folder);
  const who = pid === null ? "another process" : pid === process.pid ? "this process already" : `process ${pid}`;
  return new PosternError("store_locked", {
    message: `Cannot open the store in ${folder}: ${who} is using it`,
    hint: "Stop that gateway first, or use the commands that talk to it while it runs.",
    detail: { folder, pid },
  });
}

function ownerOf(folder: string): number | null {
  try {
    const pid = Number.parseInt(readFileSync(join(folder, OWNER_FILE), "utf8"), 10);
    return Number.isSafeInteger(pid) ? pid : null;
  } catch {
    return null;
  }
}
