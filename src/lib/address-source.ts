import { readAddress } from "./ip-address.ts";

// One thread, no await between filling and reading: they are free again when the function that filled them returns.
const words = new Uint32Array(4);

/**
 * What counts as one source of connections and requests: an IPv4 address, or the /64 that an IPv6 customer has at least.
 * Text that is no address is a source of its own. Does not throw.
 */
export function sourceOf(address: string): string {
  const version = readAddress(withoutZone(address), words);
  if (version === 6) return `${words[0]?.toString(16)}:${words[1]?.toString(16)}/64`;
  return version === 4 ? String(words[0]) : address;
}

/** Whether an address is this machine's own: 127.0.0.0/8 or ::1, mapped forms included. */
export function isLoopbackAddress(address: string): boolean {
  const version = readAddress(withoutZone(address), words);
  if (version === 4) return (words[0] ?? 0) >>> 24 === 127;
  return version === 6 && words[0] === 0 && words[1] === 0 && words[2] === 0 && words[3] === 1;
}

/** Link-local addresses carry the name of an interface (`fe80::1%eth0`). */
function withoutZone(address: string): string {
  const zone = address.indexOf("%");
  return zone === -1 ? address : address.slice(0, zone);
}
