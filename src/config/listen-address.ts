import { isIPv4, isIPv6 } from "node:net";
import type { ListenAddress } from "./resolved.ts";

/** The rule in words, for messages. */
export const LISTEN_RULE = 'an address and a port, like "127.0.0.1:8400", "[::1]:8400" or "0.0.0.0:443"';

const HOST_NAME = /^(?=.{1,253}$)[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,62})(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,62}))*$/;

/**
 * Reads `HOST:PORT`; IPv6 addresses stand in brackets.
 *
 * @returns null when the text is not that. Does not throw, does not resolve names.
 */
export function parseListen(text: string): ListenAddress | null {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  if (match === null) return null;
  const [, bracketed, plain] = match;
  const port = Number(match[3]);
  if (port > 65_535) return null;
  if (bracketed !== undefined) return isIPv6(bracketed) ? { host: bracketed, port } : null;
  if (plain === undefined) return null;
  // All-digit labels that are no IPv4 address are mistyped addresses, never names.
  if (/^[\d.]+$/.test(plain)) return isIPv4(plain) ? { host: plain, port } : null;
  return HOST_NAME.test(plain) ? { host: plain, port } : null;
}

/** `HOST:PORT` as `parseListen` reads it. */
export function formatListen({ host, port }: ListenAddress): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`;
}

/** Whether only this machine can connect there. A name other than `localhost` never counts: it may point anywhere tomorrow. */
export function isLoopback(host: string): boolean {
  const bare = host.toLowerCase().replace(/^::ffff:(?=\d+\.)/, "");
  return bare === "localhost" || bare === "::1" || (isIPv4(bare) && bare.startsWith("127."));
}
