const UNITS_BYTES = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, TiB: 1024 ** 4 } as const;

const PATTERN = /^(\d{1,15})(B|KiB|MiB|GiB|TiB)$/;

/** The rule in words, for messages. */
export const SIZE_RULE = 'a whole number with a unit, like "64KiB", "8MiB" or "1GiB"';

/**
 * Bytes of a size as people write it: `"512B"`, `"64KiB"`, `"8MiB"`, `"1GiB"`. Decimal units (`MB`) are refused, because
 * half of the world means the binary ones by them.
 *
 * @returns null when the text is not a size or is beyond what a number holds exactly. Does not throw.
 */
export function parseSize(text: string): number | null {
  const match = PATTERN.exec(text);
  if (match === null) return null;
  const bytes = Number(match[1]) * UNITS_BYTES[match[2] as keyof typeof UNITS_BYTES];
  return Number.isSafeInteger(bytes) ? bytes : null;
}

/** The shortest text that `parseSize` reads back as exactly `bytes` (a non-negative integer). */
export function formatSize(bytes: number): string {
  for (const unit of ["TiB", "GiB", "MiB", "KiB"] as const) {
    if (bytes > 0 && bytes % UNITS_BYTES[unit] === 0) return `${bytes / UNITS_BYTES[unit]}${unit}`;
  }
  return `${bytes}B`;
}
