import { type Approvals, approvalScope } from "../continuity/approvals.ts";
import type { ContingencyBook } from "../continuity/contingency-book.ts";
import { PosternError } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import type { PlanJudges } from "./plan-for.ts";
import { isCloud } from "./plan-in-contingency.ts";
import type { Policies } from "./resolve-model.ts";
import type { Run } from "./run.ts";
import type { Target } from "./target.ts";

export interface JudgeDeps {
  clock: Clock;
  contingency: Pick<ContingencyBook, "verdict">;
  approvals: Approvals;
}

/** Whether an attempt may begin at a target of a plan that was made before: in contingency none goes to a provider any more. */
export function mayBegin(target: Target, workflow: string | undefined, contingency: JudgeDeps["contingency"]): boolean {
  return contingency.verdict(workflow, false)?.state !== "contingency" || !isCloud(target);
}

/** Suggested wait where as many requests wait for an approval as may. */
const FULL_RETRY_SECONDS = 30;

/** Contingency and operators, as far as they have a say about one request. What it asks them for ends with it. */
export function judgesFor(run: Run, policies: Policies, deps: JudgeDeps): PlanJudges {
  const { clock, contingency, approvals } = deps;
  const { workflow } = policies[0].document;
  const at = () => ({ nowMs: clock.nowMs(), monotonicMs: clock.monotonicMs() });
  const scope = () => approvalScope(workflow, run.key?.id ?? "");
  return {
    verdict: (hasProviders) => contingency.verdict(workflow, hasProviders),
    isApproved() {
      run.isApproved = approvals.isApproved(run.id, scope, at());
      return run.isApproved;
    },
    withdraw: () => approvals.leave(run.id),
    askApproval(to) {
      const isNew = approvals.find(run.id) === null;
      const request = { id: run.id, scope: scope(), keyId: run.key?.id ?? "", model: run.model ?? "", to };
      const answer = approvals.ask(request, at());
      switch (answer) {
        case "approved":
          run.isApproved = true;
          return true;
        case "waiting":
          if (isNew) run.reservations.add(() => approvals.leave(run.id));
          return false;
        case "denied":
          throw new PosternError("approval_denied");
        case "full":
          throw new PosternError("queue_full", {
            message: "As many requests wait for an operator's approval as may wait",
            retryAfterSeconds: FULL_RETRY_SECONDS,
          });
        default:
          return answer satisfies never;
      }
    },
  };
}
