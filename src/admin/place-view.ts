import type { AddressRule } from "../access/address-rule.ts";
import { DEFAULT_ENDPOINT } from "../access/endpoint.ts";
import type { KeyRecord } from "../access/key.ts";
import { LiveKey } from "../access/live-key.ts";
import type { FileEndpoint, FileRule, ResolvedConfig } from "../config/resolved.ts";
import { PosternError } from "../errors.ts";
import type { EndpointRecord, RuleRecord, Store } from "../storage/store.ts";
import { describeExposure } from "./endpoint-exposure.ts";
import type { EndpointView, RuleView } from "./places-contract.ts";

/** Endpoints and rules of file and store, as they stand now. */
export interface AllPlaces {
  /** `default` is always among them. */
  endpoints: ReadonlyArray<FileEndpoint | EndpointRecord>;
  rules: ReadonlyArray<FileRule | RuleRecord>;
}

export async function readAllPlaces(store: Store, config: ResolvedConfig): Promise<AllPlaces> {
  const [endpoints, rules] = await Promise.all([store.places.endpoints(), store.places.rules()]);
  const all = [...config.endpoints, ...endpoints];
  const hasDefault = all.some(({ name }) => name === DEFAULT_ENDPOINT.name);
  return {
    endpoints: hasDefault ? all : [{ ...DEFAULT_ENDPOINT, createdAtMs: 0 }, ...all],
    rules: [...config.access.rules, ...rules],
  };
}

/** Refuses to change what the file defines. */
export function refuseFile(what: string, one: { name: string } | { name: string; place: string }): void {
  if (!("place" in one)) return;
  throw new PosternError("invalid_input", {
    message: `The ${what} "${one.name}" is defined at ${one.place} and can only be changed there`,
    hint: "Change the file; a running gateway takes it over.",
  });
}

export function toEndpointView(
  one: FileEndpoint | EndpointRecord,
  { rules }: AllPlaces,
  keys: readonly KeyRecord[],
  nowMs: number,
): EndpointView {
  const own = rules.filter(({ endpoint }) => endpoint === one.name);
  const isFile = "place" in one;
  const opening = keys.filter((key) => opensAt(key, one.name, nowMs));
  const isClosed = rules.some((rule) => isAllowAt(rule, one.name));
  const current = rules.filter(
    ({ endpoint, expiresAtMs }) =>
      (endpoint === null || endpoint === one.name) && (expiresAtMs === null || expiresAtMs > nowMs),
  );
  return {
    name: one.name,
    origin: isFile ? "file" : "store",
    place: isFile ? one.place : null,
    host: one.host,
    path: one.path,
    models: one.models,
    mayLeave: one.mayLeave,
    prefer: one.prefer,
    fallback: one.fallback,
    targets: one.targets,
    owner: one.owner,
    purpose: one.purpose,
    reviewOn: one.reviewOn,
    isReviewDue: one.reviewOn !== null && Date.parse(one.reviewOn) <= nowMs,
    keys: opening.length,
    rules: own.length,
    isClosed,
    exposure: describeExposure(one, current, isClosed, opening),
    createdAtMs: isFile || one.createdAtMs === 0 ? null : one.createdAtMs,
  };
}

/** Whether a rule closes the endpoint for everybody who is not listed. */
export function isAllowAt({ effect, endpoint }: AddressRule, name: string): boolean {
  return effect === "allow" && (endpoint === null || endpoint === name);
}

/** Whether a key opens something at an endpoint now. */
export function opensAt(key: KeyRecord, endpoint: string, nowMs: number): boolean {
  const live = new LiveKey(key);
  return live.refusalAt(nowMs) === null && live.policy.mayUseEndpoint(endpoint);
}

export function toRuleView(rule: FileRule | RuleRecord, nowMs: number): RuleView {
  const isFile = "place" in rule;
  return {
    name: rule.name,
    origin: isFile ? "file" : "store",
    place: isFile ? rule.place : null,
    effect: rule.effect,
    range: rule.range,
    endpoint: rule.endpoint,
    key: rule.key,
    label: rule.label,
    purpose: rule.purpose,
    owner: rule.owner,
    mayRotate: rule.mayRotate,
    state: rule.expiresAtMs !== null && rule.expiresAtMs <= nowMs ? "expired" : "active",
    createdAtMs: isFile ? null : rule.createdAtMs,
    expiresAtMs: rule.expiresAtMs,
  };
}
