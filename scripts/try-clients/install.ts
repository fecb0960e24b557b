import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { TriedClient } from "./client.ts";

const run = promisify(execFile);
const INSTALL_LIMIT_MS = 10 * 60_000;

/**
 * Installs a client into a folder of its own below `cache`, once. Without install scripts; whole or not at all.
 *
 * @returns the folder: `node_modules` of an npm package, a Python environment of pip's.
 */
export async function install({ from }: TriedClient, cache: string): Promise<string> {
  const packages = "npm" in from ? [from.npm] : [...from.pip];
  const folder = join(cache, packages.join("+").replace(/[^\w.@+-]/g, "_"));
  if (existsSync(folder)) return folder;
  const options = { timeout: INSTALL_LIMIT_MS, maxBuffer: 2 ** 26 };
  await mkdir(cache, { recursive: true });
  if ("npm" in from) {
    const half = `${folder}.half`;
    await rm(half, { recursive: true, force: true });
    await mkdir(half);
    await run(
      "npm",
      ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", half, ...packages],
      options,
    );
    await rename(half, folder);
  } else {
    // An environment of Python's knows its own path, so that it cannot be moved into place.
    try {
      await run("python3", ["-m", "venv", folder], options);
      await run(join(folder, "bin", "pip"), ["install", "--quiet", ...packages], options);
    } catch (error) {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }
  }
  return folder;
}
