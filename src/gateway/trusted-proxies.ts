import { createHash, timingSafeEqual } from "node:crypto";
import type { TrustedProxyConfig } from "../config/resolved.ts";
import { PosternError } from "../errors.ts";
import { AddressSet } from "../lib/cidr.ts";
import { canonicalAddress } from "../lib/ip-address.ts";

/** Checks the assertion that Cloudflare Access puts on a request. Null: it holds. Otherwise why not, for the log. */
export type AccessCheck = (assertion: string) => string | null;

/** A declared proxy, made ready for asking. */
interface Proxy {
  config: TrustedProxyConfig;
  secretHash: Buffer | null;
  checkAccess: AccessCheck | null;
}

/** What a proxy says about a request that it passes on. */
interface Forwarded {
  address: string;
  /** The caller's own connection had no TLS (`X-Forwarded-Proto: http`). */
  cameInClear: boolean;
}

const ACCESS_HEADER = "cf-access-jwt-assertion";
/** Most hops of a chain that are looked at. */
const MAX_HOPS = 32;

/**
 * Whom we believe about where a request comes from: declared proxies, each by the one header that it writes itself, and only when
 * it has shown what it was asked to show.
 *
 * A header that a proxy does not write itself goes through it as the caller sent it. So `CF-Connecting-IP` is read from Cloudflare's
 * side alone, and `X-Forwarded-For` from the right, where the nearest proxy wrote, up to the first hop that is no declared proxy.
 */
export class TrustedProxies {
  readonly #set: AddressSet;
  readonly #owners: readonly Proxy[];

  /** @param accessCheck Makes the check for a proxy whose requests carry an assertion. */
  constructor(configs: readonly TrustedProxyConfig[], accessCheck: (config: TrustedProxyConfig) => AccessCheck | null) {
    const proxies = configs.map((config) => ({
      config,
      secretHash: config.secret === null ? null : hash(config.secret.value.reveal()),
      checkAccess: accessCheck(config),
    }));
    this.#set = AddressSet.of(proxies.flatMap(({ config }) => config.ranges));
    this.#owners = proxies.flatMap((proxy) => proxy.config.ranges.map(() => proxy));
  }

  isProxy(address: string): boolean {
    return this.#set.matches(address);
  }

  /**
   * For whom the peer asks. Null where it is no declared proxy or names nobody.
   *
   * @throws PosternError `bad_request` (a header twice, or one that holds no address: guessing would let somebody choose his own),
   *   `proxy_unproved` (it names somebody and does not show that it is the proxy).
   */
  readForwarded(peer: string, rawHeaders: readonly string[]): Forwarded | null {
    const proxy = this.#owners[this.#set.find(peer)];
    if (proxy === undefined) return null;
    const value = readOnce(rawHeaders, proxy.config.header);
    if (value === null) return null;
    checkProof(proxy, rawHeaders);
    const address = proxy.config.header === "cf-connecting-ip" ? readAddress(value) : this.#readChain(value);
    return address === null ? null : { address, cameInClear: readScheme(rawHeaders) === "http" };
  }

  /** The last hop that is no declared proxy; what stands to the left of it is the caller's own invention. */
  #readChain(chain: string): string | null {
    let end = chain.length;
    for (let hops = 0; end >= 0; hops++) {
      if (hops === MAX_HOPS) throw bad("X-Forwarded-For has too many hops");
      const comma = chain.lastIndexOf(",", end - 1);
      const hop = readAddress(chain.slice(comma + 1, end).trim());
      if (!this.#set.matches(hop)) return hop;
      if (comma <= 0) return null;
      end = comma;
    }
    return null;
  }
}

/** The value of a header that may be there once. */
function readOnce(rawHeaders: readonly string[], wanted: string): string | null {
  let found: string | null = null;
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string;
    if (name.length !== wanted.length || name.toLowerCase() !== wanted) continue;
    if (found !== null) throw bad(`two ${wanted} headers`);
    found = rawHeaders[at + 1] as string;
  }
  return found;
}

function checkProof({ config, secretHash, checkAccess }: Proxy, rawHeaders: readonly string[]): void {
  if (config.secret !== null && secretHash !== null) {
    const shown = readOnce(rawHeaders, config.secret.header);
    if (shown === null || !timingSafeEqual(hash(shown), secretHash))
      throw unproved(shown === null ? "no secret" : "wrong secret");
  }
  if (checkAccess !== null) {
    const assertion = readOnce(rawHeaders, ACCESS_HEADER);
    const fault = assertion === null ? "no assertion" : checkAccess(assertion);
    if (fault !== null) throw unproved(fault);
  }
}

function readAddress(text: string): string {
  const address = canonicalAddress(text);
  if (address !== null) return address;
  throw bad("the proxy in front names a caller with something that is no address");
}

/** A chain of proxies may have written a list; the nearest wrote the last. */
function readScheme(rawHeaders: readonly string[]): string | undefined {
  return readOnce(rawHeaders, "x-forwarded-proto")?.toLowerCase().split(",").at(-1)?.trim();
}

// Hashed first, so that neither length nor place of a difference shows in the time it takes.
function hash(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

function bad(rule: string): PosternError {
  return new PosternError("bad_request", { message: `Cannot read the request: ${rule}` });
}

function unproved(reason: string): PosternError {
  return new PosternError("proxy_unproved", {
    hint: "Compare `gateway.trustedProxies` with what the proxy sends.",
    detail: { reason },
  });
}
