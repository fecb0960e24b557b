import type { BodyScan } from "../lib/json-scan.ts";
import { hashBytes, hashText } from "../routing/hash.ts";

/** Members that stand at the beginning of what a model reads, in all dialects. */
const BEGINNINGS: ReadonlySet<string> = new Set(["tools", "system", "instructions", "messages", "prompt", "input"]);
/** So much of each of them tells one beginning from another. */
const MAX_PREFIX_BYTES = 1024;
const USER = Buffer.from('"user"');

/**
 * What an engine that has seen the caller before would recognise the request by: its session where the caller names one, else how
 * the prompt begins. Engines keep what they computed for a beginning, so that the next request with it is answered sooner. Of a
 * conversation it is the part up to the first message of the user, which stays the same from turn to turn.
 *
 * Read from the spans of the scan, and no further than `MAX_PREFIX_BYTES` into each.
 *
 * @returns A hash, or null where there is neither.
 */
export function affinityKey(session: string | null, { bytes, members }: BodyScan): number | null {
  if (session !== null) return hashText(session);
  let hash: number | null = null;
  for (const { name, kind, valueStart, valueEnd } of members) {
    if (!BEGINNINGS.has(name)) continue;
    const limit = Math.min(valueEnd, valueStart + MAX_PREFIX_BYTES);
    const end = kind === "array" && name !== "tools" ? endOfFirstTurn(bytes, valueStart, limit) : limit;
    hash = hashBytes(bytes, valueStart, end, hash ?? undefined);
  }
  return hash;
}

/** Where the first element ends that speaks of the user; `limit` where none does before. The bytes are known to be JSON. */
function endOfFirstTurn(bytes: Buffer, start: number, limit: number): number {
  let depth = 0;
  let isInString = false;
  let elementStart = start;
  for (let index = start; index < limit; index++) {
    const byte = bytes[index];
    if (isInString) {
      if (byte === 0x5c) index++;
      else if (byte === 0x22) isInString = false;
    } else if (byte === 0x22) isInString = true;
    else if (byte === 0x7b || byte === 0x5b) {
      depth++;
      if (depth === 2) elementStart = index;
    } else if (byte === 0x7d || byte === 0x5d) {
      depth--;
      if (depth === 1 && bytes.subarray(elementStart, index).includes(USER)) return index + 1;
    }
  }
  return limit;
}
