import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FastifyInstance } from "fastify";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FakeGateway } from "../../test/support/fake-live-gateway.ts";
import { directNode } from "../../test/support/gateway-config.ts";
import type { KeyRecord } from "../access/key.ts";
import { defaultConfig } from "../config/defaults.ts";
import type { KeyTemplate } from "../config/resolved.ts";
import { PosternError } from "../errors.ts";
import { ManualClock } from "../lib/clock.ts";
import { Secret } from "../lib/secret.ts";
import type { AuditDraft } from "../storage/audit-chain.ts";
import type { InvitationRecord, NodeRecord, Store, UsageRow } from "../storage/store.ts";
import { engineReport, modelReport, nodeReport } from "../tunnel/__fixtures__/node-report.ts";
import type { Link } from "../tunnel/link.ts";
import { AdminAccess } from "./access/access.ts";
import { ownersDoor } from "./access/door.ts";
import { AdminClient } from "./client.ts";
import type { LiveGateway } from "./context.ts";
import { createAdmin } from "./create-context.ts";
import { createAdminApp, listenOnSocket } from "./server.ts";
import { adminSocketPath } from "./socket-path.ts";
import { injectTransport, remoteTransport, socketTransport } from "./transport.ts";

/** Keeps lists in memory. Unlike a real store it locks nothing, checks nothing and survives nothing. */
function memoryStore(rows: UsageRow[] = [], entries: AuditDraft[] = []): Store {
  const keys: KeyRecord[] = [];
  const nodes: NodeRecord[] = [];
  const invitations: InvitationRecord[] = [];
  const nothing = async (): Promise<never> => {
    throw new Error("not part of this fake");
  };
  const store: Store = {
    keys: {
      insert: async (key) => void keys.push(key),
      list: async () => structuredClone(keys),
      find: async (idOrName) => {
        const byId = keys.filter((one) => one.id === idOrName);
        return structuredClone(byId.length > 0 ? byId : keys.filter((one) => one.name === idOrName));
      },
      async update(id, changes) {
        const key = keys.find((one) => one.id === id && one.revokedAtMs === null);
        return key === undefined ? null : structuredClone(Object.assign(key, changes));
      },
    },
    nodes: {
      list: async () => [...nodes],
      insert: async (node) => void nodes.push(node),
      async update(id, changes) {
        const index = nodes.findIndex((node) => node.id === id);
        const node = nodes[index];
        if (node !== undefined) nodes[index] = { ...node, ...changes };
        return node !== undefined;
      },
      remove: async (id) =>
        nodes.splice(
          nodes.findIndex((node) => node.id === id),
          1,
        ).length > 0,
      connectors: async () => [],
      removeConnector: nothing,
      touchConnector: nothing,
      insertInvitation: async (one) => void invitations.push(one),
      invitations: async () => [...invitations],
      redeemInvitation: nothing,
    },
    places: {
      endpoints: async () => [],
      insertEndpoint: nothing,
      updateEndpoint: nothing,
      removeEndpoint: nothing,
      rules: async () => [],
      insertRule: nothing,
      removeRule: nothing,
    },
    settings: { get: async () => null, set: nothing },
    usage: {
      ingest: nothing,

      report: async () => rows,
      reportAtStart: async () => rows,
      request: async () => null,
      requests: nothing,
      answered: nothing,
      perHourOfWeek: nothing,
      prune: nothing,
    },
    tokens: { insert: nothing, list: nothing, revoke: nothing },
    users: { insert: nothing, list: nothing, update: nothing, remove: nothing },
    alerts: {
      save: nothing,
      unresolved: async () => [],
      list: async () => [],
      prune: nothing,
      acknowledge: nothing,
      silences: async () => [],
      insertSilence: nothing,
      removeSilence: nothing,
    },
    sessions: { insert: nothing, list: nothing, touch: nothing, remove: nothing },
    drills: { put: nothing, find: nothing, list: nothing, unfinished: nothing },
    backup: async (path) => writeFileSync(path, "copy", { flag: "wx" }),
    audit: { append: async (entry) => void entries.push(entry), list: nothing, prune: nothing, verify: nothing },
    audited(entry) {
      entries.push(entry);
      return store;
    },
    health: async () => null,
    close: async () => {},
  };
  return store;
}

