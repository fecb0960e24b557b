import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startAdmin, type TestAdmin } from "../../test/support/admin-side.ts";

const HOUR = 3_600_000;

let admin: TestAdmin;
beforeEach(async () => {
  admin = await startAdmin();
});
afterEach(() => admin.close());

/** A request that waits. */
function ask(id: string, scope = "audit"): void {
  admin.live.approvalBook.ask({ id, scope, keyId: "k", model: "m", to: "cloud" }, { nowMs: 0, monotonicMs: 0 });
}

async function trail(): Promise<string[]> {
  return (await admin.owner.listAudit({})).entries.map(({ action, subject }) => `${action} ${subject}`);
}

describe("approvals over the admin API", () => {
  test("are listed, given and denied, each in the trail, and the requests that wait look again", async () => {
    ask("a");
    ask("b");
    expect((await admin.owner.approvals()).waiting.map(({ id }) => id)).toEqual(["a", "b"]);
    expect((await admin.owner.approve("a")).waiting.map(({ id }) => id)).toEqual(["b"]);
    expect((await admin.owner.deny("b")).waiting).toEqual([]);
    expect(admin.live.calls).toEqual(["targetsChanged", "targetsChanged"]);
    expect(await trail()).toEqual(["approvals.deny request b", "approvals.approve request a"]);
  });

  test("of one request can cover its workflow for a time, which can be taken back", async () => {
    ask("a");
    const { grants } = await admin.owner.approve("a", HOUR);
    expect(grants).toMatchObject([{ scope: "audit" }]);
    expect((await admin.owner.revokeApproval("audit")).grants).toEqual([]);
    await expect(admin.owner.revokeApproval("audit")).rejects.toMatchObject({ code: "not_found" });
    expect(await trail()).toEqual([
      "approvals.revoke approvals of audit",
      "approvals.grant approvals of audit",
      "approvals.approve request a",
    ]);
  });

  test("for a time need a workflow or key that there is, and an end", async () => {
    const { key } = await admin.owner.createKey({ name: "a", policy: { version: 1, workflow: "audit" } });
    expect((await admin.owner.grantApproval({ scope: "audit", forMs: HOUR })).grants).toHaveLength(1);
    expect((await admin.owner.grantApproval({ scope: `key:${key.id}`, forMs: HOUR })).grants).toHaveLength(2);
    await expect(admin.owner.grantApproval({ scope: "audti", forMs: HOUR })).rejects.toMatchObject({
      code: "not_found",
    });
    await expect(admin.owner.grantApproval({ scope: "key:zzzz", forMs: HOUR })).rejects.toMatchObject({
      code: "not_found",
    });
    await expect(admin.owner.grantApproval({ scope: "audit", forMs: 8 * 24 * HOUR })).rejects.toMatchObject({
      code: "invalid_input",
    });
  });

  test("that nobody waits for are not found, and leave no entry", async () => {
    await expect(admin.owner.approve("gone")).rejects.toMatchObject({ code: "not_found" });
    expect(await trail()).toEqual([]);
  });

  test("may be seen by a viewer and given by an operator", async () => {
    ask("a");
    const viewer = admin.remote(await admin.token("viewer"));
    expect((await viewer.approvals()).waiting).toHaveLength(1);
    await expect(viewer.approve("a")).rejects.toMatchObject({ code: "forbidden" });
    expect((await admin.remote(await admin.token("operator")).approve("a")).waiting).toEqual([]);
  });
});
