import { readFileSync, statSync } from "node:fs";
import { PosternError } from "../errors.ts";
import { Secret } from "../lib/secret.ts";
import { usageError } from "./invocation.ts";

/** Keys and invitations are about a hundred characters. */
const MAX_SECRET_BYTES = 4096;

/** A secret from a file, or from standard input when the path is `-`. @throws PosternError `usage` or `invalid_input`. */
export async function readSecretFile(path: string, what: string): Promise<Secret> {
  const text = path === "-" ? await readStandardInput(what) : readFile(path, what);
  if (text.trim() === "")
    throw new PosternError("invalid_input", { message: `${path === "-" ? "Standard input" : path} holds no ${what}` });
  return new Secret(text.trim());
}

/** A new password: from a file, or asked for twice on a terminal. Never an argument, which every user of a machine can read. */
export async function readPassword(path: string | undefined): Promise<Secret> {
  if (path !== undefined) return readSecretFile(path, "password");
  if (!process.stdin.isTTY) {
    throw usageError(
      "A password is needed",
      "On a terminal it is asked for; otherwise say --password-file PATH, or - for standard input.",
    );
  }
  const { isCancel, password } = await import("@clack/prompts");
  const ask = (message: string) => password({ message, output: process.stderr });
  const first = await ask("Password, 12 characters or more");
  const second = isCancel(first) ? first : await ask("Again");
  if (isCancel(first) || isCancel(second)) throw usageError("No password was given");
  if (first !== second) throw usageError("The two passwords differ");
  return new Secret(first);
}

function readFile(path: string, what: string): string {
  try {
    if (statSync(path).size > MAX_SECRET_BYTES) throw usageError(`${path} is too large to be a ${what}`);
    return readFileSync(path, "utf8");
  } catch (cause) {
    if (cause instanceof PosternError) throw cause;
    const { code } = cause as NodeJS.ErrnoException;
    throw new PosternError("invalid_input", {
      message: `Cannot read the ${what} from ${path} (${code ?? "unknown reason"})`,
      cause,
    });
  }
}

async function readStandardInput(what: string): Promise<string> {
  if (process.stdin.isTTY) process.stderr.write(`Paste the ${what} and press Enter, then Ctrl-D:\n`);
  let text = "";
  process.stdin.setEncoding("utf8");
  for await (const piece of process.stdin) {
    text += piece;
    if (text.length > MAX_SECRET_BYTES) throw usageError(`Standard input is too large to be a ${what}`);
  }
  return text;
}
