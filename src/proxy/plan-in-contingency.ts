import type { ContingencyCause, ProviderVerdict } from "../continuity/contingency-state.ts";
import { PosternError } from "../errors.ts";
import { type Plan, type PlanFacts, planAttempts } from "../routing/plan.ts";
import type { Target } from "./target.ts";

/** Why a request is not served where it otherwise would be. */
export type FallbackReason = "contingency" | "nodes_away" | "approved" | "rescued";

/** What the caller and the record are told about a choice of targets. */
export interface PlanReasons {
  /** What put the request under contingency; null where nothing did. */
  contingency: ContingencyCause | null;
  fallback: FallbackReason | null;
}

/**
 * The plan over the targets that policy leaves, in the state of contingency: while it is on, no provider is among them, whatever
 * else is missing; while traffic returns, they come last for the requests whose turn it is not.
 *
 * @param verdictFor What contingency says to the request, by whether a provider is among what it may reach. Asked at most once.
 * @param wantsLocal Whether its own machines are what policy prefers: then nothing is a fallback to them.
 * @throws PosternError `contingency`, and what `planAttempts` throws.
 */
export function planInContingency(
  facts: PlanFacts<Target>,
  verdictFor: (hasProviders: boolean) => ProviderVerdict | null,
  wantsLocal: boolean,
): Plan<Target> & PlanReasons {
  const { targets, mayLeave, prefers } = facts;
  const hasProviders = mayLeave && targets.some(isCloud);
  const verdict = verdictFor(hasProviders);
  if (verdict === null || (verdict.state === "returning" && !hasProviders)) {
    const plan = planAttempts(facts);
    return { ...plan, contingency: null, fallback: nodesAway(plan, facts) };
  }
  const diverted = { contingency: verdict.cause, fallback: wantsLocal ? null : ("contingency" as const) };
  if (verdict.state === "returning") {
    const plan = planAttempts({ ...facts, prefers: (a, b) => cloudLast(a, b) || (prefers?.(a, b) ?? 0) });
    // Where only providers are left, they serve: the return refuses nothing.
    if (isCloud(plan.targets[0])) return { ...plan, contingency: null, fallback: nodesAway(plan, facts) };
    return { ...plan, ...diverted };
  }
  if (!hasProviders) return { ...planAttempts(facts), contingency: verdict.cause, fallback: null };
  return { ...planWithout({ ...facts, targets: targets.filter((target) => !isCloud(target)) }), ...diverted };
}

/** Suggested wait while providers are skipped: contingency lasts for minutes at least. */
const CONTINGENCY_RETRY_SECONDS = 60;

/** The plan without providers. Where it would not be empty with them, the caller is told so. */
function planWithout(facts: PlanFacts<Target>): Plan<Target> {
  try {
    if (facts.targets.length > 0) return planAttempts(facts);
  } catch (error) {
    const code = error instanceof PosternError ? error.code : null;
    if (facts.pinnedNode !== null || (code !== "no_target" && code !== "body_invalid")) throw error;
  }
  throw new PosternError("contingency", { retryAfterSeconds: CONTINGENCY_RETRY_SECONDS });
}

/** Whether a request that goes there reaches a provider: one of ours, or the one that an engine hands the model on to. */
export function isCloud(target: Target | undefined): boolean {
  if (target === undefined) return false;
  const { backend, leaves } = target;
  return backend.kind === "provider" || (leaves && backend.locality === "own");
}

function cloudLast(a: Target, b: Target): number {
  return Number(isCloud(a)) - Number(isCloud(b));
}

/** A provider serves because none of the nodes that might can. */
function nodesAway(
  { targets: [first] }: Plan<Target>,
  { targets, health, nowMs }: PlanFacts<Target>,
): "nodes_away" | null {
  if (!isCloud(first)) return null;
  const nodes = targets.filter((target) => !isCloud(target));
  const isAway = (target: Target) => !target.canAccept() || health.share(target.id, nowMs) <= 0;
  return nodes.length > 0 && nodes.every(isAway) ? "nodes_away" : null;
}
