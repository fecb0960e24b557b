import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startAdmin, type TestAdmin } from "../../test/support/admin-side.ts";
import type { KeyPolicy } from "../access/policy.ts";
import { AccessBook } from "./access/book.ts";
import type { AdminClient } from "./client.ts";

const CEILING: KeyPolicy = { version: 1, models: ["llama*"], mayLeave: "no", requestsPerMinute: 60 };
const WITHIN: KeyPolicy = { version: 1, models: ["llama3"], mayLeave: "no", requestsPerMinute: 10 };
const BEYOND: KeyPolicy = { version: 1, models: ["*"], requestsPerMinute: 600 };

let admin: TestAdmin;
let team: AdminClient;
beforeAll(async () => {
  const templates = new Map([
    ["wide", { models: ["*"], requestsPerMinute: 60, mayLeave: "no" as const }],
    ["narrow", { models: ["llama3"], requestsPerMinute: 60, mayLeave: "no" as const }],
  ]);
  admin = await startAdmin({ config: { keyTemplates: templates } });
  team = await below(CEILING);
});
afterAll(() => admin.close());

async function below(ceiling: KeyPolicy, scopes = ["keys:write", "tokens:write"], by = admin.owner) {
  const made = await by.createToken({
    name: "team",
    role: "operator",
    scopes: scopes as never,
    ceiling,
  });
  return admin.remote(made.secret);
}

const pathsOf = async (call: Promise<unknown>) => {
  const error = await call.then(
    () => null,
    (thrown: unknown) => thrown as { code: string; detail: { faults: Array<{ path: string }> } },
  );
  return error === null ? "done" : [error.code, ...(error.detail.faults ?? []).map(({ path }) => path)];
};

describe("below a ceiling", () => {
  test("a key may be made within it, and not beyond it: every fault is told with its path", async () => {
    expect(await pathsOf(team.createKey({ name: "a", policy: WITHIN }))).toBe("done");
    expect(await pathsOf(team.createKey({ name: "a", policy: BEYOND }))).toEqual([
      "forbidden",
      "policy.models",
      "policy.mayLeave",
      "policy.requestsPerMinute",
    ]);
    // Nothing said is everything.
    expect(await pathsOf(team.createKey({ name: "a" }))).toContain("policy.models");
  });

  test("a template is held against it as it comes out", async () => {
    expect(await pathsOf(team.createKey({ name: "a", template: "narrow" }))).toBe("done");
    expect(await pathsOf(team.createKey({ name: "a", template: "wide" }))).toEqual(["forbidden", "policy.models"]);
  });

  test("a key is not changed beyond it, and one that is beyond it is not touched at all", async () => {
    const { key: mine } = await team.createKey({ name: "mine", policy: WITHIN });
    expect(await pathsOf(team.updateKey(mine.id, { policy: BEYOND }))).toContain("policy.models");
    expect(await pathsOf(team.updateKey(mine.id, { policy: { ...WITHIN, concurrency: 1 } }))).toBe("done");
    expect(await pathsOf(team.rotateKey(mine.id, {}))).toBe("done");
    const { key: other } = await admin.owner.createKey({ name: "other", policy: BEYOND });
    for (const call of [
      () => team.updateKey(other.id, { policy: WITHIN }),
      () => team.updateKey(other.id, { name: "taken" }),
      () => team.rotateKey(other.id, {}),
      () => team.disableKey(other.id),
      () => team.enableKey(other.id),
      () => team.revokeKey(other.id),
    ]) {
      expect(await pathsOf(call())).toContain("key.policy.models");
    }
    expect((await admin.owner.showKey(other.id)).state).toBe("active");
  });

  test("tokens are made with that ceiling or a lower one, and mightier tokens are not ended", async () => {
    const secret = (await team.createToken({ name: "child", role: "operator", scopes: ["keys:write"] })).secret;
    const child = admin.remote(secret);
    expect(await pathsOf(child.createKey({ name: "a", policy: BEYOND }))).toContain("policy.models");
    expect(await pathsOf(below({ version: 1 }, ["keys:write"], team))).toContain("ceiling.models");
    expect(await pathsOf(below(WITHIN, ["keys:write"], team))).toBe("done");
    const free = await admin.owner.createToken({ name: "free", role: "operator", scopes: ["keys:write"] });
    expect(await pathsOf(team.revokeToken(free.token.id))).toEqual(["forbidden"]);
  });

  test.each([[null], [["keys:write", "access:write"]], [["endpoints:write"]], [["nodes:write"]]])(
    "there is no way around it: a token with one may not have the scopes %j",
    async (scopes) => {
      const call = admin.owner.createToken({
        name: "x",
        role: "operator",
        ceiling: CEILING,
        scopes: scopes as never,
      });
      expect(await pathsOf(call)).toEqual(["invalid_input"]);
    },
  );

  test("one that this version cannot read opens nothing", async () => {
    const made = await admin.owner.createToken({ name: "t", scopes: ["keys:write"], ceiling: CEILING });
    const stored = (await admin.store.tokens.list()).find(({ id }) => id === made.token.id);
    expect(JSON.parse(stored?.ceiling ?? "")).toEqual(CEILING);
    expect(made.token.ceiling).toEqual(CEILING);
    const book = new AccessBook();
    if (stored === undefined) throw new Error("no token");
    book.putToken({ ...stored, ceiling: '{"version":2}' });
    expect(book.identifyToken(made.secret, "127.0.0.1", 0)).toBeNull();
    book.putToken(stored);
    expect(book.identifyToken(made.secret, "127.0.0.1", 0)?.ceiling).toEqual(CEILING);
  });
});
