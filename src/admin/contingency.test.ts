import { afterEach, describe, expect, test } from "vitest";
import { startAdmin, type TestAdmin } from "../../test/support/admin-side.ts";
import { ContingencyBook } from "../continuity/contingency-book.ts";
import { closedLine, encodeOpened } from "../storage/journal-line.ts";
import type { NodeRecord } from "../storage/store.ts";
import { requestClosed, requestOpened } from "../usage/__fixtures__/request-record.ts";

/** A journal line of a request that is over. */
function record(id: string, contingency: string | null, at: { target: string; nodeId: string | null }): string {
  const times = { startedAtMs: 1, endedAtMs: 2, status: 200, errorCode: null, bytesOut: 1 };
  const opened = requestOpened(id, { workflow: "audit", contingency });
  const attempt = { id: `a-${id}`, index: 0, engine: "e", engineModel: "m", ...at, ...times };
  return closedLine(encodeOpened(opened), requestClosed(id, { contingency, attempts: [attempt] }));
}

let admin: TestAdmin;
afterEach(() => admin.close());

describe("contingency over the admin API", () => {
  test("goes on and off with who, why and until when in status and audit trail", async () => {
    admin = await startAdmin();
    const { scopes } = await admin.owner.contingencyOn({ reason: "announced outage", forMs: 7_200_000 });
    expect(scopes).toMatchObject([
      { workflow: null, state: "contingency", causes: [{ cause: "command", reason: "announced outage" }] },
    ]);
    expect(scopes[0]?.causes[0]?.by).toMatch(/^socket /);
    expect((await admin.owner.status()).contingency).toEqual(scopes);
    expect(admin.live.calls).toEqual(["contingency all: contingency"]);

    const off = await admin.owner.contingencyOff({});
    expect(off).toMatchObject({ wasOn: true, scopes: [{ state: "returning" }] });
    expect(await admin.owner.contingencyOff({ isAtOnce: true })).toMatchObject({ wasOn: true, scopes: [] });
    expect(await admin.owner.contingencyOff({})).toMatchObject({ wasOn: false });

    const { entries } = await admin.owner.listAudit({});
    expect(entries.map(({ action, subject }) => [action, subject])).toEqual([
      ["contingency.off", "contingency"],
      ["contingency.off", "contingency"],
      ["contingency.on", "contingency"],
    ]);
    expect(entries[2]).toMatchObject({ before: null, after: { causes: [{ reason: "announced outage" }] } });
  });

  test("is written before it counts: a gateway that starts from the store begins with it", async () => {
    admin = await startAdmin();
    await admin.owner.createKey({ name: "a", policy: { version: 1, workflow: "audit" } });
    await admin.owner.contingencyOn({ reason: "r", workflow: "audit" });
    const book = new ContingencyBook({
      rules: { rampMs: 0, automatic: null, windows: [] },
      clock: admin.clock,
      saved: await admin.store.settings.get("contingency"),
      onChange() {},
      save: async () => {},
      onFailure() {},
    });
    expect(book.verdict("audit", true)?.state).toBe("contingency");
    expect(book.verdict(undefined, true)).toBeNull();
  });

  test("has a log: requests that ran under it, with the names of their targets", async () => {
    admin = await startAdmin();
    const node: NodeRecord = { id: "n1", name: "forge", createdAtMs: 1, grants: null, tags: [], locality: "own" };
    await admin.store.nodes.insert(node);
    const asked = [
      record("01900000-0000-7000-8000-000000000001", "command", { target: "node/forge", nodeId: "n1" }),
      record("01900000-0000-7000-8000-000000000002", null, { target: "node/forge", nodeId: "n1" }),
      record("01900000-0000-7000-8000-000000000003", "schedule", { target: "provider/openai", nodeId: null }),
    ];
    await admin.store.usage.ingest(new Uint8Array(Buffer.from(asked.join(""))));
    const { requests } = await admin.owner.listRequests({ contingency: "only" });
    expect(requests.map(({ contingency, workflow, servedBy }) => [contingency, workflow, servedBy])).toEqual([
      ["schedule", "audit", "provider/openai"],
      ["command", "audit", "node/forge"],
    ]);
  });

  test("refuses a workflow that no key has, and says which there are", async () => {
    admin = await startAdmin();
    await admin.owner.createKey({ name: "a", policy: { version: 1, workflow: "audit" } });
    await expect(admin.owner.contingencyOn({ reason: "r", workflow: "audti" })).rejects.toMatchObject({
      code: "not_found",
      hint: "Workflows of keys: audit.",
    });
    await expect(admin.owner.contingencyOn({ reason: "" })).rejects.toMatchObject({ code: "invalid_input" });
  });

  test("comes with a review: what is lost with what, by the policies of the keys that work", async () => {
    admin = await startAdmin();
    await admin.owner.createKey({ name: "a" });
    await admin.owner.createKey({ name: "b", policy: { version: 1, models: ["other"] } });
    const gone = await admin.owner.createKey({ name: "c" });
    await admin.owner.revokeKey(gone.key.id);
    const { models } = await admin.owner.reviewContinuity();
    expect(models).toMatchObject([{ model: "m", keys: 1, singlePoints: ["node/forge", "every link", "the gateway"] }]);
  });

  test("may be seen by a viewer and switched by an operator", async () => {
    admin = await startAdmin();
    const viewer = admin.remote(await admin.token("viewer"));
    expect(await viewer.contingency()).toEqual({ scopes: [] });
    await expect(viewer.contingencyOn({ reason: "r" })).rejects.toMatchObject({ code: "forbidden" });
    const operator = admin.remote(await admin.token("operator", ["continuity:write"]));
    expect((await operator.contingencyOn({ reason: "r" })).scopes).toHaveLength(1);
  });
});
