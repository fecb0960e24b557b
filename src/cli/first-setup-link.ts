import type { AdminClient } from "../admin/client.ts";
import { PosternError } from "../errors.ts";
import type { Output } from "./output.ts";

/**
 * The link with which the first user is made in a browser, on the one start that shows it; null on every other.
 *
 * Only for a terminal: what a service prints is kept in a log, and the link makes an owner.
 */
export async function firstSetupLink(admin: AdminClient, output: Output): Promise<string | null> {
  if (output.isJson || !output.isTerminal) return null;
  try {
    return (await admin.createSetupLink(true)).url;
  } catch (error) {
    if (error instanceof PosternError && error.code === "already_exists") return null;
    throw error;
  }
}
