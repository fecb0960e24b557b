import { createHash } from "node:crypto";
import { lstatSync, mkdirSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join, resolve } from "node:path";
import { PosternError } from "../errors.ts";

/** Longest path of a unix socket that every platform takes (macOS: 104 bytes with the ending zero). */
const MAX_SOCKET_PATH_BYTES = 103;

/**
 * Where the admin socket of a data folder is: `admin.sock` in it; a named pipe on Windows; and where that path is too long
 * for a socket, a file in a private folder of the temporary folder.
 *
 * @throws PosternError `data_folder` when that private folder belongs to somebody else or is open to others.
 */
export function adminSocketPath(dataFolder: string): string {
  const folder = resolve(dataFolder);
  const digest = createHash("sha256").update(folder).digest("hex").slice(0, 16);
  if (process.platform === "win32") return `\\\\.\\pipe\\postern-${digest}`;
  const path = join(folder, "admin.sock");
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return path;
  return join(privateTemporaryFolder(), `${digest}.sock`);
}

function privateTemporaryFolder(): string {
  const { uid } = userInfo();
  const folder = join(tmpdir(), `postern-${uid}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const found = lstatSync(folder);
  if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o077) !== 0) {
    throw new PosternError("data_folder", {
      message: `Cannot use ${folder} for the admin socket: it is not a private folder of this user`,
      hint: "Remove it, or choose a data folder with a shorter path.",
    });
  }
  return folder;
}
