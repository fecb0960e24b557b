import { formatListen, isLoopback } from "./listen-address.ts";
import type { ListenAddress } from "./resolved.ts";

export interface ListenFacts {
  listen: ListenAddress;
  hasTls: boolean;
  /** Whether `gateway.trustedProxies` names the TLS-terminating proxy in front. */
  hasTrustedProxy: boolean;
  /** Keys that could open something now (not revoked, not expired). */
  activeKeys: number;
}

export interface ListenRefusal {
  reason: string;
  hint: string;
}

/**
 * Decides whether the public listener may be opened. Loopback always may; anything else needs TLS, from us or from a
 * declared proxy in front, and at least one key.
 *
 * @returns null when it may. Pure.
 */
export function refuseUnsafeListen(facts: ListenFacts): ListenRefusal | null {
  if (isLoopback(facts.listen.host)) return null;
  const where = formatListen(facts.listen);
  if (!facts.hasTls && !facts.hasTrustedProxy) {
    return {
      reason: `Refusing to listen on ${where} without TLS: keys and prompts would cross the network in clear`,
      hint: 'Set "gateway.tls" to a certificate and its key, or name the TLS-terminating proxy in "gateway.trustedProxies", or listen on 127.0.0.1.',
    };
  }
  if (facts.activeKeys === 0) {
    return {
      reason: `Refusing to listen on ${where} without any key: it would only collect attempts to guess one`,
      hint: "Create a key first: `postern keys create NAME`.",
    };
  }
  return null;
}

/**
 * Decides whether the admin listener may be opened: only on loopback, because it has no TLS, and asks for no credentials for
 * health and metrics.
 *
 * @returns null when it may. Pure.
 */
export function refuseUnsafeAdminListen(listen: ListenAddress): ListenRefusal | null {
  if (isLoopback(listen.host)) return null;
  return {
    reason: `Refusing to open the admin listener on ${formatListen(listen)}: it has no TLS and must stay on loopback`,
    hint: 'Set "gateway.admin.listen" to 127.0.0.1:8401, and reach it from elsewhere by SSH or through a TLS proxy on this machine (docs/guide/admin-api.md).',
  };
}
