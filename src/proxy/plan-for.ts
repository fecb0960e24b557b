import type { ProviderVerdict } from "../continuity/contingency-state.ts";
import { PosternError } from "../errors.ts";
import type { Plan, PlanFacts } from "../routing/plan.ts";
import { type PlanReasons, planInContingency } from "./plan-in-contingency.ts";
import type { Policies } from "./resolve-model.ts";
import type { Target } from "./target.ts";

export type PlanForFacts = Omit<PlanFacts<Target>, "prefers">;

/** Who is asked for what policy alone does not say. */
export interface PlanJudges {
  /** What contingency says to the request, by whether a provider is among what it may reach. Asked at most once. */
  verdict(hasProviders: boolean): ProviderVerdict | null;
  /** Whether it may go to the side that its policy does not prefer, although that needs an approval. */
  isApproved(): boolean;
  /**
   * The side that policy prefers cannot serve: asks an operator for the other one.
   *
   * @returns whether it is approved already. @throws PosternError `approval_denied`, `queue_full`.
   */
  askApproval(to: "local" | "cloud"): boolean;
  /** It can be served without: nobody has to decide about it any more. */
  withdraw(): void;
}

type Planned = Plan<Target> & PlanReasons;

/**
 * Step 9 within the policies of key and endpoint: the targets that both may reach, first those that the key prefers, then those
 * that the endpoint does; one's own first where neither says. What needs an approval is left out without one; where nothing else can serve, the request waits for it.
 *
 * @throws PosternError `no_target`, and what `planInContingency` and the judges throw.
 */
export function planFor(policies: Policies, given: PlanForFacts, judges: PlanJudges): Planned {
  const mayLeave = given.mayLeave && policies.every((policy) => policy.mayLeave);
  const usual = usualOrder(policies, given);
  if (!policies.some((policy) => policy.hasTargetRules))
    return planInContingency({ ...given, mayLeave, prefers: usual }, judges.verdict, usual !== null);
  const targets = given.targets.filter((target) => policies.every((policy) => policy.mayReach(target)));
  if (targets.length === 0 && given.targets.length > 0) {
    throw new PosternError("no_target", {
      message: "No inference server that this key may use serves this model now",
    });
  }
  const [key, endpoint] = policies;
  const prefers = (a: Target, b: Target) => key.compare(a, b) || endpoint.compare(a, b) || (usual?.(a, b) ?? 0);
  const wantsLocal = usual !== null || policies.some(({ document }) => document.prefer === "local");
  const facts = { ...given, targets, mayLeave, prefers };
  const isOther = (target: Target) => policies.some((policy) => policy.needsApproval(target));
  if (!targets.some(isOther)) return planInContingency(facts, judges.verdict, wantsLocal);
  return planWithApproval(facts, isOther, judges, wantsLocal);
}

/**
 * Where nobody says which side comes first, one's own machines do: a cloud costs, and sees what is asked. Who gives targets an order
 * or weights says it, and so does a key with `prefer`, be it `none`. Null: all are the same.
 */
function usualOrder([key, endpoint]: Policies, { targets, routing }: PlanForFacts): typeof ownFirst | null {
  if (routing.strategy === "priority" || routing.strategy === "weighted") return null;
  if (key.document.prefer !== undefined || (endpoint.document.prefer ?? "none") !== "none") return null;
  return targets.some((target) => target.leaves) ? ownFirst : null;
}

function ownFirst(a: Target, b: Target): number {
  return Number(a.leaves) - Number(b.leaves);
}

function planWithApproval(
  facts: PlanFacts<Target>,
  isOther: (target: Target) => boolean,
  judges: PlanJudges,
  wantsLocal: boolean,
): Planned {
  let verdict: ProviderVerdict | null | undefined;
  const verdictFor = (hasProviders: boolean) => {
    if (verdict === undefined) verdict = judges.verdict(hasProviders);
    return verdict;
  };
  const planOver = (targets: readonly Target[]) => planInContingency({ ...facts, targets }, verdictFor, wantsLocal);
  const planAll = (): Planned => {
    const plan = planOver(facts.targets);
    const [first] = plan.targets;
    return first !== undefined && isOther(first) ? { ...plan, fallback: "approved" } : plan;
  };
  if (judges.isApproved()) return planAll();
  const preferred = facts.targets.filter((target) => !isOther(target));
  let trouble: unknown = new PosternError("no_target");
  try {
    const plan = preferred.length === 0 ? null : planOver(preferred);
    // One whose breaker is open is tried where there is nothing else; here there is somebody to ask.
    if (plan !== null && (plan.wait !== null || !plan.targets.every((target) => isDown(target, facts)))) {
      judges.withdraw();
      return plan;
    }
  } catch (error) {
    trouble = error;
  }
  const others = facts.targets.filter(isOther);
  if (!canServe(() => planOver(others))) throw trouble;
  const [first] = others;
  if (judges.askApproval(first?.leaves === true ? "cloud" : "local")) return planAll();
  return { wait: "approval", targets: [], contingency: null, fallback: null };
}

/** Whether the other side could serve, so that an approval would be of use. */
function canServe(plan: () => Planned): boolean {
  try {
    return plan().targets.length > 0;
  } catch {
    return false;
  }
}

function isDown({ id }: Target, { health, nowMs }: PlanFacts<Target>): boolean {
  return health.share(id, nowMs) <= 0;
}
