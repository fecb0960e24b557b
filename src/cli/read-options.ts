import { DURATION_RULE, parseDuration } from "../lib/duration.ts";
import { usageError } from "./invocation.ts";

/** Milliseconds of a duration given to `flag`. @throws PosternError `usage`. */
export function readDuration(flag: string, text: string): number {
  const durationMs = parseDuration(text);
  if (durationMs === null || durationMs === 0)
    throw usageError(`${flag} must be ${DURATION_RULE}, got ${JSON.stringify(text)}`);
  return durationMs;
}

/** A whole number from 1 given to `flag`. @throws PosternError `usage`. */
export function readCount(flag: string, text: string): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (value < 1) throw usageError(`${flag} must be a whole number from 1, got ${JSON.stringify(text)}`);
  return value;
}

/** A moment given to `flag`: a span back from now (`24h`, `7d`) or a day or time (`2026-11-01`, ISO 8601, UTC). */
export function readMoment(flag: string, text: string, nowMs: number): number {
  const spanMs = parseDuration(text);
  if (spanMs !== null) return Math.max(0, nowMs - spanMs);
  const isIso = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2})?Z?)?$/.test(text);
  const atMs = isIso ? Date.parse(text.includes("T") && !text.endsWith("Z") ? `${text}Z` : text) : Number.NaN;
  if (Number.isNaN(atMs)) {
    throw usageError(
      `${flag} must be a span like "24h" or "7d", or a day like "2026-11-01", got ${JSON.stringify(text)}`,
    );
  }
  return atMs;
}
