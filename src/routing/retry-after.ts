import { DEFAULT_RETRY_AFTER_MS } from "./circuit-breaker.ts";

/**
 * How long a busy target asks to be left alone, from its answer: `retry-after-ms`, `Retry-After` in seconds or as a date
 * (RFC 9110 §10.2.3). Header names are in lower case.
 *
 * @param nowMs UTC milliseconds.
 * @returns Null where it does not ask: another status, or a 503 or 529 that does not say for how long, which may be a failure
 *   as well as a crowd.
 */
export function pauseOf(status: number, headers: Readonly<Record<string, string>>, nowMs: number): number | null {
  if (status !== 429 && status !== 503 && status !== 529) return null;
  const told = retryAfterMs(headers, nowMs);
  return told ?? (status === 429 ? DEFAULT_RETRY_AFTER_MS : null);
}

function retryAfterMs(headers: Readonly<Record<string, string>>, nowMs: number): number | null {
  const milliseconds = headers["retry-after-ms"];
  if (milliseconds !== undefined && /^\d{1,9}(?:\.\d{1,9})?$/.test(milliseconds)) return Number(milliseconds);
  const value = headers["retry-after"];
  if (value === undefined) return null;
  if (/^\d{1,9}(?:\.\d{1,9})?$/.test(value)) return Number(value) * 1000;
  // Seconds below 0 and other numbers would be read as dates too.
  const atMs = /[a-z]/i.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(atMs) ? null : Math.max(0, atMs - nowMs);
}
