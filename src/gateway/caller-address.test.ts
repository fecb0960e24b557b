import type { IncomingMessage } from "node:http";
import { describe, expect, it } from "vitest";
import { callerAddresses } from "./caller-address.ts";

function request(peer: string, forwarded?: string): IncomingMessage {
  const headers = forwarded === undefined ? {} : { "x-forwarded-for": forwarded };
  return { socket: { remoteAddress: peer }, headers } as unknown as IncomingMessage;
}

describe("callerAddresses()", () => {
  const { originOf, cameThroughProxy } = callerAddresses(["10.0.0.0/8", "2001:db8::1"]);

  it.each([
    ["a stranger's header is not believed", "203.0.113.9", "198.51.100.1", "203.0.113.9"],
    ["a proxy's is", "10.1.2.3", "198.51.100.1", "198.51.100.1"],
    [
      "the last address that is no proxy counts, not what the caller wrote itself",
      "10.1.2.3",
      "1.2.3.4, 198.51.100.1, 10.9.9.9",
      "198.51.100.1",
    ],
    ["a proxy on an IPv6 socket is the same proxy", "::ffff:10.1.2.3", "198.51.100.1", "198.51.100.1"],
    ["IPv6 proxies and callers too", "2001:db8::1", "2001:db8::77", "2001:db8::77"],
    ["a chain of proxies alone is the peer", "10.1.2.3", "10.1.1.1", "10.1.2.3"],
  ])("%s", (_name, peer, forwarded, address) => {
    expect(originOf(request(peer, forwarded)).address).toBe(address);
  });

  it("refuses a proxy's header that holds no address, instead of guessing", () => {
    expect(() => originOf(request("10.1.2.3", "unknown"))).toThrow(/X-Forwarded-For/);
    expect(() => originOf(request("10.1.2.3", "1.2.3.4:99"))).toThrow(/X-Forwarded-For/);
  });

  it("tells an agent on the proxy's own machine from what the proxy passes on", () => {
    expect(cameThroughProxy(request("10.1.2.3"))).toBe(false);
    expect(cameThroughProxy(request("10.1.2.3", "198.51.100.1"))).toBe(true);
    expect(cameThroughProxy(request("203.0.113.9", "198.51.100.1"))).toBe(false);
  });
});
