import { PosternError } from "../errors.ts";
import { type Plan, type PlanFacts, planAttempts } from "../routing/plan.ts";
import type { Policies } from "./resolve-model.ts";
import type { Target } from "./target.ts";

/**
 * Step 9 within the policies of key and endpoint: the targets that both may reach, first those that the key prefers, then those
 * that the endpoint does.
 *
 * @throws PosternError `no_target`, and what `planAttempts` throws.
 */
export function planFor(policies: Policies, facts: Omit<PlanFacts<Target>, "prefers">): Plan<Target> {
  const mayLeave = facts.mayLeave && policies.every((policy) => policy.mayLeave);
  if (!policies.some((policy) => policy.hasTargetRules)) return planAttempts({ ...facts, mayLeave, prefers: null });
  const targets = facts.targets.filter((target) => policies.every((policy) => policy.mayReach(target)));
  if (targets.length === 0 && facts.targets.length > 0) {
    throw new PosternError("no_target", {
      message: "No inference server that this key may use serves this model now",
    });
  }
  const [key, endpoint] = policies;
  const prefers = (a: Target, b: Target) => key.compare(a, b) || endpoint.compare(a, b);
  return planAttempts({ ...facts, targets, mayLeave, prefers });
}