const apps: FastifyInstance[] = [];
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "postern-admin-"));
});
afterEach(async () => {
  await Promise.all(apps.splice(0).map((app) => app.close()));
  rmSync(folder, { recursive: true });
});

interface SetUpOptions {
  live?: LiveGateway | null;
  rows?: UsageRow[];
  failures?: PosternError[];
  store?: Store;
  templates?: ReadonlyMap<string, KeyTemplate>;
}

function setUp(options: SetUpOptions = {}) {
  const clock = new ManualClock(1_700_000_000_000);
  const live = options.live === undefined ? new FakeGateway() : options.live;
  const base = defaultConfig(folder);
  const contextFor = createAdmin({
    version: "1.2.3",
    config: {
      ...base,
      file: "/etc/postern.yaml",
      nodes: [{ ...directNode("file-node", "http://10.0.0.2:1"), place: "/etc/postern.yaml:7" }],
      keyTemplates: options.templates ?? new Map(),
    },
    store: options.store ?? memoryStore(options.rows),
    captures: { read: async () => null, forgetKey: async () => 0 },
    clock,
    live,
    access: new AdminAccess(),
    async mintInvitation() {
      const id = randomBytes(6).toString("hex");
      return { id, hash: createHash("sha256").update(id).digest(), code: new Secret(`pstn_${id}_secret`) };
    },
    settleUsage: async () => {},
  });
  const app = createAdminApp({
    contextFor,
    door: ownersDoor("socket"),
    onFailure: (error) => options.failures?.push(error),
  });
  apps.push(app);
  return { app, clock, live: live as FakeGateway, client: new AdminClient(injectTransport(app)) };
}

test("a key is shown once, listed without its hash, and its revocation reaches the gateway at once", async () => {
  const { client, live, clock } = setUp();
  const { key, secret } = await client.createKey({
    name: "laptop",
    policy: { version: 1, models: ["llama*"] },
    expiresInMs: 60_000,
  });
  expect(secret).toMatch(/^pst_[0-9A-Za-z]{12}_[0-9A-Za-z]{43}$/);
  expect(key).toMatchObject({ name: "laptop", state: "active" });
  expect(key.policy).toEqual({ version: 1, models: ["llama*"], expiresAtMs: clock.nowMs() + 60_000 });
  expect(key.spending).toMatchObject({ tokensToday: 1 });
  const listed = JSON.stringify(await client.listKeys());
  expect(listed).not.toContain(secret.slice(17));
  expect(listed).not.toContain("ash");

  expect(await client.revokeKey("laptop")).toMatchObject({ state: "revoked", revokedAtMs: clock.nowMs() });
  clock.advance(1000);
  expect((await client.revokeKey(key.id)).revokedAtMs).toBe(clock.nowMs() - 1000);
  expect(live.calls).toEqual(["laptop: open", "laptop: revoked"]);
});

test("a rotated key keeps its id, and its old secret's hash for as long as the grace", async () => {
  const { client, clock } = setUp();
  const first = await client.createKey({ name: "app" });
  const { key, secret } = await client.rotateKey("app", { graceMs: 5000 });
  expect(secret.slice(0, 17)).toBe(first.secret.slice(0, 17));
  expect(secret).not.toBe(first.secret);
  expect(key).toMatchObject({ id: first.key.id, state: "active", previousUntilMs: clock.nowMs() + 5000 });
  clock.advance(5000);
  expect((await client.showKey("app")).previousUntilMs).toBeNull();
  expect((await client.rotateKey("app", { graceMs: 0 })).key.previousUntilMs).toBeNull();
});

