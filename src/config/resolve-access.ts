import { type AddressRule, LOOPBACK_RANGES, PRIVATE_RANGES, type RuleEffect } from "../access/address-rule.ts";
import { CLOUDFLARE_RANGES } from "../access/cloudflare-ranges.ts";
import { DEFAULT_ENDPOINT, findTwin } from "../access/endpoint.ts";
import { formatPrefix, readPrefix } from "../lib/cidr.ts";
import { addFault, locateFile, placeOf, type Resolving, readSecret } from "./resolve-file.ts";
import type { FileEndpoint, FileRule, TrustedProxyConfig } from "./resolved.ts";
import type { RawConfig } from "./schema.ts";

/** Endpoints of the file. Adds faults for those that lie at no place or at one that another has, and for certificates of no use. */
export function resolveEndpoints(resolving: Resolving, isOurs: boolean): FileEndpoint[] {
  const found: FileEndpoint[] = [];
  for (const [name, raw] of Object.entries(resolving.raw.endpoints ?? {})) {
    const at = ["endpoints", name];
    const endpoint: FileEndpoint = {
      name,
      host: raw.host ?? null,
      path: raw.path ?? null,
      models: raw.models ?? null,
      mayLeave: raw.mayLeave ?? "yes",
      prefer: raw.prefer ?? "none",
      fallback: raw.fallback ?? "automatic",
      targets: raw.targets ?? null,
      owner: raw.owner ?? null,
      purpose: raw.purpose ?? null,
      reviewOn: raw.reviewOn ?? null,
      tls:
        raw.tls === undefined
          ? null
          : {
              certFile: locateFile(resolving, [...at, "tls", "cert"], raw.tls.cert, isOurs),
              keyFile: locateFile(resolving, [...at, "tls", "key"], raw.tls.key, isOurs),
            },
      place: placeOf(resolving, at),
    };
    if (raw.tls !== undefined && endpoint.host === null)
      addFault(resolving, [...at, "tls"], 'needs a "host" beside it');
    if (raw.tls !== undefined && resolving.raw.gateway?.tls === undefined) {
      addFault(resolving, [...at, "tls"], 'needs "gateway.tls", which callers of other hosts see');
    }
    const isDefault = name === DEFAULT_ENDPOINT.name;
    const hasPlace = endpoint.host !== null || endpoint.path !== null;
    if (isDefault && hasPlace) addFault(resolving, at, "is at the gateway's own names and has neither host nor path");
    if (!isDefault && !hasPlace) addFault(resolving, at, 'needs "host" or "path"');
    const twin = findTwin(endpoint, found);
    if (twin !== null && hasPlace) addFault(resolving, at, `is at the same host and path as "${twin}"`);
    found.push(endpoint);
  }
  return found;
}

type RawRule = NonNullable<NonNullable<RawConfig["access"]>["rules"]>[string];
type RawAmbient = NonNullable<NonNullable<RawConfig["access"]>["ambient"]>[string];

/** `access.rules` and `access.ambient` as rules. Adds a fault for a name that is in both. */
export function resolveRules(resolving: Resolving): FileRule[] {
  const { rules = {}, ambient = {} } = resolving.raw.access ?? {};
  const listed = Object.entries(rules).map(([name, raw]) => {
    const effect = raw.allow === undefined ? "deny" : "allow";
    return ruleOf(name, effect, raw.allow ?? raw.deny ?? "", null, raw, placeOf(resolving, ["access", "rules", name]));
  });
  const standing = Object.entries(ambient).map(([name, raw]) => {
    const at = ["access", "ambient", name];
    if (Object.hasOwn(rules, name)) addFault(resolving, at, 'has the name of one of "access.rules"');
    return ruleOf(name, "ambient", raw.range, raw.key, raw, placeOf(resolving, at));
  });
  return [...listed, ...standing];
}

function ruleOf(
  name: string,
  effect: RuleEffect,
  range: string,
  key: string | null,
  raw: Omit<RawRule | RawAmbient, "range" | "key">,
  place: string,
): FileRule {
  const rule: AddressRule = {
    name,
    effect,
    range: canonical(range),
    endpoint: raw.endpoint ?? null,
    key,
    label: raw.label ?? null,
    purpose: raw.purpose ?? null,
    owner: raw.owner ?? null,
    mayRotate: raw.mayRotate ?? false,
    expiresAtMs: raw.expiresOn === undefined ? null : Date.parse(raw.expiresOn),
  };
  return { ...rule, place };
}

const NAMED: Readonly<Record<string, readonly string[]>> = {
  cloudflare: CLOUDFLARE_RANGES,
  loopback: LOOPBACK_RANGES,
  private: PRIVATE_RANGES,
};

/** `gateway.trustedProxies`. Adds a fault for a range that is named twice, because what it must show would be ambiguous. */
export function resolveProxies(resolving: Resolving, isOurs: boolean): TrustedProxyConfig[] {
  const taken = new Set<string>();
  return (resolving.raw.gateway?.trustedProxies ?? []).map((raw, index) => {
    const at = ["gateway", "trustedProxies", index];
    const { from, header, secret, access } = typeof raw === "string" ? { from: raw } : raw;
    const names = typeof from === "string" ? [from] : from;
    const ranges = names.flatMap((one) => NAMED[one] ?? [canonical(one)]);
    for (const range of new Set(ranges)) {
      if (taken.has(range)) addFault(resolving, at, `names ${range}, which another entry names as well`);
      taken.add(range);
    }
    const isCloudflare = names.every((one) => one === "cloudflare");
    const value =
      secret === undefined || !isOurs ? null : readSecret(resolving, [...at, "secret", "value"], secret.value);
    return {
      ranges,
      header: header ?? (isCloudflare ? "cf-connecting-ip" : "x-forwarded-for"),
      secret: secret === undefined || value === null ? null : { header: secret.header.toLowerCase(), value },
      access:
        access === undefined
          ? null
          : {
              team: access.team,
              audience: access.audience,
              keysFile:
                access.keys === undefined
                  ? null
                  : locateFile(resolving, [...at, "access", "keys"], access.keys, isOurs),
            },
    };
  });
}

function canonical(range: string): string {
  const { prefix } = readPrefix(range);
  return prefix === null ? range : formatPrefix(prefix);
}
