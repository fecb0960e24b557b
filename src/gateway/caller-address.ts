import type { IncomingMessage } from "node:http";
import { PosternError } from "../errors.ts";
import { AddressSet } from "../lib/cidr.ts";
import { canonicalAddress } from "../lib/ip-address.ts";
import type { Origin } from "../proxy/identify.ts";

/** Reads addresses off connections, with declared proxies taken into account. */
export interface CallerAddresses {
  /** Throws `bad_request` when a trusted proxy sends an address that is none: guessing would let somebody choose his own. */
  originOf(request: IncomingMessage): Origin;
  /** Whether a declared proxy passed the request on: it comes from one and says for whom. */
  cameThroughProxy(request: IncomingMessage): boolean;
}

/** What proxies write to say for whom they ask. From anybody else it only shows that there is a proxy which nobody declared. */
const FORWARDING = ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip", "true-client-ip", "via"] as const;

/**
 * Tells the caller's address: the peer's own, or behind a declared proxy the last address in `X-Forwarded-For` that is not
 * itself a declared proxy.
 *
 * @param trustedProxies Addresses and CIDR ranges.
 */
export function callerAddresses(trustedProxies: readonly string[]): CallerAddresses {
  const trusted = AddressSet.of(trustedProxies);
  function isFromProxy(request: IncomingMessage): boolean {
    return trusted.size > 0 && trusted.matches(peerOf(request));
  }
  function originOf(request: IncomingMessage): Origin {
    const address = peerOf(request);
    if (!isFromProxy(request)) {
      const isPassedOn = FORWARDING.some((name) => request.headers[name] !== undefined);
      return { address, source: isPassedOn ? "undeclared_proxy" : "peer" };
    }
    const forwarded = request.headers["x-forwarded-for"];
    if (forwarded === undefined) return { address, source: "proxy_itself" };
    const hops = String(forwarded)
      .split(",")
      .map((hop) => readHop(hop.trim()));
    const caller = hops.findLast((hop) => !trusted.matches(hop));
    return caller === undefined ? { address, source: "proxy_itself" } : { address: caller, source: "forwarded" };
  }
  function cameThroughProxy(request: IncomingMessage): boolean {
    // A proxy's own machine may run an agent as well; only what it passes on names somebody else.
    return isFromProxy(request) && request.headers["x-forwarded-for"] !== undefined;
  }
  return { originOf, cameThroughProxy };
}

/** Mapped IPv4 as IPv4. The zone of a link-local peer (`fe80::1%eth0`) is our side's name for the cable, not a part of it. */
function peerOf(request: IncomingMessage): string {
  const peer = request.socket.remoteAddress ?? "";
  const zone = peer.indexOf("%");
  return canonicalAddress(zone === -1 ? peer : peer.slice(0, zone)) ?? peer;
}

function readHop(text: string): string {
  const address = canonicalAddress(text);
  if (address !== null) return address;
  throw new PosternError("bad_request", {
    message: "Cannot read the request: X-Forwarded-For holds something that is no address",
  });
}
