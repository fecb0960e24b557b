import { holds, readPrefix } from "../lib/cidr.ts";
import { matchesGlob } from "../lib/glob.ts";
import { DEFAULT_ENDPOINT } from "./endpoint.ts";
import type { KeyPolicy, PolicyFault } from "./policy.ts";

/**
 * Where a policy would allow more than another one: nobody may grant what he does not have. Empty when it is a subset.
 *
 * Decides on the safe side: two patterns that mean the same but are written differently may count as more.
 *
 * @param granted The policy that is about to be given.
 * @param ceiling That of whoever gives it.
 */
export function policyExcess(granted: KeyPolicy, ceiling: KeyPolicy): PolicyFault[] {
  const faults: PolicyFault[] = [];
  function check(path: string, isWithin: boolean, bound: unknown): void {
    if (!isWithin) faults.push({ path, message: `is more than its creator may give: ${JSON.stringify(bound)}` });
  }
  for (const word of ["dialects", "operations"] as const) {
    check(word, isListWithin<string>(granted[word], ceiling[word], isSame), ceiling[word]);
  }
  const endpoints = ceiling.endpoints ?? [DEFAULT_ENDPOINT.name];
  check("endpoints", isListWithin(granted.endpoints ?? [DEFAULT_ENDPOINT.name], endpoints, isSame), endpoints);
  check("models", isListWithin(granted.models, ceiling.models, isGlobWithin), ceiling.models);
  check("addresses", isListWithin(granted.addresses, ceiling.addresses, isPrefixWithin), ceiling.addresses);
  const pins = ceiling.clientCertificates;
  check("clientCertificates", isListWithin(granted.clientCertificates, pins, isSame), pins);
  check("targets", isTargetsWithin(granted.targets, ceiling.targets), ceiling.targets);
  check("mayLeave", ceiling.mayLeave !== "no" || granted.mayLeave === "no", ceiling.mayLeave);
  check(
    "fallback",
    FALLBACK[granted.fallback ?? "automatic"] <= FALLBACK[ceiling.fallback ?? "automatic"],
    ceiling.fallback,
  );
  // Without the creator's own preference, "never" to the other side would name another side.
  check(
    "prefer",
    (ceiling.fallback ?? "automatic") === "automatic" || granted.prefer === ceiling.prefer,
    ceiling.prefer,
  );
  check("workflow", ceiling.workflow === undefined || granted.workflow === ceiling.workflow, ceiling.workflow);
  check("notBeforeMs", (granted.notBeforeMs ?? 0) >= (ceiling.notBeforeMs ?? 0), ceiling.notBeforeMs);
  check("capture", isCaptureWithin(granted.capture, ceiling.capture), ceiling.capture ?? "none");
  check("mayPin", ceiling.mayPin === true || granted.mayPin !== true, ceiling.mayPin);
  for (const word of ["expiresAtMs", "requestsPerMinute", "tokensPerMinute", "concurrency"] as const) {
    check(word, isAtMost(granted[word], ceiling[word]), ceiling[word]);
  }
  for (const word of BUDGETS) {
    const bound = ceiling.budgets?.[word]?.hard;
    check(`budgets.${word}`, isAtMost(granted.budgets?.[word]?.hard, bound), bound);
  }
  check("shadow", granted.shadow !== true || ceiling.shadow === true || !hasLimits(ceiling), ceiling.shadow);
  return faults;
}

const FALLBACK = { never: 0, approval: 1, automatic: 2 } as const;
const BUDGETS = ["tokensPerDay", "tokensPerMonth", "costMicrosPerDay", "costMicrosPerMonth"] as const;

function isAtMost(value: number | undefined, bound: number | undefined): boolean {
  return bound === undefined || (value !== undefined && value <= bound);
}

function isListWithin<T>(
  list: readonly T[] | undefined,
  bounds: readonly T[] | undefined,
  isWithin: (one: T, bound: T) => boolean,
): boolean {
  return bounds === undefined || (list?.every((one) => bounds.some((bound) => isWithin(one, bound))) ?? false);
}

function isSame(one: string, bound: string): boolean {
  return one === bound;
}

/** A `*` of the text can only be matched by a `*` of the bound, which then also matches whatever the former stands for. */
function isGlobWithin(one: string, bound: string): boolean {
  return matchesGlob(bound, one);
}

function isPrefixWithin(one: string, bound: string): boolean {
  const inner = readPrefix(one).prefix;
  const outer = readPrefix(bound).prefix;
  return inner !== null && outer !== null && holds(outer, inner);
}

function isTargetsWithin(targets: KeyPolicy["targets"], bounds: KeyPolicy["targets"]): boolean {
  if (bounds === undefined) return true;
  if (targets === undefined) return false;
  return (
    isListWithin(targets.nodes ?? [], bounds.nodes ?? [], isGlobWithin) &&
    isListWithin(targets.tags ?? [], bounds.tags ?? [], isSame) &&
    isListWithin(targets.providers ?? [], bounds.providers ?? [], isGlobWithin)
  );
}

function isCaptureWithin(capture: KeyPolicy["capture"], bound: KeyPolicy["capture"]): boolean {
  if (capture === undefined) return true;
  if (bound === undefined || capture.retentionHours > bound.retentionHours) return false;
  return (capture.requests !== true || bound.requests === true) && (capture.answers !== true || bound.answers === true);
}

function hasLimits({ requestsPerMinute, tokensPerMinute, concurrency, budgets }: KeyPolicy): boolean {
  return [requestsPerMinute, tokensPerMinute, concurrency, budgets].some((limit) => limit !== undefined);
}
