import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startAdmin, type TestAdmin } from "../../test/support/admin-side.ts";
import { targetView } from "../../test/support/fake-live-gateway.ts";
import { DEFAULT_ALERTS } from "../config/alerts.ts";
import { defaultConfig } from "../config/defaults.ts";
import { drillPlan, drillRecord } from "../continuity/drill/__fixtures__/drill-record.ts";
import { ManualClock } from "../lib/clock.ts";
import { Secret } from "../lib/secret.ts";
import type { AuditDraft } from "../storage/audit-chain.ts";
import { ADMIN_PREFIX } from "./contract.ts";
import { RefusalLog } from "./refusal-log.ts";
import { ROUTES } from "./routes/table.ts";

const PASSWORD = "correct horse battery";

let admin: TestAdmin;
beforeAll(async () => {
  const ops = {
    severity: "info",
    rules: null,
    caFile: null,
    url: new Secret("https://hooks.example.org"),
    secret: null,
  };
  const channels = [{ name: "ops", type: "webhook" as const, ...ops, severity: "info" as const }];
  const continuity = { ...defaultConfig("").continuity, drills: [drillPlan()] };
  admin = await startAdmin({ config: { alerts: { ...DEFAULT_ALERTS, channels }, continuity } });
  await admin.owner.createUser({ name: "root", role: "owner", password: PASSWORD });
});
afterAll(() => admin.close());

async function logIn(): Promise<Record<string, string>> {
  const answer = await admin.send({
    method: "POST",
    path: "/admin/v1/session",
    body: { name: "root", password: PASSWORD },
  });
  const [cookie = ""] = (answer.headers["set-cookie"] ?? []) as string[];
  return { cookie: cookie.split(";")[0] ?? "", "x-postern-csrf": answer.json<{ csrfToken: string }>().csrfToken };
}

interface Case {
  /** Made beforehand; what it gives fills the path. */
  prepare?(): Promise<Record<string, string>>;
  body?: unknown;
  /** The entry's action. */
  action: string;
}

async function newKey(): Promise<{ key: string }> {
  return { key: (await admin.owner.createKey({ name: "app" })).key.id };
}

function askForApproval(id: string): void {
  const request = { id, scope: "audit", keyId: "k", model: "m", to: "cloud" as const };
  admin.live.approvalBook.ask(request, { nowMs: 0, monotonicMs: 0 });
}

async function runDrill(): Promise<{ drill: string }> {
  return { drill: (await admin.owner.drills.start({ plan: "cloud-away" })).id };
}

async function keptDrill(): Promise<{ drill: string }> {
  admin.live.drill = null;
  const record = drillRecord({ id: "01b0" });
  await admin.store.drills.put({ ...record, body: JSON.stringify(record) });
  return { drill: record.id };
}

const named = (name: string, value: string) => async () => ({ [name]: value });

