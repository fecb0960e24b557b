import { formatListen, isLoopback } from "./listen-address.ts";
import type { ListenAddress } from "./resolved.ts";

export interface ListenFacts {
  listen: ListenAddress;
  hasTls: boolean;
  /** Whether `gateway.trustedProxies` names the TLS-terminating proxy in front. */
  hasTrustedProxy: boolean;
  /** Keys that could open something now (not revoked, not expired). */
  activeKeys: number;
  /** Engines on this machine that others reach without the gateway, in words; empty where none does. */
  openEngines: readonly string[];
  /** What the operator said `--accept-risk` to. */
  acceptedRisks: ReadonlySet<Risk>;
}

/** Names for `--accept-risk`. */
export const RISKS = ["clear-text", "no-keys", "open-engine"] as const;
export type Risk = (typeof RISKS)[number];

export interface ListenRefusal {
  reason: string;
  hint: string;
  /** What must be accepted to listen all the same; null: there is no such way. */
  risk: Risk | null;
}

/**
 * Decides whether the public listener may be opened. Loopback always may; anything else needs TLS, from us or from a
 * declared proxy in front, at least one key, and no engine on this machine that the world reaches beside the gateway.
 *
 * @returns null when it may. Pure.
 */
export function refuseUnsafeListen(facts: ListenFacts): ListenRefusal | null {
  if (isLoopback(facts.listen.host)) return null;
  const where = formatListen(facts.listen);
  const { acceptedRisks } = facts;
  if (!facts.hasTls && !facts.hasTrustedProxy && !acceptedRisks.has("clear-text")) {
    return {
      risk: "clear-text",
      reason: `Refusing to listen on ${where} without TLS: keys and prompts would cross the network in clear`,
      hint: 'Set "gateway.tls" to a certificate and its key, or name the TLS-terminating proxy in "gateway.trustedProxies", or listen on 127.0.0.1.',
    };
  }
  if (facts.activeKeys === 0 && !acceptedRisks.has("no-keys")) {
    return {
      risk: "no-keys",
      reason: `Refusing to listen on ${where} without any key: it would only collect attempts to guess one`,
      hint: "Create a key first: `postern keys create NAME`.",
    };
  }
  if (facts.openEngines.length > 0 && !acceptedRisks.has("open-engine")) {
    return {
      risk: "open-engine",
      reason: `Refusing to listen on ${where} beside an engine that others reach without it: ${facts.openEngines.join("; ")}`,
      hint: 'Bind the engine to 127.0.0.1 (docs/guide/engines.md), or close its port; "exposureAccepted" of an engine in the configuration accepts that one.',
    };
  }
  return null;
}

/**
 * Decides whether the admin listener may be opened: on loopback, or anywhere with TLS. Its callers prove who they are by a token or
 * a login, which must not cross a network in clear; there is no risk to accept.
 *
 * @returns null when it may. Pure.
 */
export function refuseUnsafeAdminListen(listen: ListenAddress, hasTls: boolean): ListenRefusal | null {
  if (isLoopback(listen.host) || hasTls) return null;
  return {
    risk: null,
    reason: `Refusing to open the admin listener on ${formatListen(listen)} without TLS: admin tokens would cross the network in clear`,
    hint: 'Set "gateway.admin.tls" to a certificate and its key, or "gateway.admin.listen" to 127.0.0.1:8401 and reach it from elsewhere by SSH or through a TLS proxy on this machine (docs/guide/admin-api.md).',
  };
}
