/** The name of a member: as it is written, and as the most lenient engine compares it (`foldName`). */
export interface JsonName {
  readonly text: string;
  readonly folded: string;
}

/** Names up to this length are looked up. No dialect has a longer one that comes often. */
const MAX_KNOWN_LENGTH = 24;
const SLOTS = 256;

/** The latest name of each slot. A long conversation has thousands of members and a handful of names, in every request the same. */
const KNOWN: (JsonName | undefined)[] = new Array<JsonName | undefined>(SLOTS).fill(undefined);

/**
 * The name that stands at these bytes, quotes left out, without escapes. Decoding a name costs more than everything else that is
 * done about a small member, so that the common ones are decoded once.
 */
export function plainName(bytes: Buffer, start: number, end: number): JsonName {
  const length = end - start;
  if (length === 0 || length > MAX_KNOWN_LENGTH) return decodedName(bytes.toString("utf8", start, end));
  const slot =
    (length * 59 +
      (bytes[start] as number) * 31 +
      (bytes[end - 1] as number) * 7 +
      (bytes[start + (length >> 1)] as number)) %
    SLOTS;
  const known = KNOWN[slot];
  if (known !== undefined && stands(known.text, bytes, start, length)) return known;
  const name = decodedName(bytes.toString("utf8", start, end));
  // Only what has a byte for each character can be compared byte by byte.
  if (name.text.length === length) KNOWN[slot] = name;
  return name;
}

/** Any name, decoded. */
export function decodedName(text: string): JsonName {
  return { text, folded: foldName(text) };
}

/**
 * A name as the most lenient engine compares it: case-folded, with `ſ` as `s` and the Kelvin sign as `k` like Go's
 * encoding/json. Coarser than Go for a few letters (`ß` equals `ss`), which only refuses more.
 */
export function foldName(name: string): string {
  const lower = name.toLowerCase();
  return NOT_ASCII.test(lower) ? lower.toUpperCase().toLowerCase() : lower;
}

const NOT_ASCII = /[^\0-\x7f]/;

function stands(text: string, bytes: Buffer, start: number, length: number): boolean {
  if (text.length !== length) return false;
  for (let index = 0; index < length; index++) if (text.charCodeAt(index) !== bytes[start + index]) return false;
  return true;
}