/** For every route that changes something, a call that does. A route without a case fails the test below. */
const CASES: Record<string, Case> = {
  "POST /backup": { body: { path: "BACKUP" }, action: "backup.create" },
  "POST /session": { body: { name: "root", password: PASSWORD }, action: "sessions.start" },
  "DELETE /session": { action: "sessions.end" },
  "POST /password": { body: { current: PASSWORD, password: PASSWORD }, action: "users.update" },
  "POST /setup": { action: "users.create" },
  "POST /setup-link": { body: {}, action: "setup.link" },
  "POST /keys": { body: { name: "app" }, action: "keys.create" },
  "PATCH /keys/{key}": { prepare: newKey, body: { name: "renamed" }, action: "keys.update" },
  "POST /keys/{key}/rotate": { prepare: newKey, body: {}, action: "keys.rotate" },
  "POST /keys/{key}/disable": { prepare: newKey, body: {}, action: "keys.disable" },
  "POST /keys/{key}/enable": {
    async prepare() {
      const { key } = await newKey();
      await admin.owner.disableKey(key);
      return { key };
    },
    body: {},
    action: "keys.enable",
  },
  "POST /keys/{key}/revoke": {
    prepare: newKey,
    body: {},
    action: "keys.revoke",
  },
  "POST /endpoints": { body: { name: "vm", host: "vm.example.org" }, action: "endpoints.create" },
  "PATCH /endpoints/{endpoint}": {
    prepare: named("endpoint", "vm"),
    body: { owner: "ada" },
    action: "endpoints.update",
  },
  "DELETE /endpoints/{endpoint}": { prepare: named("endpoint", "vm"), action: "endpoints.remove" },
  "POST /access/rules": { body: { effect: "deny", range: "203.0.113.7", name: "scanner" }, action: "access.create" },
  "DELETE /access/rules/{rule}": { prepare: named("rule", "scanner"), action: "access.remove" },
  "POST /nodes": { body: { name: "forge" }, action: "nodes.invite" },
  "PATCH /nodes/{node}": {
    prepare: named("node", "forge"),
    body: { locality: "rented", tags: ["gpu"] },
    action: "nodes.update",
  },
  "POST /nodes/{node}/drain": { prepare: named("node", "forge"), body: {}, action: "nodes.drain" },
  "POST /nodes/{node}/resume": { prepare: named("node", "forge"), body: {}, action: "nodes.resume" },
  "PUT /nodes/{node}/wake": {
    async prepare() {
      await admin.owner.inviteNode({ name: "anvil" });
      return { node: "forge" };
    },
    body: { wake: { mac: "00:11:22:AA:BB:CC", via: "anvil" } },
    action: "nodes.set-wake",
  },
  "POST /nodes/{node}/wake": { prepare: named("node", "forge"), body: {}, action: "nodes.wake" },
  "POST /models/weights": {
    async prepare() {
      admin.live.targets = [targetView("forge"), targetView("anvil")];
      return {};
    },
    body: { model: "m", target: "forge", weight: 9 },
    action: "models.weight",
  },
  "POST /models/weights/rollback": { body: { model: "m" }, action: "models.roll-back-weights" },
  "DELETE /nodes/{node}": { prepare: named("node", "forge"), action: "nodes.remove" },
  "POST /contingency": { body: { reason: "announced outage", forMs: 3_600_000 }, action: "contingency.on" },
  "POST /drills": { body: { plan: "cloud-away" }, action: "drills.run" },
  "POST /drills/{drill}/abort": { prepare: runDrill, action: "drills.abort" },
  "POST /drills/{drill}/judge": { prepare: keptDrill, body: { sample: 1, ok: true }, action: "drills.judge" },
  "POST /drills/{drill}/notes": { prepare: keptDrill, body: { text: "the cat did it" }, action: "drills.note" },
  "POST /contingency/off": { body: {}, action: "contingency.off" },
  "POST /approvals/{request}/approve": {
    async prepare() {
      askForApproval("a");
      return { request: "a" };
    },
    body: {},
    action: "approvals.approve",
  },
  "POST /approvals/{request}/deny": {
    async prepare() {
      askForApproval("b");
      return { request: "b" };
    },
    body: {},
    action: "approvals.deny",
  },
  "POST /approvals/grants": {
    async prepare() {
      await admin.owner.createKey({ name: "strict", policy: { version: 1, workflow: "audit" } });
      return {};
    },
    body: { scope: "audit", forMs: 60_000 },
    action: "approvals.grant",
  },
  "DELETE /approvals/grants/{scope}": { prepare: named("scope", "audit"), action: "approvals.revoke" },
  "POST /tokens": { body: { name: "t" }, action: "tokens.create" },
  "POST /tokens/{token}/revoke": { prepare: named("token", "t"), body: {}, action: "tokens.revoke" },
  "POST /users": { body: { name: "bob", password: PASSWORD }, action: "users.create" },
  "PATCH /users/{user}": { prepare: named("user", "bob"), body: { role: "operator" }, action: "users.update" },
  "DELETE /users/{user}": { prepare: named("user", "bob"), action: "users.remove" },
  "POST /alerts/test": { body: { channel: "ops" }, action: "alerts.test" },
  "POST /alerts/silences": {
    body: { rule: "node-away", forMs: 3_600_000, reason: "a new disk" },
    action: "alerts.silence",
  },
  "DELETE /alerts/silences/{silence}": {
    prepare: async () => ({ silence: (await admin.owner.alerts.list()).silences[0]?.id ?? "" }),
    action: "alerts.unsilence",
  },
  "POST /alerts/{alert}/ack": {
    async prepare() {
      const alert = (await admin.owner.alerts.list()).firing[0]?.id ?? "";
      const { severity, key, ...times } = { severity: "warning", key: "forge", startedAtMs: 1, firedAtMs: 2 };
      const state = { resolvedAtMs: null, toldAtMs: null, ack: null };
      const record = { id: alert, rule: "node-away", key, severity, summary: "away", labels: {}, ...times, ...state };
      await admin.store.alerts.save([record], []);
      return { alert };
    },
    body: { note: "on my way" },
    action: "alerts.acknowledge",
  },
  "DELETE /sessions/{session}": {
    async prepare() {
      await logIn();
      return { session: (await admin.owner.listSessions()).at(-1)?.id ?? "" };
    },
    action: "sessions.end",
  },
};

