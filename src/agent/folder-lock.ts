import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { PosternError } from "../errors.ts";

/** Ends with `release`, or with the process, however it dies. */
export interface FolderLock {
  /** Idempotent. */
  release(): void;
}

/**
 * Takes the agent's folder for this process: two agents with one identity would replace each other's links for ever.
 *
 * The lock is SQLite's on an empty file, held open for life (see storage/folder-lock.ts): the one file lock that Node has
 * on every platform, and one that no crash leaves behind.
 *
 * @throws PosternError `data_folder` when another agent runs there, or the file cannot be used.
 */
export function lockAgentFolder(folder: string): FolderLock {
  let file: DatabaseSync | null = null;
  try {
    file = new DatabaseSync(join(folder, "agent.lock"), { timeout: 0 });
    file.exec("begin exclusive");
  } catch (cause) {
    file?.close();
    const isTaken = ((cause as { errcode?: number }).errcode ?? 0) % 256 === SQLITE_BUSY;
    throw new PosternError("data_folder", {
      message: isTaken ? `Another agent is running with the folder "${folder}"` : `Cannot lock the folder "${folder}"`,
      hint: isTaken
        ? "Stop it first, or give this one a data folder of its own."
        : "Check who owns the folder, and the disk.",
      cause,
    });
  }
  const held = file;
  return {
    release: () => {
      if (held.isOpen) held.close();
    },
  };
}

const SQLITE_BUSY = 5;
