/** Start of a hash that grows (FNV-1a, 32 bits). */
export const HASH_START = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** Adds a text, by its UTF-16 units, to a hash. Not for anything secret. */
export function hashText(text: string, hash = HASH_START): number {
  let now = hash;
  for (let index = 0; index < text.length; index++) now = Math.imul(now ^ text.charCodeAt(index), FNV_PRIME);
  return now >>> 0;
}

/** Adds bytes from `start` to `end` to a hash. */
export function hashBytes(bytes: Uint8Array, start: number, end: number, hash = HASH_START): number {
  let now = hash;
  for (let index = start; index < end; index++) now = Math.imul(now ^ (bytes[index] ?? 0), FNV_PRIME);
  return now >>> 0;
}

/** Two hashes made one, every bit of which depends on every bit of both (MurmurHash3's finaliser). */
export function mixHashes(a: number, b: number): number {
  let now = (a ^ Math.imul(b, 0x9e3779b1)) | 0;
  now = Math.imul(now ^ (now >>> 16), 0x85ebca6b);
  now = Math.imul(now ^ (now >>> 13), 0xc2b2ae35);
  return (now ^ (now >>> 16)) >>> 0;
}

/** A hash as a number above 0 and below 1. */
export function unitOf(hash: number): number {
  return (hash + 0.5) / 0x1_0000_0000;
}
