import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CLOUDFLARE_RANGES } from "../access/cloudflare-ranges.ts";
import type { TrustedProxyConfig } from "../config/resolved.ts";
import { PosternError } from "../errors.ts";
import { Secret } from "../lib/secret.ts";
import { callerAddresses, type Heard } from "./caller-address.ts";
import { type AccessCheck, TrustedProxies } from "./trusted-proxies.ts";

function request(peer: string, ...headers: Array<[name: string, value: string]>): Heard {
  return { socket: { remoteAddress: peer }, rawHeaders: headers.flat() };
}

function proxy(ranges: readonly string[], fields: Partial<TrustedProxyConfig> = {}): TrustedProxyConfig {
  return { ranges, header: "x-forwarded-for", secret: null, access: null, ...fields };
}

function behind(configs: TrustedProxyConfig[], check: AccessCheck | null = null) {
  return callerAddresses(new TrustedProxies(configs, () => check));
}

function forwardedFor(peer: string, chain: string): Heard {
  return request(peer, ["X-Forwarded-For", chain]);
}

describe("callerAddresses()", () => {
  const { originOf, addressOf, cameThroughProxy } = behind([proxy(["10.0.0.0/8", "2001:db8::1"])]);

  it.each([
    ["a proxy's is", "10.1.2.3", "198.51.100.1", "198.51.100.1"],
    [
      "the last address that is no proxy counts, not what the caller wrote itself",
      "10.1.2.3",
      "1.2.3.4, 198.51.100.1, 10.9.9.9",
      "198.51.100.1",
    ],
    ["what the caller wrote is not even read", "10.1.2.3", "<script>, 198.51.100.1", "198.51.100.1"],
    ["a proxy on an IPv6 socket is the same proxy", "::ffff:10.1.2.3", "198.51.100.1", "198.51.100.1"],
    ["IPv6 proxies and callers too", "2001:db8::1", "2001:DB8:0::77", "2001:db8::77"],
    ["an IPv4 caller in IPv6 clothes is one", "10.1.2.3", "::ffff:198.51.100.1", "198.51.100.1"],
  ])("%s", (_name, peer, chain, address) => {
    expect(originOf(forwardedFor(peer, chain))).toEqual({ address, source: "forwarded", cameInClear: false });
  });

  it("does not believe a stranger's header, and says that there is a proxy which nobody declared", () => {
    for (const name of ["X-Forwarded-For", "Forwarded", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP", "Via"]) {
      const origin = originOf(request("203.0.113.9", [name, "198.51.100.1"]));
      expect(origin).toEqual({ address: "203.0.113.9", source: "undeclared_proxy", cameInClear: false });
    }
    expect(originOf(request("203.0.113.9"))).toEqual({ address: "203.0.113.9", source: "peer", cameInClear: false });
  });

  it("takes a proxy that names nobody, or only proxies, for nobody but itself", () => {
    expect(originOf(request("10.1.2.3"))).toEqual({ address: "10.1.2.3", source: "proxy_itself", cameInClear: false });
    expect(originOf(forwardedFor("10.1.2.3", "10.1.1.1, 10.2.2.2"))).toEqual({
      address: "10.1.2.3",
      source: "proxy_itself",
      cameInClear: false,
    });
  });

  it.each([
    "unknown",
    "1.2.3.4:99",
    "",
    "198.51.100.1,",
    "198.51.100.1, _hidden",
    "[2001:db8::9]",
    "198.51.100.01",
    "fe80::1%eth0",
  ])("refuses a proxy's header that ends in %j, instead of guessing", (chain) => {
    expect(() => originOf(forwardedFor("10.1.2.3", chain))).toThrow(/no address/);
    expect(addressOf(forwardedFor("10.1.2.3", chain))).toBe("10.1.2.3");
  });

  it("refuses two headers, of which two programs may read another one each", () => {
    const twice = request("10.1.2.3", ["X-Forwarded-For", "198.51.100.1"], ["x-forwarded-for", "198.51.100.2"]);
    expect(() => originOf(twice)).toThrow(/two x-forwarded-for/);
  });

  it("refuses a chain that is too long to go through", () => {
    expect(() => originOf(forwardedFor("10.1.2.3", Array(40).fill("10.0.0.1").join(",")))).toThrow(/too many hops/);
  });

  it("never throws anything but a refusal, whatever the header holds", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(fc.constantFrom("10.0.0.1", "1.2.3.4", ",", " ", "::1")).map((all) => all.join(",")),
        ),
        (chain) => {
          try {
            const { address, source } = originOf(forwardedFor("10.1.2.3", chain));
            expect(source === "proxy_itself" ? "10.1.2.3" : address).toBe(address);
          } catch (error) {
            expect(error).toBeInstanceOf(PosternError);
          }
        },
      ),
    );
  });

  it("tells an agent on the proxy's own machine from what the proxy passes on, also badly", () => {
    expect(cameThroughProxy(request("10.1.2.3"))).toBe(false);
    expect(cameThroughProxy(forwardedFor("10.1.2.3", "198.51.100.1"))).toBe(true);
    expect(cameThroughProxy(forwardedFor("10.1.2.3", "rubbish"))).toBe(true);
    expect(cameThroughProxy(forwardedFor("203.0.113.9", "198.51.100.1"))).toBe(false);
  });

  it("believes X-Forwarded-Proto of a declared proxy alone, the last word of a list", () => {
    const of = (peer: string, proto: string) =>
      originOf(request(peer, ["X-Forwarded-For", "198.51.100.1"], ["X-Forwarded-Proto", proto])).cameInClear;
    expect([of("10.1.2.3", "http"), of("10.1.2.3", "HTTP"), of("10.1.2.3", "https, http")]).toEqual([true, true, true]);
    expect([of("10.1.2.3", "https"), of("10.1.2.3", "http, https"), of("203.0.113.9", "http")]).toEqual([
      false,
      false,
      false,
    ]);
  });

  it("leaves the zone of a link-local peer away", () => {
    expect(originOf(request("fe80::1%eth0")).address).toBe("fe80::1");
  });
});

