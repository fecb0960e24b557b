import { DatabaseSync } from "node:sqlite";

/** A lock that is held. Ends with `release`, or with the process, however it dies. */
export interface FileLock {
  /** Idempotent. */
  release(): void;
}

/** Primary result code of a file that somebody else holds. Extended codes carry it in their low byte. */
const SQLITE_BUSY = 5;

/**
 * Takes a file for this process, or returns null when another process, or another part of this one, has it.
 *
 * The lock is SQLite's own on an empty file, held open for life: the only file lock that Node has on every platform, and the
 * kernel drops it with the process. On POSIX it also goes when this process closes *any* descriptor of that file, so nothing
 * else may open it.
 *
 * @param path Made when it is not there.
 * @throws SQLite's own errors when the file cannot be used.
 */
export function lockFile(path: string): FileLock | null {
  const file = new DatabaseSync(path, { timeout: 0 });
  try {
    file.exec("begin exclusive");
  } catch (error) {
    file.close();
    if (((error as { errcode?: number }).errcode ?? 0) % 256 === SQLITE_BUSY) return null;
    throw error;
  }
  return {
    release() {
      if (file.isOpen) file.close();
    },
  };
}
