import { PosternError } from "../errors.ts";

/** One thing that is wrong with the configuration: where, the rule, and what was seen. */
export interface ConfigFault {
  /** File, or the name of the environment variable or flag. */
  source: string;
  /** From 1; null where there is no file. */
  line: number | null;
  column: number | null;
  /** `gateway.limits.body`, `nodes.forge.url`; empty for the file as a whole. */
  path: string;
  /** `must be at least 1KiB`. */
  rule: string;
  /** As JSON, shortened, secrets masked; null where showing a value says nothing. */
  seen: string | null;
}

/** All faults at once, one line each, as a `config_invalid` error. `detail.faults` holds them for `--json`. */
export function configError(faults: readonly ConfigFault[]): PosternError {
  const ordered = faults.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
  const lines = ordered.map(formatFault);
  return new PosternError("config_invalid", {
    message:
      lines.length === 1
        ? `Cannot load the configuration: ${lines[0]}`
        : `Cannot load the configuration: ${lines.length} faults\n${lines.map((line) => `  ${line}`).join("\n")}`,
    hint: "Correct it and run `postern config check`; `postern config schema` and docs/reference/config.md say what may stand there.",
    detail: { faults: ordered },
  });
}

/** `postern.yaml:3:5: "gateway.limits.body" must be at least 1KiB, got "1B"`. */
function formatFault(fault: ConfigFault): string {
  const where = fault.line === null ? fault.source : `${fault.source}:${fault.line}:${fault.column ?? 1}`;
  const subject = fault.path === "" ? "" : `"${fault.path}" `;
  return `${where}: ${subject}${fault.rule}${fault.seen === null ? "" : `, got ${fault.seen}`}`;
}

const SECRET_NAMES = /^(?:api-?key|token|secret|password|passphrase|authorization)$/i;
const LONGEST_SEEN = 80;

/**
 * A value as a message may show it: JSON, shortened, `***` where the name says that it is a secret, and without the
 * credentials of a URL.
 *
 * @param name Last part of the value's path.
 */
export function showSeen(name: string, value: unknown): string {
  if (value === undefined) return "nothing";
  if (value !== null && typeof value === "object") return Array.isArray(value) ? "a list" : "a map";
  if (SECRET_NAMES.test(name) && value !== null) return "***";
  const text = typeof value === "string" ? maskCredentials(value) : String(value);
  const shown = text.length > LONGEST_SEEN ? `${text.slice(0, LONGEST_SEEN)}…` : text;
  return typeof value === "string" ? JSON.stringify(shown) : shown;
}

function maskCredentials(text: string): string {
  return text.replace(/\/\/[^/?#]*@/g, "//***@").replace(/\b(pstn?a?_|sk-|hf_)[A-Za-z0-9_-]{6,}/g, "$1***");
}
