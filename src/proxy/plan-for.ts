import type { ContingencyCause, ProviderVerdict } from "../continuity/contingency-state.ts";
import { PosternError } from "../errors.ts";
import { type Plan, type PlanFacts, planAttempts } from "../routing/plan.ts";
import type { Policies } from "./resolve-model.ts";
import type { Target } from "./target.ts";

/** Why a request is not served where it otherwise would be. */
export type FallbackReason = "contingency" | "nodes_away";

/** What the caller and the record are told about a choice of targets. */
export interface PlanReasons {
  /** What put the request under contingency; null where nothing did. */
  contingency: ContingencyCause | null;
  fallback: FallbackReason | null;
}

export type PlanForFacts = Omit<PlanFacts<Target>, "prefers">;

/**
 * Step 9 within the policies of key and endpoint and the state of contingency: the targets that both policies may reach, first those
 * that the key prefers, then those that the endpoint does. In contingency no provider is among them, whatever else is missing;
 * while traffic returns they come last for the requests whose turn it is not.
 *
 * @param verdictFor What contingency says to the request, by whether a provider is among what it may reach. Asked at most once.
 * @throws PosternError `no_target`, `contingency`, and what `planAttempts` throws.
 */
export function planFor(
  policies: Policies,
  facts: PlanForFacts,
  verdictFor: (hasProviders: boolean) => ProviderVerdict | null,
): Plan<Target> & PlanReasons {
  const mayLeave = facts.mayLeave && policies.every((policy) => policy.mayLeave);
  const hasRules = policies.some((policy) => policy.hasTargetRules);
  const reachable = hasRules
    ? facts.targets.filter((target) => policies.every((policy) => policy.mayReach(target)))
    : facts.targets;
  if (reachable.length === 0 && facts.targets.length > 0) {
    throw new PosternError("no_target", {
      message: "No inference server that this key may use serves this model now",
    });
  }
  const hasProviders = mayLeave && reachable.some(isCloud);
  const verdict = verdictFor(hasProviders);
  const [key, endpoint] = policies;
  const prefers = hasRules ? (a: Target, b: Target) => key.compare(a, b) || endpoint.compare(a, b) : null;
  const within = { ...facts, mayLeave, targets: reachable, prefers };
  if (verdict === null || (verdict.state === "returning" && !hasProviders)) {
    const plan = planAttempts(within);
    return { ...plan, contingency: null, fallback: nodesAway(plan, within) };
  }
  if (verdict.state === "returning") {
    const plan = planAttempts({ ...within, prefers: (a, b) => cloudLast(a, b) || (prefers?.(a, b) ?? 0) });
    // Where only providers are left, they serve: the return refuses nothing.
    if (isCloud(plan.targets[0])) {
      return { ...plan, contingency: null, fallback: nodesAway(plan, within) };
    }
    return { ...plan, contingency: verdict.cause, fallback: wantsLocal(policies) ? null : "contingency" };
  }
  if (!hasProviders) return { ...planAttempts(within), contingency: verdict.cause, fallback: null };
  const plan = planWithout({ ...within, targets: reachable.filter((target) => !isCloud(target)) });
  return { ...plan, contingency: verdict.cause, fallback: wantsLocal(policies) ? null : "contingency" };
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
function isCloud(target: Target | undefined): boolean {
  if (target === undefined) return false;
  const { backend, leaves } = target;
  return backend.kind === "provider" || (leaves && backend.locality === "own");
}

function cloudLast(a: Target, b: Target): number {
  return Number(isCloud(a)) - Number(isCloud(b));
}

function wantsLocal(policies: Policies): boolean {
  return policies.some(({ document }) => document.prefer === "local");
}

/** A provider serves because none of the nodes that might can. */
function nodesAway({ targets: [first] }: Plan<Target>, { targets, health, nowMs }: PlanForFacts): "nodes_away" | null {
  if (!isCloud(first)) return null;
  const nodes = targets.filter((target) => !isCloud(target));
  const isAway = (target: Target) => !target.canAccept() || health.share(target.id, nowMs) <= 0;
  return nodes.length > 0 && nodes.every(isAway) ? "nodes_away" : null;
}
