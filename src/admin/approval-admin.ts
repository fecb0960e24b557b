import type { ApprovalRequest } from "../continuity/approvals.ts";
import { PosternError } from "../errors.ts";
import { actorOf, labelOf } from "./caller.ts";
import { checkWorkflow } from "./check-workflow.ts";
import type { AdminContext } from "./context.ts";
import type { ApprovalsView } from "./contract-continuity.ts";
import type { CallParts } from "./create-context.ts";
import { findKey } from "./find-key.ts";

/** Where operators decide about requests that wait, as a running gateway gives it out. Decisions count at once. */
export interface ApprovalDesk {
  view(): ApprovalsView;
  find(id: string): ApprovalRequest | null;
  decide(id: string, isApproved: boolean, by: string): boolean;
  grant(scope: string, forMs: number, by: string): boolean;
  revoke(scope: string, by: string): boolean;
}

type ApprovalMethods = Pick<AdminContext, "listApprovals" | "decideApproval" | "grantApproval" | "revokeApproval">;

/** Approvals: only in memory, so that the trail is written first and a decision without an entry cannot be. */
export function createApprovalAdmin(parts: CallParts): ApprovalMethods {
  const { store, clock, config, live, caller } = parts;
  const by = labelOf(caller);

  function openDesk(): ApprovalDesk {
    if (live !== null) return live.approvals();
    throw new PosternError("gateway_unreachable", {
      message: "Requests wait for approvals in a running gateway, and none runs on this data folder",
      hint: "Start it with `postern up` or `postern gateway`.",
    });
  }
  async function write(action: string, subject: string, after: unknown): Promise<void> {
    await store.audit.append({ atMs: clock.nowMs(), actor: actorOf(caller), action, subject, before: null, after });
  }
  async function grant(desk: ApprovalDesk, scope: string, forMs: number): Promise<void> {
    await write("approvals.grant", `approvals of ${scope}`, { scope, forMs });
    if (!desk.grant(scope, forMs, by)) {
      throw new PosternError("invalid_input", {
        message: "Too many workflows and keys are approved for a time",
        hint: "Take some back: `postern approvals list`.",
      });
    }
  }
  return {
    listApprovals: async () => openDesk().view(),
    async decideApproval(id, isApproved, forMs) {
      const desk = openDesk();
      const request = desk.find(id);
      if (request === null) throw notWaiting(id);
      await write(isApproved ? "approvals.approve" : "approvals.deny", `request ${id}`, request);
      if (!desk.decide(id, isApproved, by)) throw notWaiting(id);
      if (forMs !== null) await grant(desk, request.scope, forMs);
      return desk.view();
    },
    async grantApproval({ scope, forMs }) {
      const desk = openDesk();
      if (scope.startsWith("key:")) await findKey(store, scope.slice("key:".length));
      else await checkWorkflow(scope, { store, config });
      await grant(desk, scope, forMs);
      return desk.view();
    },
    async revokeApproval(scope) {
      const desk = openDesk();
      const known = desk.view().grants.find((one) => one.scope === scope);
      if (known === undefined) {
        throw new PosternError("not_found", {
          message: `Nothing is approved for "${scope}"`,
          hint: "`postern approvals list` shows what is.",
        });
      }
      await write("approvals.revoke", `approvals of ${scope}`, known);
      desk.revoke(scope, by);
      return desk.view();
    },
  };
}

function notWaiting(id: string): PosternError {
  return new PosternError("not_found", {
    message: `No request with the id "${id}" waits for an approval`,
    hint: "It may have been answered, given up or timed out meanwhile: `postern approvals list`.",
  });
}
