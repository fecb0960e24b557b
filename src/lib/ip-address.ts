const LONGEST_TEXT = 45;

// One thread, no await between filling and reading: these are free again when the function that filled them returns.
const groups = new Uint16Array(8);
const scratch = new Uint32Array(4);

/**
 * Reads an IP address, strictly: no leading zeros in IPv4 (some programs read them as octal), no zone ids, no brackets. IPv4 that
 * is mapped into IPv6 (`::ffff:192.0.2.1`) is IPv4. Allocates nothing and does not throw.
 *
 * @param out Gets one word (IPv4) or four (IPv6), highest first.
 * @returns the version, or 0 when the text is no address.
 * @see RFC 4291 §2.2
 */
export function readAddress(text: string, out: Uint32Array): 4 | 6 | 0 {
  if (text.length > LONGEST_TEXT) return 0;
  if (!text.includes(":")) {
    const quad = readV4(text, 0);
    if (quad === -1) return 0;
    out[0] = quad;
    return 4;
  }
  if (!readGroups(text)) return 0;
  for (let word = 0; word < 4; word++) {
    out[word] = (((groups[word * 2] as number) << 16) | (groups[word * 2 + 1] as number)) >>> 0;
  }
  if (out[0] !== 0 || out[1] !== 0 || out[2] !== 0xffff) return 6;
  out[0] = out[3] as number;
  return 4;
}

/** The canonical text of an address: RFC 5952, IPv4 in dots, mapped IPv4 as IPv4. Null when it is no address. */
export function canonicalAddress(text: string): string | null {
  const version = readAddress(text, scratch);
  if (version === 0) return null;
  return formatAddress(version, version === 4 ? BigInt(scratch[0] ?? 0) : joinWords(scratch));
}

/** Four decimal numbers without leading zeros, from `start` to the end of the text. -1 when it is anything else. */
function readV4(text: string, start: number): number {
  let quad = 0;
  let octet = -1;
  let dots = 0;
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x2e) {
      if (octet === -1 || ++dots > 3) return -1;
      quad = quad * 256 + octet;
      octet = -1;
    } else {
      if (code < 0x30 || code > 0x39 || octet === 0) return -1;
      octet = (octet === -1 ? 0 : octet * 10) + code - 0x30;
      if (octet > 255) return -1;
    }
  }
  return octet === -1 || dots !== 3 ? -1 : quad * 256 + octet;
}

/** Reads IPv6 text into `groups`. */
function readGroups(text: string): boolean {
  let count = 0;
  let gap = -1;
  let at = 0;
  if (text.startsWith(":")) {
    if (!text.startsWith("::")) return false;
    gap = 0;
    at = 2;
  }
  while (at < text.length) {
    const start = at;
    let group = 0;
    for (let digit = hexDigit(text, at); digit !== -1; digit = hexDigit(text, at)) {
      if (++at - start > 4) return false;
      group = group * 16 + digit;
    }
    if (at === start || count === 8) return false;
    if (text.charCodeAt(at) === 0x2e) {
      const quad = readV4(text, start);
      if (quad === -1 || count > 6) return false;
      groups[count++] = quad / 65_536;
      groups[count++] = quad % 65_536;
      break;
    }
    groups[count++] = group;
    if (at === text.length) break;
    if (text.charCodeAt(at++) !== 0x3a || at === text.length) return false;
    if (text.charCodeAt(at) === 0x3a) {
      if (gap !== -1) return false;
      gap = count;
      at++;
    }
  }
  if (gap === -1) return count === 8;
  if (count === 8) return false;
  groups.copyWithin(8 - (count - gap), gap, count);
  groups.fill(0, gap, 8 - (count - gap));
  return true;
}

function hexDigit(text: string, at: number): number {
  const code = text.charCodeAt(at) | 0x20;
  if (code >= 0x30 && code <= 0x39 && text.charCodeAt(at) === code) return code - 0x30;
  return code >= 0x61 && code <= 0x66 ? code - 0x57 : -1;
}

/** The four words of an IPv6 address as one number. */
export function joinWords(words: Uint32Array): bigint {
  let bits = 0n;
  for (const word of words) bits = (bits << 32n) | BigInt(word);
  return bits;
}

/** The canonical text: IPv4 in dots, IPv6 as RFC 5952 has it. */
export function formatAddress(version: 4 | 6, bits: bigint): string {
  return version === 4 ? formatV4(Number(bits)) : formatV6(bits);
}

function formatV4(quad: number): string {
  return `${quad >>> 24}.${(quad >>> 16) & 255}.${(quad >>> 8) & 255}.${quad & 255}`;
}

/** RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups (of equals, the first) as `::`. */
function formatV6(bits: bigint): string {
  const parts = Array.from({ length: 8 }, (_, index) => ((bits >> BigInt(16 * (7 - index))) & 0xffffn).toString(16));
  let best = { at: 0, length: 1 };
  for (let at = 0; at < 8; at++) {
    let length = 0;
    while (parts[at + length] === "0") length++;
    if (length > best.length) best = { at, length };
  }
  if (best.length < 2) return parts.join(":");
  return `${parts.slice(0, best.at).join(":")}::${parts.slice(best.at + best.length).join(":")}`;
}
