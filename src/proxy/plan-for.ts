import type { CompiledPolicy } from "../access/compiled-policy.ts";
import { PosternError } from "../errors.ts";
import { type PlanFacts, planAttempts } from "../routing/plan.ts";
import type { Target } from "./target.ts";

/**
 * Step 9 within a key's policy: the targets that it may reach, those that it prefers first.
 *
 * @throws PosternError `no_target`, and what `planAttempts` throws.
 */
export function planFor(policy: CompiledPolicy, facts: PlanFacts<Target>): Target[] {
  const mayLeave = facts.mayLeave && policy.mayLeave;
  if (!policy.hasTargetRules) return planAttempts({ ...facts, mayLeave });
  const targets = facts.targets.filter((target) => policy.mayReach(target));
  if (targets.length === 0 && facts.targets.length > 0) {
    throw new PosternError("no_target", {
      message: "No inference server that this key may use serves this model now",
    });
  }
  return planAttempts({ ...facts, targets, mayLeave }).sort((a, b) => policy.compare(a, b));
}
