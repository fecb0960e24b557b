import { formatAddress, joinWords, readAddress } from "./ip-address.ts";

/**
 * A CIDR prefix. IPv4 that is mapped into IPv6 is IPv4 here (see ip-address.ts), so that one rule fits whichever socket a caller
 * came in on. Apart from that the families are apart: `::/0` holds no IPv4 address.
 *
 * @see RFC 4632
 */
export interface Prefix {
  version: 4 | 6;
  /** The address as one number of 32 or 128 bits; no bit beyond `length` is set. */
  bits: bigint;
  length: number;
}

/** Either the prefix, or what is wrong with the text as the rest of a sentence: `must be …`, `has bits …`. */
export type PrefixReading = { prefix: Prefix; fault: null } | { prefix: null; fault: string };

/** The rule in words, for messages. */
export const PREFIX_RULE = 'must be an IP address or a range, like "192.0.2.7", "10.0.0.0/8" or "2001:db8::/32"';

const WIDTH = { 4: 32, 6: 128 } as const;

// One thread, no await between filling and reading: it is free again when the function that filled it returns.
const scratch = new Uint32Array(4);

/** Reads an address or a CIDR prefix. A lone address is a prefix of its whole length. Does not throw. */
export function readPrefix(text: string): PrefixReading {
  const slash = text.indexOf("/");
  const version = readAddress(slash === -1 ? text : text.slice(0, slash), scratch);
  if (version === 0) return { prefix: null, fault: PREFIX_RULE };
  const bits = version === 4 ? BigInt(scratch[0] ?? 0) : joinWords(scratch);
  if (slash === -1) return { prefix: { version, bits, length: WIDTH[version] }, fault: null };
  const isMapped = version === 4 && text.includes(":");
  const length = readLength(text.slice(slash + 1), isMapped);
  if (length === null || length > WIDTH[version]) {
    const [low, high] = isMapped ? [96, 128] : [0, WIDTH[version]];
    return { prefix: null, fault: `must have a prefix length from ${low} to ${high} after the "/"` };
  }
  const hostBits = BigInt(WIDTH[version] - length);
  const network = (bits >> hostBits) << hostBits;
  if (network !== bits) {
    const meant = formatPrefix({ version, bits: network, length });
    const one = formatPrefix({ version, bits, length: WIDTH[version] });
    return {
      prefix: null,
      fault: `has bits beyond its prefix: write ${meant} for the range, or ${one} for the address`,
    };
  }
  return { prefix: { version, bits, length }, fault: null };
}

function readLength(text: string, isMapped: boolean): number | null {
  if (!/^(?:0|[1-9][0-9]{0,2})$/.test(text)) return null;
  return isMapped && Number(text) < 96 ? null : Number(text) - (isMapped ? 96 : 0);
}

/** `10.0.0.0/8`; a whole address without the slash. */
export function formatPrefix({ version, bits, length }: Prefix): string {
  const address = formatAddress(version, bits);
  return length === WIDTH[version] ? address : `${address}/${length}`;
}

/** Whether every address of the inner one is in the outer one. */
export function holds(outer: Prefix, inner: Prefix): boolean {
  if (inner.version !== outer.version || inner.length < outer.length) return false;
  const hostBits = BigInt(WIDTH[outer.version] - outer.length);
  return inner.bits >> hostBits === outer.bits >> hostBits;
}

/**
 * A set of prefixes, compiled for asking: a binary search over disjoint ranges, without allocation, whatever overlaps.
 * It never changes.
 */
export class AddressSet {
  readonly #v4: Segments;
  readonly #v6: Segments;
  readonly size: number;

  constructor(prefixes: readonly Prefix[]) {
    this.#v4 = compile(prefixes, 4);
    this.#v6 = compile(prefixes, 6);
    this.size = prefixes.length;
  }

