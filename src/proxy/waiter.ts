import type { LiveKey } from "../access/live-key.ts";
import { PosternError, toPosternError } from "../errors.ts";
import type { WaitReason } from "../routing/plan.ts";
import type { RelayPlan } from "./relay-contract.ts";
import type { Run } from "./run.ts";
import type { Waiter } from "./waiting-room.ts";

/** What is given for a key that is named nowhere. */
const USUAL_WEIGHT = 1;

/**
 * A request on its way to the waiting room.
 *
 * @param weights Turns by name of key or workflow; the key's own name counts first.
 * @param planAgain Step 9 as of now; throws what ends the wait.
 */
export function makeWaiter(
  run: Run,
  key: LiveKey,
  bytes: number,
  reason: WaitReason,
  weights: ReadonlyMap<string, number>,
  planAgain: () => RelayPlan | WaitReason,
): Waiter {
  if (run.model === null) throw new PosternError("internal");
  const { workflow } = key.policy.document;
  const byWorkflow = workflow === undefined ? undefined : weights.get(workflow);
  return {
    keyId: key.id,
    weight: weights.get(key.record.name) ?? byWorkflow ?? USUAL_WEIGHT,
    model: run.model,
    bytes,
    startedMs: run.startedMs,
    reason,
    tryToGo() {
      const plan = planAgain();
      if (typeof plan === "string") return plan;
      run.relay?.go(plan);
      return null;
    },
    refuse: (error) => run.relay?.turnAway(toPosternError(error)),
  };
}
