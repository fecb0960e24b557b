/** The two headers of Anthropic's dialect, as the caller sent them. */
export interface AnthropicHeaders {
  version: string | null;
  /** Comma-separated names. */
  beta: string | null;
}

/** What we say where the caller said none, or another dialect: the version whose words translations write (reference: engine-apis §3.3, 19). */
export const OWN_VERSION = "2023-06-01";

/**
 * Betas that change how an answer is made, and reach nothing else: no tools that run there, no files, no other hosts, no
 * dearer price. A `*` at the end stands for the date.
 */
const HARMLESS_BETAS = [
  "claude-code-*",
  "context-management-*",
  "effort-*",
  "extended-cache-ttl-*",
  "fine-grained-tool-streaming-*",
  "interleaved-thinking-*",
  "output-128k-*",
  "prompt-caching-*",
  "structured-outputs-*",
  "token-counting-*",
  "token-efficient-tools-*",
] as const;

const VERSION = /^\d{4}-\d{2}-\d{2}$/;
const BETA = /^[a-z0-9-]{1,64}$/;
/** Most betas that are passed on. */
const MAX_BETAS = 16;

/** Headers for Anthropic: the caller's version, never another one, and its betas as far as they are allowed. */
export function anthropicHeaders(
  { version, beta }: AnthropicHeaders,
  alsoAllowed: readonly string[],
): Record<string, string> {
  const headers: Record<string, string> = {
    "anthropic-version": version !== null && VERSION.test(version) ? version : OWN_VERSION,
  };
  const allowed = (beta ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter((name) => BETA.test(name) && [...HARMLESS_BETAS, ...alsoAllowed].some((rule) => fits(rule, name)));
  if (allowed.length > 0) headers["anthropic-beta"] = [...new Set(allowed)].slice(0, MAX_BETAS).join(",");
  return headers;
}

function fits(rule: string, name: string): boolean {
  return rule.endsWith("*") ? name.startsWith(rule.slice(0, -1)) : name === rule;
}
