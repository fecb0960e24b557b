import { chmodSync, closeSync, existsSync, mkdirSync, openSync, readdirSync, statSync } from "node:fs";
import { PosternError } from "../errors.ts";

const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;
/** Bits that let a group or everybody in. */
const OTHERS = 0o077;

/**
 * Makes the folder of a store (mode 0700), or checks the one that is there. What it holds opens every door of the gateway, so
 * others must not even list it.
 *
 * A folder of ours, or an empty one, is tightened. One with other people's files in it is refused: closing `/tmp` or a home
 * folder because of a wrong flag would do more harm than good.
 *
 * @param ours Name of a file that proves that the folder belongs to a store.
 * @throws PosternError `data_folder`, or the file system's own error.
 */
export function prepareFolder(folder: string, ours: string): void {
  mkdirSync(folder, { recursive: true, mode: FOLDER_MODE });
  const state = statSync(folder);
  if (!state.isDirectory()) throw refused(folder, "it is not a folder", "Choose another one with --data.");
  if (process.platform === "win32" || (state.mode & OTHERS) === 0) return;
  const names = readdirSync(folder);
  if (names.length > 0 && !names.includes(ours)) {
    throw refused(
      folder,
      "other users may enter it and it holds other files",
      `Choose a folder of its own with --data, or close this one: chmod 700 ${folder}`,
    );
  }
  chmodSync(folder, FOLDER_MODE);
}

/** Makes an empty file with mode 0600 where there is none, and takes other users' rights away from one that is there. */
export function prepareFile(path: string): void {
  if (!existsSync(path)) closeSync(openSync(path, "a", FILE_MODE));
  if (process.platform !== "win32" && (statSync(path).mode & OTHERS) !== 0) chmodSync(path, FILE_MODE);
}

function refused(folder: string, why: string, hint: string): PosternError {
  return new PosternError("data_folder", {
    message: `Cannot use the data folder ${folder}: ${why}`,
    hint,
    detail: { folder },
  });
}
