import { closeSync, existsSync, linkSync, openSync, renameSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname } from "node:path";
import { PosternError } from "../../errors.ts";

/**
 * Makes a file that is either whole or not there: `write` fills an empty file of mode 0600 beside it, which is synced and then
 * takes the name.
 *
 * @param path The name it gets. An existing file is never touched.
 * @param write Fills the empty file it is given.
 * @throws PosternError `already_exists` when there is such a file, before or after writing.
 */
export async function writeWhole(path: string, write: (emptyFile: string) => Promise<void>): Promise<void> {
  if (existsSync(path)) throw exists(path);
  const partial = `${path}.partial-${process.pid}`;
  rmSync(partial, { force: true });
  try {
    closeSync(openSync(partial, "wx", 0o600));
    await write(partial);
    await sync(partial);
    takeName(partial, path);
    await sync(dirname(path)).catch(() => undefined);
  } finally {
    for (const suffix of ["", "-journal", "-wal", "-shm"]) rmSync(partial + suffix, { force: true });
  }
}

/** A hard link refuses an existing name atomically; a rename would replace it. File systems without links get the rename. */
function takeName(partial: string, path: string): void {
  try {
    linkSync(partial, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST" || existsSync(path)) throw exists(path);
    renameSync(partial, path);
  }
}

async function sync(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

function exists(path: string): PosternError {
  return new PosternError("already_exists", {
    message: `Cannot write the backup: ${path} exists`,
    hint: "Name a file that does not exist yet.",
    detail: { path },
  });
}
