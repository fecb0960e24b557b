import { isIP } from "node:net";
import { buildConnector } from "undici";

/** What an `https:` engine is checked against. Never "nothing": there is no option that turns the check off. */
export interface TlsTrust {
  /** PEM of the authority that signed the engine's certificate; null or absent: the system's authorities. */
  ca?: string | null;
  /** Name that the certificate must carry; null or absent: the URL's host. */
  serverName?: string | null;
}

/** TCP keep-alive: a cable pulled out of an engine's machine is noticed even while a long prompt is processed. */
const KEEP_ALIVE_DELAY_MS = 15_000;

/**
 * Connects sockets to one engine, with Nagle's algorithm off, and checks certificates whatever the environment says.
 *
 * The name checked is fixed here: undici would take it from the `Host` header, which is a setting of its own.
 */
export function tlsConnector(url: URL, trust: TlsTrust, timeoutMs: number): buildConnector.connector {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const name = trust.serverName ?? host;
  const connect = buildConnector({
    allowH2: false,
    timeout: timeoutMs,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS,
    // NODE_TLS_REJECT_UNAUTHORIZED=0 must not reach this far.
    rejectUnauthorized: true,
    minVersion: "TLSv1.2",
    ...(trust.ca == null ? {} : { ca: trust.ca }),
  });
  if (url.protocol !== "https:") return connect;
  // An IP address may not be a server name (RFC 6066 §3); Node then checks the certificate against the host.
  return (options, callback) => connect({ ...options, servername: isIP(name) === 0 ? name : "" }, callback);
}
