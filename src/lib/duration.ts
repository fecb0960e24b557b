const UNITS_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

const PATTERN = /^(\d{1,12})(ms|s|m|h|d)$/;

/** The rule in words, for messages. */
export const DURATION_RULE = 'a whole number with a unit, like "30s", "5m", "1h" or "90d"';

/**
 * Milliseconds of a duration as people write it: `"500ms"`, `"30s"`, `"5m"`, `"1h"`, `"90d"`.
 *
 * @returns null when the text is not a duration or is beyond what a number holds exactly. Does not throw.
 */
export function parseDuration(text: string): number | null {
  const match = PATTERN.exec(text);
  if (match === null) return null;
  const durationMs = Number(match[1]) * UNITS_MS[match[2] as keyof typeof UNITS_MS];
  return Number.isSafeInteger(durationMs) ? durationMs : null;
}

/** The shortest text that `parseDuration` reads back as exactly `durationMs` (a non-negative integer). */
export function formatDuration(durationMs: number): string {
  for (const unit of ["d", "h", "m", "s"] as const) {
    if (durationMs > 0 && durationMs % UNITS_MS[unit] === 0) return `${durationMs / UNITS_MS[unit]}${unit}`;
  }
  return durationMs === 0 ? "0s" : `${durationMs}ms`;
}
