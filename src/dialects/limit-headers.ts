import type { Family } from "./error-body.ts";

/** Where a caller stands with a rate. */
interface Rate {
  limit: number;
  remaining: number;
  /** Milliseconds until all of it is there again. */
  resetMs: number;
}

/**
 * The headers in which a dialect tells its callers where they stand with their rates: name, value, name, value, …. Ollama's has
 * none.
 *
 * @param nowMs UTC: Anthropic's headers name a time, OpenAI's a duration.
 */
export function limitHeaders(
  family: Family,
  rates: { requests: Rate | null; tokens: Rate | null },
  nowMs: number,
): string[] {
  const headers: string[] = [];
  for (const what of ["requests", "tokens"] as const) {
    const rate = rates[what];
    if (rate === null) continue;
    const { limit, remaining, resetMs } = rate;
    switch (family) {
      case "openai":
        headers.push(`x-ratelimit-limit-${what}`, String(limit), `x-ratelimit-remaining-${what}`, String(remaining));
        headers.push(`x-ratelimit-reset-${what}`, formatReset(resetMs));
        break;
      case "anthropic":
        headers.push(`anthropic-ratelimit-${what}-limit`, String(limit));
        headers.push(`anthropic-ratelimit-${what}-remaining`, String(remaining));
        headers.push(`anthropic-ratelimit-${what}-reset`, formatTime(nowMs + resetMs));
        break;
      case "ollama":
        break;
      default:
        family satisfies never;
    }
  }
  return headers;
}

/** As OpenAI writes it: `120ms`, `6s`, `1m0s`. */
function formatReset(ms: number): string {
  if (ms <= 999) return `${Math.ceil(ms)}ms`;
  const seconds = Math.ceil(ms / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}

/** RFC 3339 without fractions. */
function formatTime(ms: number): string {
  return `${new Date(Math.ceil(ms / 1000) * 1000).toISOString().slice(0, 19)}Z`;
}