test("a key is switched off and on, and a revoked one is changed no more", async () => {
  const { client, live } = setUp();
  await client.createKey({ name: "app" });
  expect((await client.disableKey("app")).state).toBe("disabled");
  expect((await client.disableKey("app")).state).toBe("disabled");
  expect((await client.enableKey("app")).state).toBe("active");
  const updated = await client.updateKey("app", { name: "other", policy: { version: 1, requestsPerMinute: 5 } });
  expect(updated).toMatchObject({ name: "other", policy: { version: 1, requestsPerMinute: 5 } });
  await client.revokeKey("other");
  for (const change of [
    () => client.updateKey("other", { name: "x" }),
    () => client.rotateKey("other"),
    () => client.disableKey("other"),
  ]) {
    await expect(change()).rejects.toMatchObject({ code: "invalid_input" });
  }
  expect(live.calls).toEqual(["app: open", "app: disabled", "app: open", "other: open", "other: revoked"]);
});

test("a key is shut in the running gateway even where the store does not take it, and the answer says so", async () => {
  const store = memoryStore();
  const { client, live } = setUp({ store });
  await client.createKey({ name: "leaked" });
  store.keys.update = async () => {
    throw new PosternError("store_locked");
  };
  await expect(client.revokeKey("leaked")).rejects.toMatchObject({
    code: "store_locked",
    message: expect.stringContaining("opens nothing until this gateway restarts"),
  });
  await expect(client.updateKey("leaked", { name: "x" })).rejects.toMatchObject({ code: "store_locked" });
  expect(live.calls).toEqual(["leaked: open", "leaked: revoked"]);
});

test("a template is what a key starts from, and what the key says itself counts before it", async () => {
  const words = { models: ["llama*"], requestsPerMinute: 60, expiresInMs: 1000 };
  const { client, clock } = setUp({ templates: new Map([["team", words]]) });
  const { key } = await client.createKey({ name: "a", template: "team", policy: { version: 1, requestsPerMinute: 5 } });
  const expiresAtMs = clock.nowMs() + 1000;
  expect(key.policy).toEqual({ version: 1, models: ["llama*"], requestsPerMinute: 5, expiresAtMs });
  await expect(client.createKey({ name: "b", template: "nobody" })).rejects.toMatchObject({
    code: "not_found",
    hint: "There are: team.",
  });
});

test("every fault of a policy is reported with its path", async () => {
  const { app } = setUp();
  const policy = { version: 2, models: [""], addresses: ["10.0.0.1/8"], budgets: { tokensPerDay: {} }, capture: true };
  const answer = await app.inject({ method: "POST", url: "/admin/v1/keys", payload: { name: "a", policy } });
  expect(answer.statusCode).toBe(400);
  const paths = answer.json().error.faults.map((fault: { path: string }) => fault.path);
  for (const path of ["policy.version", "policy.models[0]", "policy.addresses[0]", "policy.budgets.tokensPerDay"]) {
    expect(paths).toContain(path);
  }
  expect(answer.json().error.message).toContain("capture");
});

test("an expired key says so", async () => {
  const { client, clock } = setUp();
  await client.createKey({ name: "short", expiresInMs: 1000 });
  clock.advance(1000);
  expect((await client.showKey("short")).state).toBe("expired");
});

test("a name that several keys have is refused with their ids", async () => {
  const { client } = setUp();
  const first = await client.createKey({ name: "twin" });
  await client.createKey({ name: "twin" });
  await expect(client.revokeKey("twin")).rejects.toMatchObject({
    code: "invalid_input",
    hint: expect.stringContaining(first.key.id),
  });
  await expect(client.showKey("nobody")).rejects.toMatchObject({ code: "not_found" });
});