describe("the audit trail has an entry, with who and from where and without secrets, after", () => {
  const changing = ROUTES.filter(({ access }) => access === "write");
  test.each(changing.map((route) => [`${route.method} ${route.path}`, route] as const))("%s", async (name, route) => {
    const made = CASES[name];
    if (made === undefined) throw new Error("this route has no case here: add one");
    if (route.path === "/setup" || route.path === "/setup-link") await admin.owner.removeUser("root");
    const params = (await made.prepare?.()) ?? {};
    const code = route.path === "/setup" ? (await admin.owner.createSetupLink(false)).code : "";
    const isAnonymous = route.role === "anyone";
    const headers = isAnonymous
      ? {}
      : route.path === "/setup-link"
        ? { authorization: `Bearer ${await admin.token("owner")}` }
        : await logIn();
    const before = (await admin.owner.listAudit({ limit: 1 })).entries[0]?.seq ?? 0;

    const body =
      route.path === "/setup"
        ? { code, name: "root", password: PASSWORD }
        : JSON.parse(JSON.stringify(made.body ?? null).replace("BACKUP", `${admin.folder}/copy.db`));
    const answer = await admin.send({
      method: route.method,
      path: `${ADMIN_PREFIX}${route.path.replace(/\{(\w+)\}/g, (_, word: string) => params[word] ?? "")}`,
      headers,
      ...(route.method === "DELETE" ? {} : { body }),
    });
    expect([answer.text, answer.status]).toEqual([answer.text, route.status]);

    const { entries } = await admin.owner.listAudit({});
    const entry = entries.find((one) => one.seq > before && one.action === made.action);
    expect(entry, `an entry "${made.action}"`).toBeDefined();
    expect(entry?.actor.address).toBe("127.0.0.1");
    const kind = route.path === "/setup" ? "anonymous" : route.path === "/setup-link" ? "token" : "user";
    expect(entry?.actor.kind).toBe(kind);
    const secrets = [
      answer.text.match(/"(?:secret|code|cookie)":"([^"]+)"/)?.[1],
      PASSWORD,
      "$argon2id",
      headers["cookie"],
    ];
    for (const secret of secrets) if (secret !== undefined) expect(JSON.stringify(entries)).not.toContain(secret);
    if (route.path === "/setup-link") await admin.owner.createUser({ name: "root", role: "owner", password: PASSWORD });
    expect((await admin.owner.verifyAudit()).fault).toBeNull();
  });
});

test("a refused call is in the trail, with the route's own name and none of the caller's text", async () => {
  await admin.send({ method: "DELETE", path: "/admin/v1/nodes/<script>" });
  await admin.send({ path: "/admin/v1/secret-text" });
  const viewer = await admin.owner.createToken({ name: "looker" });
  await expect(admin.remote(viewer.secret).removeNode("x")).rejects.toMatchObject({ code: "forbidden" });
  // Entries about refusals are written behind the answer; a write that is waited for comes after them.
  await admin.store.settings.set("test", new Uint8Array());
  const { entries } = await admin.owner.listAudit({ action: "refused", limit: 3 });
  expect(entries.map(({ actor, subject, after }) => [actor.kind, actor.address, subject, after])).toEqual([
    ["token", "127.0.0.1", "DELETE /nodes/{node}", { call: "DELETE /nodes/{node}", code: "forbidden" }],
    ["anonymous", "127.0.0.1", "unknown", { call: "unknown", code: "unauthorized" }],
    ["anonymous", "127.0.0.1", "DELETE /nodes/{node}", { call: "DELETE /nodes/{node}", code: "unauthorized" }],
  ]);
  expect(entries[0]?.actor.id).toBe(viewer.token.id);
});

describe("RefusalLog", () => {
  function setUp() {
    const clock = new ManualClock();
    const entries: AuditDraft[] = [];
    const log = new RefusalLog({
      clock,
      append: async (entry) => void entries.push(entry),
      onFailure: (error) => expect.unreachable(String(error)),
    });
    const refuse = (address: string, code = "unauthorized") =>
      log.refused({
        actor: { kind: "anonymous", id: null, name: "anonymous", address },
        call: "GET /keys",
        code,
        user: null,
      });
    return { clock, entries, log, refuse };
  }

  test("writes at most 21 entries an hour, whatever comes, the last one summing up", async () => {
    const { clock, entries, refuse } = setUp();
    for (let at = 0; at < 100_000; at += 1)
      refuse(`192.0.${at % 256}.${at % 7}`, at % 2 === 0 ? "unauthorized" : "forbidden");
    expect(entries).toHaveLength(20);
    clock.advance(60 * 60_000);
    expect(entries).toHaveLength(21);
    const sum = entries[20]?.after as { count: number; codes: object; addresses: object };
    expect(sum).toMatchObject({ count: 99_980, codes: { unauthorized: 49_990, forbidden: 49_990 } });
    expect(Object.keys(sum.addresses)).toHaveLength(11);
    expect(JSON.stringify(entries).length).toBeLessThan(10_000);
    refuse("192.0.2.1");
    expect(entries).toHaveLength(22);
  });

  test("writes what it has counted when the gateway stops, and leaves no timer", async () => {
    const { clock, entries, log, refuse } = setUp();
    for (let at = 0; at < 25; at += 1) refuse("192.0.2.1");
    await log.flush();
    expect(entries[20]).toMatchObject({ action: "refused-more", after: { count: 5, addresses: { "192.0.2.1": 5 } } });
    expect(clock.pendingTimers).toBe(0);
    await log.flush();
    expect(entries).toHaveLength(21);
  });
});
