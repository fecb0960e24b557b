import { join } from "node:path";
import { PosternError } from "../errors.ts";
import { type FileLock, lockFile } from "../lib/file-lock.ts";

/**
 * Takes the agent's folder for this process: two agents with one identity would replace each other's links for ever.
 *
 * @throws PosternError `data_folder` when another agent runs there, or the file cannot be used.
 */
export function lockAgentFolder(folder: string): FileLock {
  let lock: FileLock | null;
  try {
    lock = lockFile(join(folder, "agent.lock"));
  } catch (cause) {
    throw new PosternError("data_folder", {
      message: `Cannot lock the folder "${folder}"`,
      hint: "Check who owns the folder, and the disk.",
      cause,
    });
  }
  if (lock !== null) return lock;
  throw new PosternError("data_folder", {
    message: `Another agent is running with the folder "${folder}"`,
    hint: "Stop it first, or give this one a data folder of its own.",
  });
}