test("inviting makes the node, and gives a line to paste with the digest and the code", async () => {
  const { client, live } = setUp();
  const invited = await client.inviteNode({ name: "forge", models: ["llama*"], maxUses: 3, isEphemeral: true });
  expect(invited.code).toMatch(/^pstn_/);
  expect(invited.joinLine).toContain(`https://ai.example.org ${"a".repeat(64)} ${invited.code}`);
  expect(invited.warnings).toEqual([]);
  const again = await client.inviteNode({ name: "forge" });
  expect(live.calls).toEqual(["added forge"]);
  expect((await client.showNode("forge")).invitations.map((one) => one.id)).toEqual([
    invited.invitation.id,
    again.invitation.id,
  ]);
  await expect(client.inviteNode({ name: "forge", models: ["other"] })).rejects.toThrow(/exists with other models/);
});

test("inviting warns where the address reaches this machine only, and refuses plain http elsewhere", async () => {
  const { client } = setUp();
  expect((await client.inviteNode({ name: "a", url: "http://127.0.0.1:8400" })).warnings).toHaveLength(1);
  await expect(client.inviteNode({ name: "a", url: "http://ai.example.org" })).rejects.toThrow(/https:/);
});

test("a node shows its links, its engines once however many connectors share them, and what is not granted", async () => {
  const live = new FakeGateway();
  const { client } = setUp({ live });
  await client.inviteNode({ name: "forge" });
  const { id: nodeId } = await client.showNode("forge");
  const link = (connectorId: string, state: Link["state"]): Link => ({
    id: { nodeId, connectorId, slot: 0, epoch: 1 },
    remoteAddress: "192.0.2.7",
    carrier: "direct",
    connectedAtMs: 5,
    state,
    canAccept: () => true,
    ping: async () => 1,
    drain: async () => {},
    close: async () => {},
    stats: () => ({ streamsActive: 2, streamsTotal: 3, bytesIn: 0, bytesOut: 0, lastPingMs: 1.5 }),
    start: () => ({ pause() {}, resume() {}, cancel() {} }),
  });
  const model = modelReport("m", { loaded: true, contextLength: 8, sizeBytes: 9, quantization: "Q8" });
  const shared = engineReport([], {
    version: "1",
    operations: [],
    slots: 1,
    load: { running: 1, queued: 0, kvUse: null },
    advisories: [
      { severity: "critical", id: "CVE-1", text: "Bad.", upgradeTo: "2" },
      { severity: "info", id: "old", text: "Old.", upgradeTo: null },
    ],
    models: [model, { ...model, name: "secret" }],
  });
  const report = { ...nodeReport(shared), agentVersion: "9.9.9" };
  live.links = () => [
    link("a", "ready"),
    link("b", "suspect"),
    { ...link("c", "ready"), id: { nodeId: "other", connectorId: "c", slot: 0, epoch: 1 } },
  ];
  live.report = () => report;
  live.isGranted = (_nodeId, name) => name !== "secret";

  const node = await client.showNode("forge");
  expect(node).toMatchObject({ state: "ready", agentVersion: "9.9.9", hardware: report.hardware });
  expect(node.links.map((one) => [one.connectorId, one.state, one.streamsActive])).toEqual([
    ["a", "ready", 2],
    ["b", "suspect", 2],
  ]);
  expect(node.engines.map((one) => one.name)).toEqual(["ollama"]);
  expect(node.engines[0]).toMatchObject({ load: shared.load, advisories: shared.advisories });
  expect((await client.status()).engineAdvisories).toEqual([
    { severity: "critical", id: "CVE-1", text: "Bad.", upgradeTo: "2", node: "forge", engine: "ollama", version: "1" },
  ]);
  expect(node.models.map((one) => [one.name, one.granted])).toEqual([
    ["m", true],
    ["secret", false],
  ]);
  live.links = () => [link("b", "suspect")];
  expect((await client.showNode("forge")).state).toBe("connected");
});

