import { canonicalAddress } from "../lib/ip-address.ts";
import type { Origin } from "../proxy/identify.ts";
import type { TrustedProxies } from "./trusted-proxies.ts";

/** As much of a request as is looked at; on every listener, whoever made it. */
export interface Heard {
  socket: { remoteAddress?: string | undefined };
  /** Names and values in turn. */
  rawHeaders: readonly string[];
}

/** Where a request comes from, and whether that was in clear as far as a declared proxy tells. */
export interface CallerOrigin extends Origin {
  cameInClear: boolean;
}

/** Reads addresses off connections, with declared proxies taken into account. */
export interface CallerAddresses {
  /** Throws `bad_request` and `proxy_unproved` where a proxy's word cannot be taken. */
  originOf(request: Heard): CallerOrigin;
  /** The same for where nothing may be thrown: then the peer's own address. */
  addressOf(request: Heard): string;
  /** Whether a declared proxy passed the request on: it comes from one and was written to by one. */
  cameThroughProxy(request: Heard): boolean;
}

/** What proxies write to say for whom they ask. From anybody else it only shows that there is a proxy which nobody declared. */
const FORWARDING = ["x-forwarded-for", "forwarded", "x-real-ip", "cf-connecting-ip", "true-client-ip", "via"];

/** Tells the caller's address: the peer's own, or behind a declared proxy the one that it names. */
export function callerAddresses(proxies: TrustedProxies): CallerAddresses {
  function originOf(request: Heard): CallerOrigin {
    const address = peerOf(request);
    if (!proxies.isProxy(address)) {
      return { address, source: isPassedOn(request) ? "undeclared_proxy" : "peer", cameInClear: false };
    }
    const forwarded = proxies.readForwarded(address, request.rawHeaders);
    if (forwarded === null) return { address, source: "proxy_itself", cameInClear: false };
    return { ...forwarded, source: "forwarded" };
  }
  function addressOf(request: Heard): string {
    try {
      return originOf(request).address;
    } catch {
      return peerOf(request);
    }
  }
  function cameThroughProxy(request: Heard): boolean {
    // A proxy's own machine may run an agent as well; only what it passes on names somebody else, if only badly.
    return proxies.isProxy(peerOf(request)) && isPassedOn(request);
  }
  return { originOf, addressOf, cameThroughProxy };
}

function isPassedOn({ rawHeaders }: Heard): boolean {
  return rawHeaders.some((name, at) => at % 2 === 0 && FORWARDING.includes(name.toLowerCase()));
}

/** Mapped IPv4 as IPv4. The zone of a link-local peer (`fe80::1%eth0`) is our side's name for the cable, not a part of it. */
function peerOf(request: Heard): string {
  const peer = request.socket.remoteAddress ?? "";
  const zone = peer.indexOf("%");
  return canonicalAddress(zone === -1 ? peer : peer.slice(0, zone)) ?? peer;
}