describe("each proxy by the one header that it writes itself", () => {
  const cloudflare = proxy(CLOUDFLARE_RANGES, { header: "cf-connecting-ip" });
  const { originOf } = behind([cloudflare, proxy(["127.0.0.0/8"])]);

  it("Cloudflare by CF-Connecting-IP, whatever X-Forwarded-For says", () => {
    const both = request("104.16.0.9", ["X-Forwarded-For", "1.2.3.4"], ["CF-Connecting-IP", "198.51.100.1"]);
    expect(originOf(both)).toEqual({ address: "198.51.100.1", source: "forwarded", cameInClear: false });
    expect(originOf(request("104.16.0.9", ["X-Forwarded-For", "1.2.3.4"])).source).toBe("proxy_itself");
    expect(() => originOf(request("104.16.0.9", ["CF-Connecting-IP", "1.2.3.4, 5.6.7.8"]))).toThrow(/no address/);
  });

  // nginx passes headers that it does not know on as the caller sent them.
  it("another proxy never by CF-Connecting-IP, which goes through it as the caller wrote it", () => {
    const forged = request("127.0.0.1", ["CF-Connecting-IP", "10.0.0.1"], ["X-Forwarded-For", "203.0.113.9"]);
    expect(originOf(forged)).toEqual({ address: "203.0.113.9", source: "forwarded", cameInClear: false });
    expect(originOf(request("127.0.0.1", ["CF-Connecting-IP", "10.0.0.1"])).address).toBe("127.0.0.1");
  });

  it("a chain through both as the caller before Cloudflare", () => {
    const chain = forwardedFor("127.0.0.1", "6.6.6.6, 203.0.113.9, 104.16.0.9");
    expect(originOf(chain)).toEqual({ address: "203.0.113.9", source: "forwarded", cameInClear: false });
  });

  it("the narrower of two entries decides", () => {
    const secret = { header: "x-proxy", value: new Secret("s3cret") };
    const two = behind([proxy(["10.0.0.0/8"]), proxy(["10.0.0.1"], { secret })]);
    expect(two.originOf(forwardedFor("10.0.0.2", "1.2.3.4")).address).toBe("1.2.3.4");
    expect(() => two.originOf(forwardedFor("10.0.0.1", "1.2.3.4"))).toThrow(/did not come through/);
  });
});

describe("a proxy that has to show something", () => {
  const secret = { header: "x-proxy-secret", value: new Secret("s3cret") };

  it("is believed with its secret, and its claims are refused without", () => {
    const { originOf } = behind([proxy(["127.0.0.0/8"], { header: "cf-connecting-ip", secret })]);
    const claim: [string, string] = ["CF-Connecting-IP", "198.51.100.1"];
    expect(originOf(request("127.0.0.1", claim, ["X-Proxy-Secret", "s3cret"])).address).toBe("198.51.100.1");
    for (const shown of ["", "s3cre", "s3cret ", "S3CRET"]) {
      expect(() => originOf(request("127.0.0.1", claim, ["X-Proxy-Secret", shown]))).toThrow(/did not come through/);
    }
    expect(() => originOf(request("127.0.0.1", claim))).toThrow(/did not come through/);
    const twice = request("127.0.0.1", claim, ["X-Proxy-Secret", "s3cret"], ["x-proxy-secret", "x"]);
    expect(() => originOf(twice)).toThrow(/two x-proxy-secret/);
  });

  it("leaves other programs on its machine alone", () => {
    const { originOf } = behind([proxy(["127.0.0.0/8"], { secret })]);
    expect(originOf(request("127.0.0.1")).address).toBe("127.0.0.1");
  });

  it("is believed with an assertion that holds", () => {
    const access = { team: "t.cloudflareaccess.com", audience: "a", keysFile: null };
    const check: AccessCheck = (assertion) => (assertion === "good" ? null : "the signature does not hold");
    const { originOf } = behind([proxy(["127.0.0.0/8"], { access })], check);
    const claim: [string, string] = ["X-Forwarded-For", "198.51.100.1"];
    expect(originOf(request("127.0.0.1", claim, ["Cf-Access-Jwt-Assertion", "good"])).address).toBe("198.51.100.1");
    expect(() => originOf(request("127.0.0.1", claim, ["Cf-Access-Jwt-Assertion", "bad"]))).toThrow(
      /did not come through/,
    );
    expect(() => originOf(request("127.0.0.1", claim))).toThrow(/did not come through/);
  });

  it("says why in the log, never the secret", () => {
    const { originOf } = behind([proxy(["127.0.0.0/8"], { secret })]);
    try {
      originOf(request("127.0.0.1", ["X-Forwarded-For", "1.2.3.4"], ["X-Proxy-Secret", "guess"]));
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: "proxy_unproved", detail: { reason: "wrong secret" } });
      expect(JSON.stringify(error)).not.toMatch(/s3cret|guess/);
    }
  });
});