test("status() has the alerts that nobody looks after, the worst first", async () => {
  const { client, live } = setUp();
  const usual = live.alerts.view();
  const [alert] = usual.firing;
  if (alert === undefined) throw new Error("no alert");
  const firing = [
    { ...alert, id: "taken", ack: { atMs: 1, by: "ada", note: null } },
    { ...alert, id: "silent", silencedBy: "s" },
    { ...alert, id: "mild" },
    { ...alert, id: "worst", severity: "critical" as const },
  ];
  live.alerts.view = () => ({ ...usual, firing });
  expect((await client.status()).alerts.map(({ id }) => id)).toEqual(["worst", "mild"]);
});

test("removing a node ends its links and says how many", async () => {
  const { client, live } = setUp();
  await client.inviteNode({ name: "forge" });
  expect(await client.removeNode("forge")).toEqual({ name: "forge", linksClosed: 2 });
  expect(live.calls).toContain("removed forge");
  await expect(client.removeNode("forge")).rejects.toMatchObject({ code: "not_found" });
});

test("a node of the file is shown, and refused for change with the file and the line", async () => {
  const { client } = setUp();
  expect(await client.showNode("file-node")).toMatchObject({ origin: "file", state: "away" });
  const refusal = /\/etc\/postern\.yaml:7 and can only be changed there/;
  await expect(client.inviteNode({ name: "file-node" })).rejects.toThrow(refusal);
  await expect(client.removeNode("file-node")).rejects.toThrow(refusal);
});

test("a node's tags, locality and grant change by name, one by one", async () => {
  const { client } = setUp();
  await client.inviteNode({ name: "forge", url: "https://ai.example.org" });
  await client.updateNode("forge", { tags: ["gpu", "gpu"], locality: "rented" });
  const changed = await client.updateNode("forge", { models: ["llama*"] });
  expect(changed).toMatchObject({ tags: ["gpu"], locality: "rented", grants: ["llama*"] });
  await expect(client.updateNode("nobody", { tags: [] })).rejects.toMatchObject({ code: "not_found" });
  await expect(client.updateNode("file-node", { tags: [] })).rejects.toThrow(/can only be changed there/);
});

test("without a gateway the same contract answers what the store knows", async () => {
  const { client } = setUp({ live: null });
  await client.createKey({ name: "first" });
  expect(await client.status()).toMatchObject({ gateway: null, keys: { active: 1, total: 1 } });
  expect((await client.inviteNode({ name: "forge", url: "https://ai.example.org" })).joinLine).toBeNull();
  await expect(client.listModels()).rejects.toMatchObject({ code: "gateway_unreachable" });
});

test("usage carries the names of keys and sums up", async () => {
  const row = {
    failed: 1,
    aborted: 0,
    tokensIn: 10,
    tokensInCached: 1,
    tokensOut: 5,
    tokensReasoning: 3,
    estimated: 0,
    timeToFirstTokenMs: 3.5,
    tokensPerSecond: 9,
    costMicros: 2,
  };
  const { client } = setUp({
    rows: [
      { ...row, group: "gone", requests: 1 },
      { ...row, group: "b", requests: 4 },
    ],
  });
  const report = await client.usage({ by: "model" });
  expect(report.rows.map((one) => [one.label, one.requests])).toEqual([
    ["b", 4],
    ["gone", 1],
  ]);
  expect(report.total).toEqual({
    requests: 5,
    failed: 2,
    aborted: 0,
    tokensIn: 20,
    tokensInCached: 2,
    tokensOut: 10,
    tokensReasoning: 6,
    estimated: 0,
    costMicros: 4,
  });
  await expect(client.usage({ by: "day", sinceMs: 2, untilMs: 1 })).rejects.toMatchObject({ code: "invalid_input" });
});

test("a backup wants an absolute path and tells the size", async () => {
  const { client } = setUp();
  const path = join(folder, "copy.db");
  expect(await client.backup(path)).toEqual({ path, bytes: 4 });
  await expect(client.backup("copy.db")).rejects.toThrow(/absolute/);
});

