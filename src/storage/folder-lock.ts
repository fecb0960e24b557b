import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PosternError } from "../errors.ts";
import { type FileLock, lockFile } from "../lib/file-lock.ts";
import { prepareFile } from "./folder.ts";

const LOCK_FILE = "postern.lock";
const OWNER_FILE = "postern.pid";

/**
 * Takes the data folder for this process: exactly one owns it. The process id lies in a file beside the lock, only for the
 * message.
 *
 * @throws PosternError `store_locked` when another process, or another part of this one, has the folder; SQLite's own errors
 *   when the file cannot be used.
 */
export function lockFolder(folder: string): FileLock {
  const path = join(folder, LOCK_FILE);
  prepareFile(path);
  const lock = lockFile(path);
  if (lock === null) throw taken(folder);
  writeFileSync(join(folder, OWNER_FILE), `${process.pid}\n`, { mode: 0o600 });
  return lock;
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
