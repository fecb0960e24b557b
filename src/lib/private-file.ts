import {
  chmodSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { PosternError } from "../errors.ts";

/**
 * Makes a folder that only its owner may enter (0700), or takes that right from others where it exists.
 *
 * @throws PosternError `data_folder`.
 */
export function makePrivateFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    if (process.platform !== "win32") chmodSync(folder, 0o700);
  } catch (cause) {
    throw failure("make", folder, cause);
  }
}

/**
 * Replaces a file that only its owner may read (0600): written beside it, synced and renamed, so that after a crash at any
 * moment either the old or the new content is there, whole.
 *
 * @throws PosternError `data_folder`.
 */
export function writePrivateFile(path: string, bytes: string | Uint8Array): void {
  const beside = `${path}.${process.pid}.new`;
  try {
    const file = openSync(beside, "w", 0o600);
    try {
      writeSync(file, typeof bytes === "string" ? Buffer.from(bytes, "utf8") : bytes);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(beside, path);
    syncFolder(dirname(path));
  } catch (cause) {
    rmSync(beside, { force: true });
    throw failure("write", path, cause);
  }
}

/**
 * The content of a file, or null where there is none.
 *
 * @throws PosternError `data_folder`.
 */
export function readPrivateFile(path: string): Buffer | null {
  try {
    const bytes = readFileSync(path);
    if (process.platform !== "win32") chmodSync(path, 0o600);
    return bytes;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw failure("read", path, cause);
  }
}

// The rename itself must be on the disk too. Windows has no handle for that.
function syncFolder(folder: string): void {
  if (process.platform === "win32") return;
  const handle = openSync(folder, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

function failure(action: string, path: string, cause: unknown): PosternError {
  const code = (cause as NodeJS.ErrnoException).code ?? "unknown";
  return new PosternError("data_folder", {
    message: `Cannot ${action} "${path}" (${code})`,
    hint: "The user who runs Postern must own the data folder, and the disk must have room.",
    cause,
  });
}