test("unknown fields, wrong types, unknown parameters and foreign bodies are refused with all faults", async () => {
  const { app, client } = setUp();
  const answer = await app.inject({
    method: "POST",
    url: "/admin/v1/keys",
    payload: { name: "", model: "x", expiresInMs: 1 },
  });
  expect(answer.statusCode).toBe(400);
  expect(answer.json().error.faults.map((fault: { path: string }) => fault.path)).toEqual(["name", "expiresInMs", ""]);
  expect((await app.inject({ url: "/admin/v1/keys?x=1" })).statusCode).toBe(400);
  expect((await app.inject({ url: "/admin/v1/usage?by=week" })).statusCode).toBe(400);
  expect((await app.inject({ url: "/admin/v1/nothing" })).json().error.code).toBe("not_found");
  const text = {
    method: "POST",
    url: "/admin/v1/keys",
    headers: { "content-type": "text/plain" },
    payload: "{}",
  } as const;
  expect((await app.inject(text)).statusCode).toBe(400);
  await expect(client.inviteNode({ name: "Not A Name" })).rejects.toMatchObject({ code: "invalid_input" });
});

test("a failure inside says nothing to the asker and everything to the log", async () => {
  const failures: PosternError[] = [];
  const live = new FakeGateway();
  live.models = () => {
    throw new Error("secret detail");
  };
  const { app } = setUp({ live, failures });
  const answer = await app.inject({ url: "/admin/v1/models" });
  expect(answer.statusCode).toBe(500);
  expect(answer.payload).not.toContain("secret detail");
  expect(failures[0]?.cause).toMatchObject({ message: "secret detail" });
});

test.skipIf(process.platform === "win32")(
  "the socket is 0600, refuses a second gateway and replaces a dead one's",
  async () => {
    const { app } = setUp();
    const path = adminSocketPath(folder);
    writeFileSync(path, "left behind");
    await listenOnSocket(app, path);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const client = new AdminClient(socketTransport(path));
    expect((await client.status()).version).toBe("1.2.3");
    expect((await client.probeModel({ model: "m" })).ok).toBe(true);
    await expect(listenOnSocket(setUp().app, path)).rejects.toMatchObject({ code: "store_locked" });
  },
);

test("a client whose gateway is gone, or is something else, says so", async () => {
  await expect(new AdminClient(socketTransport(join(folder, "none.sock"))).status()).rejects.toMatchObject({
    code: "gateway_unreachable",
    hint: expect.stringContaining("postern up"),
  });
  const path = join(folder, "other.sock");
  const other = createServer((socket) => socket.resume().end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"));
  await new Promise<void>((resolve) => other.listen(path, resolve));
  await expect(new AdminClient(socketTransport(path)).status()).rejects.toMatchObject({ code: "version_mismatch" });
  await new Promise((resolve) => other.close(resolve));
});

test("a remote gateway is asked with the token, and other answers are not taken for one", async () => {
  const asked: Array<string | undefined> = [];
  const remote = createHttpServer((request, response) => {
    asked.push(`${request.method} ${request.url} ${request.headers.authorization}`);
    if (request.url === "/admin/v1/keys") response.end('{"keys":[]}');
    else response.writeHead(404).end("Not found");
  });
  await new Promise<void>((ready) => remote.listen(0, "127.0.0.1", ready));
  const { port } = remote.address() as AddressInfo;
  const client = new AdminClient(remoteTransport(new URL(`http://127.0.0.1:${port}`), new Secret("psta_t")));
  expect(await client.listKeys()).toEqual([]);
  await expect(client.status()).rejects.toThrow(/not a Postern gateway answered with HTTP status 404/);
  expect(asked).toEqual(["GET /admin/v1/keys Bearer psta_t", "GET /admin/v1/status Bearer psta_t"]);
  await new Promise((closed) => remote.close(closed));
});

test("adminSocketPath() stays short enough for a socket however long the data folder is", () => {
  expect(Buffer.byteLength(adminSocketPath(join(folder, "x".repeat(200))))).toBeLessThanOrEqual(103);
});
