import { isIP } from "node:net";
import type { ConnectionOptions } from "node:tls";
import { buildConnector } from "undici";

/** What an `https:` engine is checked against. Never "nothing": there is no option that turns the check off. */
export interface TlsTrust {
  /** PEM of the authority that signed the engine's certificate; null or absent: the system's authorities. */
  ca?: string | null;
  /** Name that the certificate must carry; null or absent: the URL's host. */
  serverName?: string | null;
}

/** TCP keep-alive: a cable pulled out of an engine's machine is noticed even while a long prompt is processed. */
export const KEEP_ALIVE_DELAY_MS = 15_000;

/** Where a URL points to, as a socket wants it: an IPv6 address without its brackets. */
export function socketHost(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "");
}

/** How TLS to one engine is opened: certificates are checked whatever the environment says. */
export function tlsOptions(url: URL, trust: TlsTrust): ConnectionOptions {
  const name = trust.serverName ?? socketHost(url);
  return {
    // NODE_TLS_REJECT_UNAUTHORIZED=0 must not reach this far.
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
    ALPNProtocols: ["http/1.1"],
    // An IP address may not be a server name (RFC 6066 §3); Node then checks the certificate against the host.
    servername: isIP(name) === 0 ? name : "",
    ...(trust.ca == null ? {} : { ca: trust.ca }),
  };
}

/**
 * Connects sockets of undici to one engine, with Nagle's algorithm off.
 *
 * The name checked is fixed here: undici would take it from the `Host` header, which is a setting of its own.
 */
export function tlsConnector(url: URL, trust: TlsTrust, timeoutMs: number): buildConnector.connector {
  const { rejectUnauthorized, minVersion, servername = "", ca } = tlsOptions(url, trust);
  const connect = buildConnector({
    allowH2: false,
    timeout: timeoutMs,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
    rejectUnauthorized,
    minVersion,
    ...(ca === undefined ? {} : { ca }),
  });
  if (url.protocol !== "https:") return connect;
  return (options, callback) => connect({ ...options, servername }, callback);
}
