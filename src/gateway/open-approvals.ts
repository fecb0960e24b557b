import type { Logger } from "pino";
import type { ApprovalDesk } from "../admin/approval-admin.ts";
import { type ApprovalRules, Approvals } from "../continuity/approvals.ts";
import type { Clock } from "../lib/clock.ts";

/** Approvals of a running gateway, each event in its log. */
export function openApprovals(rules: ApprovalRules, log: Logger): Approvals {
  return new Approvals(rules, (event) => {
    const { kind, ...fields } = event;
    log.warn(fields, `approval: ${kind}`);
  });
}

/** The operators' side of it. @param onDecision Lets requests that wait look again. */
export function liveApprovals(approvals: Approvals, clock: Clock, onDecision: () => void): ApprovalDesk {
  const at = () => ({ nowMs: clock.nowMs(), monotonicMs: clock.monotonicMs() });
  function decided(hasChanged: boolean): boolean {
    if (hasChanged) onDecision();
    return hasChanged;
  }
  return {
    view: () => approvals.view(at()),
    find: (id) => approvals.find(id),
    decide: (id, isApproved, by) => decided(approvals.decide(id, isApproved, by)),
    grant: (scope, forMs, by) => decided(approvals.grant(scope, forMs, by, at())),
    revoke: (scope, by) => approvals.revoke(scope, by),
  };
}