  /**
   * The same from texts that were checked before.
   *
   * @throws RangeError when one is no address or prefix.
   */
  static of(texts: readonly string[]): AddressSet {
    return new AddressSet(
      texts.map((text) => {
        const { prefix, fault } = readPrefix(text);
        if (prefix === null) throw new RangeError(`"${text}" ${fault}`);
        return prefix;
      }),
    );
  }

  /** Whether a prefix holds the address. What is no address is in no set. */
  matches(address: string): boolean {
    return this.find(address) !== -1;
  }

  /** Position, in the list given, of the longest prefix that holds the address (of equals, the first), or -1. */
  find(address: string): number {
    const version = readAddress(address, scratch);
    if (version === 0) return -1;
    return search(version === 4 ? this.#v4 : this.#v6, scratch);
  }
}

/** Ranges that follow each other without gaps: range `i` begins at `starts[i]` and ends where the next begins. */
interface Segments {
  /** Words of 32 bits for each start, highest first. */
  words: 1 | 4;
  starts: Uint32Array;
  /** Position of the prefix that holds the range, or -1. */
  owners: Int32Array;
}

// Prefixes nest or are apart, never overlap in part: walking them in order with a stack of those that are open gives the
// longest one for every stretch.
function compile(prefixes: readonly Prefix[], version: 4 | 6): Segments {
  const width = BigInt(WIDTH[version]);
  const ordered = prefixes
    .map((prefix, position) => ({ ...prefix, position, end: prefix.bits + (1n << (width - BigInt(prefix.length))) }))
    .filter((prefix) => prefix.version === version)
    .sort((a, b) => (a.bits === b.bits ? a.length - b.length || a.position - b.position : a.bits < b.bits ? -1 : 1));
  const marks: { at: bigint; owner: number }[] = [];
  const open: { end: bigint; position: number }[] = [];
  function mark(at: bigint): void {
    const owner = open.at(-1)?.position ?? -1;
    const last = marks.at(-1);
    if (last?.at === at) last.owner = owner;
    else marks.push({ at, owner });
  }
  function closeUntil(at: bigint): void {
    for (let top = open.at(-1); top !== undefined && top.end <= at; top = open.at(-1)) {
      open.pop();
      mark(top.end);
    }
  }
  let before: (typeof ordered)[number] | undefined;
  for (const prefix of ordered) {
    if (before?.bits === prefix.bits && before.length === prefix.length) continue;
    before = prefix;
    closeUntil(prefix.bits);
    open.push(prefix);
    mark(prefix.bits);
  }
  closeUntil(1n << width);
  const words = version === 4 ? 1 : 4;
  const segments = {
    words,
    starts: new Uint32Array(marks.length * words),
    owners: new Int32Array(marks.length),
  } as const;
  for (const [index, { at, owner }] of marks.entries()) {
    // The mark behind the last address of all would not fit; nothing is ever looked up there.
    if (at >> width !== 0n)
      return { words, starts: segments.starts.subarray(0, index * words), owners: segments.owners.subarray(0, index) };
    for (let word = 0; word < words; word++) {
      segments.starts[index * words + word] = Number((at >> BigInt(32 * (words - 1 - word))) & 0xffff_ffffn);
    }
    segments.owners[index] = owner;
  }
  return segments;
}

function search({ words, starts, owners }: Segments, address: Uint32Array): number {
  let low = 0;
  let high = owners.length;
  // Invariant: ranges before `low` begin at or before the address, those from `high` on behind it.
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isAtOrBefore(starts, middle * words, address, words)) low = middle + 1;
    else high = middle;
  }
  return low === 0 ? -1 : (owners[low - 1] ?? -1);
}

function isAtOrBefore(starts: Uint32Array, at: number, address: Uint32Array, words: number): boolean {
  for (let word = 0; word < words; word++) {
    const start = starts[at + word] as number;
    const asked = address[word] as number;
    if (start !== asked) return start < asked;
  }
  return true;
}
