import { AddressSet, readPrefix } from "../lib/cidr.ts";

/** What an address may do: use an endpoint, not use it, or stand for a key where the caller sends none. */
export type RuleEffect = "allow" | "deny" | "ambient";

/** A named rule about addresses. */
export interface AddressRule {
  name: string;
  effect: RuleEffect;
  /** An address or CIDR prefix in its canonical text. */
  range: string;
  /** Name of the endpoint that it is about; null: all of them. */
  endpoint: string | null;
  /** Id or name of the key that the range stands for; only with `ambient`. */
  key: string | null;
  label: string | null;
  /** What the address is there for, like "egress of the billing VM" or "backup at home". */
  purpose: string | null;
  owner: string | null;
  /** The address may change under it, so that somebody has to follow. */
  mayRotate: boolean;
  /** From then on it matches nothing. An allow rule that has expired still keeps its endpoint closed for others. */
  expiresAtMs: number | null;
}

/** Most rules that are not in the file. */
export const MAX_RULES = 10_000;

/** Networks that are no stranger's: loopback, private and unique local, link-local. */
export const LOOPBACK_RANGES: readonly string[] = ["127.0.0.0/8", "::1"];
export const PRIVATE_RANGES: readonly string[] = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];

const LOOPBACK = AddressSet.of(LOOPBACK_RANGES);
const NOT_PUBLIC = AddressSet.of([
  ...LOOPBACK_RANGES,
  ...PRIVATE_RANGES,
  "169.254.0.0/16",
  "fe80::/10",
  "100.64.0.0/10",
]);

/** Widest public range that one household or machine has: one IPv4 address, a /56 of IPv6. */
const NARROW = { 4: 32, 6: 56 } as const;
/** Widest private range that a single network usually is. */
const NARROW_PRIVATE = { 4: 16, 6: 48 } as const;

/**
 * Why a range is more than one would hand a key to, as the rest of a sentence, or null. Whoever has an address in it *is* the key.
 */
export function ambientRisk(range: string): string | null {
  const { prefix } = readPrefix(range);
  if (prefix === null) return null;
  const first = range.split("/", 1)[0] ?? range;
  if (LOOPBACK.matches(first)) return null;
  if (!NOT_PUBLIC.matches(first)) {
    if (prefix.length >= NARROW[prefix.version])
      return "is a public address: whoever gets it next, or shares it, is that key";
    return "is a public range: everybody in it is that key";
  }
  return prefix.length < NARROW_PRIVATE[prefix.version] ? "is wide: everybody in it is that key" : null;
}
