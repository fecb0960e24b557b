import { join } from "node:path";
import { run } from "./children.ts";

/** Postern's launcher in the repository, which runs from source. */
export const POSTERN_SOURCE = join(import.meta.dirname, "../bin/postern.js");

/** Runs a Postern command with `--json` and returns its value. */
export async function postern(
  launcher: string,
  args: readonly string[],
  env: Record<string, string>,
  input = "",
): Promise<unknown> {
  const text = await run(`postern ${args[0]} ${args[1]}`, process.execPath, [launcher, ...args, "--json"], {
    env,
    input,
  });
  return JSON.parse(text);
}

/** Makes a key through a running gateway's socket and returns its token. */
export async function createKey(launcher: string, env: Record<string, string>): Promise<string> {
  const made = await postern(launcher, ["keys", "create", `bench-${Date.now().toString(36)}`], env);
  return readToken(made, "pst_");
}

/** The one text in a command's answer that starts so, wherever it stands. */
export function readToken(value: unknown, prefix: string): string {
  const found = new RegExp(`"(${prefix}[A-Za-z0-9_]+)"`).exec(JSON.stringify(value))?.[1];
  if (found === undefined) throw new Error(`no ${prefix}… in the answer`);
  return found;
}
