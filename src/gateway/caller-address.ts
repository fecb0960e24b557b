import type { IncomingMessage } from "node:http";
import { BlockList, isIP } from "node:net";
import { PosternError } from "../errors.ts";

/** Reads addresses off connections, with declared proxies taken into account. */
export interface CallerAddresses {
  /** Throws `bad_request` when a trusted proxy sends an address that is none: guessing would let somebody choose his own. */
  addressOf(request: IncomingMessage): string;
  /** Whether a declared proxy passed the request on: it comes from one and says for whom. */
  cameThroughProxy(request: IncomingMessage): boolean;
}

/**
 * Tells the caller's address: the peer's own, or behind a declared proxy the last address in `X-Forwarded-For` that is not
 * itself a declared proxy.
 *
 * @param trustedProxies Addresses and CIDR ranges.
 */
export function callerAddresses(trustedProxies: readonly string[]): CallerAddresses {
  const trusted = new BlockList();
  for (const range of trustedProxies) addRange(trusted, range);
  function isFromProxy(request: IncomingMessage): boolean {
    return trustedProxies.length > 0 && contains(trusted, plain(request.socket.remoteAddress ?? ""));
  }
  function addressOf(request: IncomingMessage): string {
    const peer = plain(request.socket.remoteAddress ?? "");
    if (!isFromProxy(request)) return peer;
    const forwarded = request.headers["x-forwarded-for"];
    if (forwarded === undefined) return peer;
    const hops = String(forwarded)
      .split(",")
      .map((hop) => plain(hop.trim()));
    if (hops.some((hop) => isIP(hop) === 0)) {
      throw new PosternError("bad_request", {
        message: "Cannot read the request: X-Forwarded-For holds something that is no address",
      });
    }
    return hops.findLast((hop) => !contains(trusted, hop)) ?? peer;
  }
  function cameThroughProxy(request: IncomingMessage): boolean {
    // A proxy's own machine may run an agent as well; only what it passes on names somebody else.
    return isFromProxy(request) && request.headers["x-forwarded-for"] !== undefined;
  }
  return { addressOf, cameThroughProxy };
}

function addRange(list: BlockList, range: string): void {
  const [address = "", prefix] = range.split("/");
  const family = isIP(address) === 6 ? "ipv6" : "ipv4";
  if (prefix === undefined) list.addAddress(address, family);
  else list.addSubnet(address, Number(prefix), family);
}

function contains(list: BlockList, address: string): boolean {
  const version = isIP(address);
  return version !== 0 && list.check(address, version === 6 ? "ipv6" : "ipv4");
}

/** IPv4 addresses that came in on an IPv6 socket in their own form, so that one rule fits both. */
function plain(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}
