import { join } from "node:path";
import { PosternError } from "../../../errors.ts";
import { installEngine } from "../install.ts";

/** One install for all tests of this clone, made on demand. Ignored by git, gone with `npm ci`. */
export const SHARED_ENGINE_FOLDER = join(import.meta.dirname, "../../../../node_modules/.cache/postern-embedded");

/**
 * Folder of the real engine, installed if it must be, or null, after saying so loudly, when there is no way to get it here.
 *
 * Only missing npm and an unreachable registry count as that; everything else is a fault and throws.
 */
export async function sharedEngine(): Promise<string | null> {
  try {
    return await installEngine({ folder: SHARED_ENGINE_FOLDER });
  } catch (error) {
    if (!(error instanceof PosternError) || !/npm was not found|could not be reached/.test(error.message)) throw error;
    process.stderr.write(`\n${"*".repeat(80)}\nSKIPPED: tests against the real llama.cpp. ${error.message}\n${"*".repeat(80)}\n\n`);
    return null;
  }
}
