import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { keyRecord } from "../../test/support/key-record.ts";
import { DEFAULT_ENDPOINT } from "../access/endpoint.ts";
import type { KeyRecord } from "../access/key.ts";
import { requestClosed, requestOpened } from "../usage/__fixtures__/request-record.ts";
import type { Outcome, RequestClosed } from "../usage/record.ts";
import type { AlertDeliveryRecord, AlertRecord } from "./alert-store.ts";
import type { AuditDraft } from "./audit-chain.ts";
import { closedLine, encodeOpened, type SettledRequest } from "./journal-line.ts";
import { openSqliteStore } from "./sqlite/open-store.ts";
import type {
  AuditQuery,
  EndpointRecord,
  InvitationRecord,
  NodeRecord,
  RequestListQuery,
  RuleRecord,
  Store,
  UsageRow,
} from "./store.ts";
import { DAY_MS } from "./usage-rollups.ts";
import { generationOf } from "./usage-rows.ts";

/** Every store keeps these promises. Another database is one more entry here. */
const STORES: Record<string, (folder: string) => Promise<Store>> = {
  sqlite: (folder) => openSqliteStore({ folder }),
};

const NOW_MS = 1_700_000_000_000;

describe.each(Object.entries(STORES))("store over %s", (_name, open) => {
  let folder: string;
  let store: Store;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "postern-store-"));
    store = await open(folder);
  });

  afterEach(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });

  async function reopen(): Promise<void> {
    await store.close();
    store = await open(folder);
  }

  describe("a list of requests", () => {
    const all: RequestListQuery = {
      keyId: null,
      model: null,
      workflow: null,
      isContingency: false,
      outcome: null,
      sinceMs: null,
      untilMs: null,
      before: null,
      limit: 3,
    };

    it("is newest first, page by page, by key, model and outcome", async () => {
      const fields: SettledFields[] = [{}, { model: "other" }, { outcome: "failed" }, { keyId: "bbbbbbbbbbbb" }, {}];
      await store.usage.ingest(lines(fields.map((one, index) => settled(index, one))));
      const ids = async (query: Partial<RequestListQuery>) => {
        const page = await store.usage.requests({ ...all, ...query });
        return { at: page.requests.map(({ id }) => Number(id.slice(-2))), next: page.next };
      };
      const first = await ids({});
      expect(first.at).toEqual([4, 3, 2]);
      expect(await ids({ before: first.next })).toEqual({ at: [1, 0], next: null });
      expect(await ids({ model: "other" })).toEqual({ at: [1], next: null });
      expect(await ids({ outcome: "failed" })).toEqual({ at: [2], next: null });
      expect(await ids({ keyId: "bbbbbbbbbbbb" })).toEqual({ at: [3], next: null });
      expect(await ids({ keyId: "cccccccccccc" })).toEqual({ at: [], next: null });
    });

    it("of contingency has what ran under it and nothing else, and no empty pages for what lies between", async () => {
      const fields: SettledFields[] = [
        { contingency: "command", fallback: "contingency", workflow: "audit" },
        ...Array.from({ length: 10 }, () => ({})),
        { contingency: "schedule", workflow: "chat" },
      ];
      await store.usage.ingest(lines(fields.map((one, index) => settled(index, one))));
      const log = await store.usage.requests({ ...all, isContingency: true });
      expect(log.requests).toMatchObject([
        { workflow: "chat", contingency: "schedule", fallback: null },
        { workflow: "audit", contingency: "command", fallback: "contingency" },
      ]);
      expect(log.next).toBeNull();
      expect((await store.usage.requests({ ...all, isContingency: true, workflow: "audit" })).requests).toHaveLength(1);
      expect(await store.usage.request(log.requests[0]?.id ?? "")).toMatchObject({ contingency: "schedule" });
    });

    it("is cut at times of arrival, which are in the ids", async () => {
      await store.usage.ingest(lines([settled(1, {})]));
      const arrivedMs = 0x019000000000;
      const count = async (query: Partial<RequestListQuery>) =>
        (await store.usage.requests({ ...all, ...query })).requests.length;
      expect(await count({ sinceMs: arrivedMs })).toBe(1);
      expect(await count({ sinceMs: arrivedMs + 1 })).toBe(0);
      expect(await count({ untilMs: arrivedMs + 1 })).toBe(1);
      expect(await count({ untilMs: arrivedMs })).toBe(0);
      expect(await count({ sinceMs: Number.MAX_SAFE_INTEGER })).toBe(0);
    });
  });

  describe("drills", () => {
    const drill = (id: string, plan: string, startedAtMs: number, endedAtMs: number | null, body = "{}") => ({
      id,
      plan,
      startedAtMs,
      endedAtMs,
      body,
    });

    it("are written over, found, and listed newest first; those that are not over survive a restart as such", async () => {
      await store.drills.put(drill("a", "cloud", 1, null));
      await store.drills.put(drill("b", "node", 2, 9));
      await store.drills.put(drill("c", "cloud", 3, null));
      await store.drills.put(drill("c", "cloud", 3, 8, '{"result":"passed"}'));
      await reopen();
      expect((await store.drills.list(null, 2)).map(({ id }) => id)).toEqual(["c", "b"]);
      expect((await store.drills.list("cloud", 9)).map(({ id }) => id)).toEqual(["c", "a"]);
      expect(await store.drills.find("c")).toEqual(drill("c", "cloud", 3, 8, '{"result":"passed"}'));
      expect(await store.drills.find("x")).toBeNull();
      expect((await store.drills.unfinished()).map(({ id }) => id)).toEqual(["a"]);
    });
  });

  describe("counts of requests", () => {
    it("tell who answered in a time: complete answers only, by the attempt that gave them", async () => {
      const good = (target: string, index: number) => attempt(1, index, target);
      const bad = (target: string, index: number) => ({ ...attempt(1, index, target), errorCode: "engine_cut" });
      await store.usage.ingest(
        lines([
          settled(1, { attempts: [bad("provider/cloud", 0), good("node/a", 1)] }),
          settled(2, { attempts: [good("node/a", 0)] }),
          settled(3, { attempts: [good("provider/cloud", 0)], outcome: "failed" }),
          settled(4, { attempts: [good("node/a", 0)], model: "other" }),
        ]),
      );
      const arrivedMs = 0x019000000000;
      const rows = await store.usage.answered(NOW_MS - 1, arrivedMs + 1);
      expect(rows.map(({ target, model, requests }) => `${target} ${model} ${requests}`).sort()).toEqual([
        "node/a demo 2",
        "node/a other 1",
      ]);
      expect(await store.usage.answered(NOW_MS, arrivedMs + 2)).toEqual([]);
    });

    it("tell the hours of the week", async () => {
      await store.usage.ingest(lines([settled(1, {}), settled(2, {})]));
      const { closedAtMs } = settled(1, {}).closed;
      const date = new Date(closedAtMs);
      const perHour = await store.usage.perHourOfWeek(0);
      expect(perHour).toHaveLength(168);
      expect(perHour[date.getUTCDay() * 24 + date.getUTCHours()]).toBe(2);
      expect(perHour.reduce((sum, one) => sum + one)).toBe(2);
      expect((await store.usage.perHourOfWeek(closedAtMs + 10_000)).every((one) => one === 0)).toBe(true);
    });
  });

  describe("the audit trail", () => {
    const draft = (subject: string, after: unknown = null): AuditDraft => ({
      atMs: NOW_MS,
      actor: { kind: "token", id: "aaaaaaaaaaaa", name: "ci", address: "192.0.2.7" },
      action: "keys.create",
      subject,
      before: null,
      after,
    });
    const all: AuditQuery = { actor: null, action: null, sinceMs: null, beforeSeq: null, limit: 100 };

    it("has an entry for each audited change, in its transaction: a change that fails leaves none", async () => {
      await store.audited(draft("first", { models: ["a"] })).keys.insert(key("aaaaaaaaaaaa"));
      await expect(store.audited(draft("again")).keys.insert(key("aaaaaaaaaaaa"))).rejects.toMatchObject({
        code: "already_exists",
      });
      await store.audited(draft("second")).keys.update("aaaaaaaaaaaa", { revokedAtMs: NOW_MS });
      expect(await store.audited(draft("nothing")).keys.update("aaaaaaaaaaaa", { name: "x" })).toBeNull();
      await reopen();
      const entries = await store.audit.list(all);
      expect(entries.map(({ seq, subject }) => [seq, subject])).toEqual([
        [2, "second"],
        [1, "first"],
      ]);
      expect(entries[1]).toMatchObject({ ...draft("first", { models: ["a"] }), previous: "0".repeat(64) });
      expect(entries[0]?.previous).toBe(entries[1]?.hash);
    });

    it("takes an entry about a change that has a transaction of its own", async () => {
      await store.nodes.insert(node("n1", "forge"));
      await store.nodes.insertInvitation(invitation("i1", "n1"));
      const redeem = (id: string) =>
        store.audited(draft("join")).nodes.redeemInvitation(id, HASH, connector("c1"), NOW_MS);
      expect(await redeem("unknown")).toBeNull();
      expect(await redeem("i1")).toMatchObject({ name: "forge" });
      expect(await store.audit.list(all)).toHaveLength(1);
    });

    it("is listed by actor, action and time, and page by page", async () => {
      for (let at = 0; at < 5; at += 1) await store.audit.append({ ...draft(`n${at}`), atMs: NOW_MS + at });
      await store.audit.append({ ...draft("other"), action: "refused", actor: { ...draft("").actor, id: null } });
      const subjects = async (query: Partial<AuditQuery>) =>
        (await store.audit.list({ ...all, ...query })).map((entry) => entry.subject);
      expect(await subjects({ action: "refused" })).toEqual(["other"]);
      expect(await subjects({ actor: "token ci" })).toEqual(["other"]);
      expect(await subjects({ actor: "token aaaaaaaaaaaa", limit: 2 })).toEqual(["n4", "n3"]);
      expect(await subjects({ beforeSeq: 4, limit: 2 })).toEqual(["n2", "n1"]);
      expect(await subjects({ sinceMs: NOW_MS + 3, action: "keys.create" })).toEqual(["n4", "n3"]);
    });

    it("verifies, also against a head that was kept elsewhere", async () => {
      expect(await store.audit.verify(null)).toMatchObject({ entries: 0, fault: null });
      for (let at = 0; at < 120; at += 1) await store.audit.append(draft(`n${at}`));
      const { head } = await store.audit.verify(null);
      await store.audit.append(draft("later"));
      expect(await store.audit.verify(head)).toMatchObject({ entries: 121, head: { seq: 121 }, fault: null });
      expect((await store.audit.verify({ ...head, hash: "f".repeat(64) })).fault).toMatchObject({ seq: 120 });
      expect((await store.audit.verify({ seq: 130, hash: head.hash })).fault).toMatchObject({ seq: 122 });
    });
  });

  describe("alerts", () => {
    const all = { rule: null, sinceMs: null, before: null, limit: 50 };
    const alertOf = (number: number, fields: Partial<AlertRecord> = {}): AlertRecord => ({
      id: `01900000-0000-7000-8000-${String(number).padStart(12, "0")}`,
      rule: "node-away",
      key: `node-${number}`,
      severity: "warning",
      summary: "Node forge is away",
      labels: { node: "forge" },
      startedAtMs: NOW_MS,
      firedAtMs: NOW_MS + number,
      resolvedAtMs: null,
      toldAtMs: null,
      ack: null,
      ...fields,
    });
    const deliveryOf = (alert: AlertRecord, fields: Partial<AlertDeliveryRecord> = {}): AlertDeliveryRecord => ({
      notificationId: "n1",
      alertId: alert.id,
      channel: "ops",
      kind: "change",
      status: "firing",
      isDelivered: true,
      attempts: 2,
      detail: "it answered with HTTP 200",
      atMs: NOW_MS,
      ...fields,
    });
    const ids = async (query: object) => (await store.alerts.list({ ...all, ...query })).map(({ key }) => key);

    it("are kept as they were last, with what became of messages, over a restart", async () => {
      const alert = alertOf(1);
      await store.alerts.save([alert], [deliveryOf(alert)]);
      const resolved = { ...alert, resolvedAtMs: NOW_MS + 9, toldAtMs: NOW_MS + 2 };
      await store.alerts.save(
        [resolved],
        [deliveryOf(alert, { notificationId: "n2", status: "resolved", isDelivered: false })],
      );
      // The same once more, as after a write of which nobody knows whether it came through.
      await store.alerts.save([resolved], [deliveryOf(alert)]);
      await reopen();
      const [entry] = await store.alerts.list(all);
      expect(entry).toMatchObject({ ...resolved });
      expect(entry?.deliveries.map(({ notificationId, isDelivered }) => [notificationId, isDelivered])).toEqual([
        ["n1", true],
        ["n2", false],
      ]);
      expect(await store.alerts.unresolved()).toEqual([]);
    });

    it("are listed newest first, page by page, by rule and time", async () => {
      await store.alerts.save([alertOf(1), alertOf(2, { rule: "store" }), alertOf(3)], []);
      expect(await ids({ limit: 2 })).toEqual(["node-3", "node-2"]);
      expect(await ids({ before: alertOf(2).id })).toEqual(["node-1"]);
      expect(await ids({ rule: "store" })).toEqual(["node-2"]);
      expect(await ids({ sinceMs: NOW_MS + 3 })).toEqual(["node-3"]);
      expect((await store.alerts.unresolved()).map(({ key }) => key)).toEqual(["node-1", "node-2", "node-3"]);
    });

    it("are acknowledged once, and a later write does not take that back", async () => {
      await store.alerts.save([alertOf(1)], []);
      const ack = { atMs: NOW_MS, by: "user ada", note: "on my way" };
      expect(await store.alerts.acknowledge(alertOf(1).id, ack)).toBe(true);
      expect(await store.alerts.acknowledge(alertOf(1).id, { ...ack, by: "user bob" })).toBe(false);
      expect(await store.alerts.acknowledge(alertOf(2).id, ack)).toBe(false);
      await store.alerts.save([alertOf(1, { toldAtMs: NOW_MS })], []);
      expect(await store.alerts.unresolved()).toMatchObject([{ toldAtMs: NOW_MS, ack }]);
    });

    it("are pruned by age and by number, those that fire never", async () => {
      const old = alertOf(1, { resolvedAtMs: NOW_MS - 10 });
      const fires = alertOf(2);
      const resolved = [3, 4, 5].map((number) => alertOf(number, { resolvedAtMs: NOW_MS }));
      await store.alerts.save([old, fires, ...resolved], [deliveryOf(old)]);
      await store.alerts.prune(NOW_MS, 2);
      expect(await ids({})).toEqual(["node-5", "node-4", "node-2"]);
    });

    it("have silences, until they are removed or long over", async () => {
      const silence = {
        id: "s1",
        rule: "node-away",
        key: null,
        reason: "work",
        createdBy: "user ada",
        createdAtMs: NOW_MS,
        untilMs: NOW_MS + 10,
      };
      await store.alerts.insertSilence(silence);
      await store.alerts.insertSilence({ ...silence, id: "s2", key: "forge" });
      expect(await store.alerts.silences()).toEqual([silence, { ...silence, id: "s2", key: "forge" }]);
      expect(await store.alerts.removeSilence("s2")).toBe(true);
      expect(await store.alerts.removeSilence("s2")).toBe(false);
      await store.alerts.prune(NOW_MS + 11, 10);
      expect(await store.alerts.silences()).toEqual([]);
    });
  });

  describe("keys", () => {
    it("come back as they were put in, over a restart, oldest first", async () => {
      const rotated = { previousHash: new Uint8Array(32).fill(8), previousUntilMs: NOW_MS + 9 };
      const second = key("bbbbbbbbbbbb", { createdAtMs: NOW_MS + 1, disabledAtMs: NOW_MS + 5, ...rotated });
      const first = key("aaaaaaaaaaaa", { policy: '{"version":1,"models":["llama*","qwen/7b"]}' });
      await store.keys.insert(second);
      await store.keys.insert(first);
      await reopen();
      expect(await store.keys.list()).toEqual([first, second]);
    });

    it("of one id exist once: the second insert is already_exists and changes nothing", async () => {
      await store.keys.insert(key("aaaaaaaaaaaa"));
      await expect(store.keys.insert(key("aaaaaaaaaaaa", { name: "other" }))).rejects.toMatchObject({
        code: "already_exists",
      });
      expect((await store.keys.list()).map((one) => one.name)).toEqual(["app"]);
    });

    it("are found by id before they are by name", async () => {
      await store.keys.insert(key("aaaaaaaaaaaa", { name: "twin" }));
      await store.keys.insert(key("bbbbbbbbbbbb", { name: "twin", createdAtMs: NOW_MS + 1 }));
      await store.keys.insert(key("cccccccccccc", { name: "aaaaaaaaaaaa" }));
      const found = async (idOrName: string) => (await store.keys.find(idOrName)).map(({ id }) => id);
      expect(await found("aaaaaaaaaaaa")).toEqual(["aaaaaaaaaaaa"]);
      expect(await found("twin")).toEqual(["aaaaaaaaaaaa", "bbbbbbbbbbbb"]);
      expect(await found("nobody")).toEqual([]);
    });

    it("change in what is named and in nothing else, and not at all once they are revoked", async () => {
      await store.keys.insert(key("aaaaaaaaaaaa"));
      const both = [
        store.keys.update("aaaaaaaaaaaa", { disabledAtMs: NOW_MS + 1 }),
        store.keys.update("aaaaaaaaaaaa", { policy: '{"version":1,"models":[]}' }),
      ];
      const changed = key("aaaaaaaaaaaa", { disabledAtMs: NOW_MS + 1, policy: '{"version":1,"models":[]}' });
      expect((await Promise.all(both)).at(-1)).toEqual(changed);
      expect(await store.keys.update("aaaaaaaaaaaa", {})).toEqual(changed);
      const revoked = { ...changed, revokedAtMs: NOW_MS + 2 };
      expect(await store.keys.update("aaaaaaaaaaaa", { revokedAtMs: NOW_MS + 2 })).toEqual(revoked);
      expect(await store.keys.update("aaaaaaaaaaaa", { revokedAtMs: NOW_MS + 3, disabledAtMs: null })).toBeNull();
      expect(await store.keys.update("nobody", { name: "x" })).toBeNull();
      expect(await store.keys.list()).toEqual([revoked]);
    });
  });

  describe("endpoints and address rules", () => {
    it("come back as they were put in, over a restart", async () => {
      const vm = endpoint("vm", {
        host: "vm.example.org",
        models: ["llama*"],
        mayLeave: "no",
        prefer: "local",
        fallback: "never",
        targets: { nodes: ["forge"], providers: ["a*"] },
        reviewOn: "2027-01-31",
      });
      await store.places.insertEndpoint(vm);
      await store.places.insertEndpoint(endpoint("team", { path: "/team-a", owner: "ops", purpose: "apps of team A" }));
      const later = rule("office", { effect: "allow", createdAtMs: NOW_MS + 1, mayRotate: true, label: "office" });
      await store.places.insertRule(later);
      const lan = rule("lan", {
        effect: "ambient",
        range: "10.1.0.0/16",
        endpoint: "vm",
        key: "abc",
        expiresAtMs: NOW_MS,
      });
      await store.places.insertRule(lan);
      await reopen();
      expect((await store.places.endpoints()).map(({ name }) => name)).toEqual(["team", "vm"]);
      expect((await store.places.endpoints())[1]).toEqual(vm);
      expect(await store.places.rules()).toEqual([lan, later]);
    });

    it("have a name each: a second one is already_exists and changes nothing", async () => {
      await store.places.insertEndpoint(endpoint("vm"));
      await store.places.insertRule(rule("office"));
      const refused = { code: "already_exists" };
      await expect(store.places.insertEndpoint(endpoint("vm", { path: "/x" }))).rejects.toMatchObject(refused);
      await expect(store.places.insertRule(rule("office", { effect: "allow" }))).rejects.toMatchObject(refused);
      expect((await store.places.endpoints())[0]?.path).toBeNull();
      expect((await store.places.rules())[0]?.effect).toBe("deny");
    });

    it("are replaced and removed, an endpoint with the rules that are about it", async () => {
      await store.places.insertEndpoint(endpoint("vm"));
      await store.places.insertRule(rule("here", { endpoint: "vm" }));
      await store.places.insertRule(rule("everywhere"));
      expect(await store.places.updateEndpoint(endpoint("vm", { owner: "ops", createdAtMs: 1 }))).toBe(true);
      expect((await store.places.endpoints())[0]).toMatchObject({ owner: "ops", createdAtMs: NOW_MS });
      expect(await store.places.updateEndpoint(endpoint("none"))).toBe(false);
      expect(await store.places.removeEndpoint("vm")).toBe(true);
      expect(await store.places.removeEndpoint("vm")).toBe(false);
      expect((await store.places.rules()).map(({ name }) => name)).toEqual(["everywhere"]);
      expect(await store.places.removeRule("everywhere")).toBe(true);
      expect(await store.places.removeRule("everywhere")).toBe(false);
    });
  });

  describe("nodes", () => {
    it("come back as they were put in, by name, and a name exists once", async () => {
      await store.nodes.insert(node("n2", "forge", ["llama*"]));
      await store.nodes.insert(node("n1", "anvil"));
      await expect(store.nodes.insert(node("n3", "forge"))).rejects.toMatchObject({ code: "already_exists" });
      await reopen();
      expect(await store.nodes.list()).toEqual([node("n1", "anvil"), node("n2", "forge", ["llama*"])]);
    });

    it("change what they may serve, their tags and whose they are, and nothing else", async () => {
      await store.nodes.insert(node("n1", "anvil", ["llama*"]));
      expect(await store.nodes.update("n1", { tags: ["gpu"], locality: "rented" })).toBe(true);
      await reopen();
      expect(await store.nodes.list()).toEqual([
        { ...node("n1", "anvil", ["llama*"]), tags: ["gpu"], locality: "rented" },
      ]);
      expect(await store.nodes.update("n1", { grants: null, tags: [] })).toBe(true);
      expect(await store.nodes.list()).toEqual([{ ...node("n1", "anvil"), locality: "rented" }]);
      expect(await store.nodes.update("n1", {})).toBe(true);
      expect(await store.nodes.update("gone", { tags: [] })).toBe(false);
    });

    it("go with their connectors and invitations, and nobody else's", async () => {
      await store.nodes.insert(node("n1", "anvil"));
      await store.nodes.insert(node("n2", "forge"));
      for (const nodeId of ["n1", "n2"]) {
        await store.nodes.insertInvitation(invitation(`i-${nodeId}`, nodeId));
        await store.nodes.redeemInvitation(`i-${nodeId}`, HASH, connector(`c-${nodeId}`), NOW_MS);
      }
      expect(await store.nodes.remove("n1")).toBe(true);
      expect(await store.nodes.remove("n1")).toBe(false);
      expect((await store.nodes.connectors()).map((one) => one.id)).toEqual(["c-n2"]);
      expect((await store.nodes.invitations()).map((one) => one.id)).toEqual(["i-n2"]);
      expect(await store.nodes.removeConnector("c-n2")).toBe(true);
      expect(await store.nodes.removeConnector("c-n2")).toBe(false);
    });

    it("remember of a connector the last sight and the highest epoch", async () => {
      await store.nodes.insert(node("n1", "anvil"));
      await store.nodes.insertInvitation(invitation("i", "n1"));
      await store.nodes.redeemInvitation("i", HASH, connector("c"), NOW_MS);
      await store.nodes.touchConnector("c", NOW_MS + 10, 7);
      await store.nodes.touchConnector("c", NOW_MS + 20, 5);
      await reopen();
      expect(await store.nodes.connectors()).toEqual([
        { ...connector("c"), nodeId: "n1", isEphemeral: false, lastSeenAtMs: NOW_MS + 20, lastEpoch: 7 },
      ]);
    });

    it("that are gone take no invitation", async () => {
      await expect(store.nodes.insertInvitation(invitation("i", "gone"))).rejects.toMatchObject({ code: "not_found" });
    });
  });

  describe("redeemInvitation()", () => {
    beforeEach(() => store.nodes.insert(node("n1", "anvil")));

    it("approves a connector once for a single use, with what the invitation says of it", async () => {
      await store.nodes.insertInvitation({ ...invitation("i", "n1"), isEphemeral: true });
      expect(await store.nodes.redeemInvitation("i", HASH, connector("c1"), NOW_MS)).toEqual(node("n1", "anvil"));
      expect(await store.nodes.redeemInvitation("i", HASH, connector("c2"), NOW_MS)).toBeNull();
      expect((await store.nodes.connectors()).map((one) => [one.id, one.isEphemeral])).toEqual([["c1", true]]);
      expect((await store.nodes.invitations())[0]?.uses).toBe(1);
    });

    it("gives the same answer to the same connector that asks again, without another use", async () => {
      await store.nodes.insertInvitation(invitation("i", "n1"));
      await store.nodes.redeemInvitation("i", HASH, connector("c1"), NOW_MS);
      expect(await store.nodes.redeemInvitation("i", HASH, connector("c1"), NOW_MS)).toEqual(node("n1", "anvil"));
      const thief = { ...connector("c1"), publicKey: new Uint8Array(32).fill(9) };
      expect(await store.nodes.redeemInvitation("i", HASH, thief, NOW_MS)).toBeNull();
      expect((await store.nodes.connectors())[0]?.publicKey).toEqual(connector("c1").publicKey);
    });

    it("does not tell unknown, wrong and expired apart", async () => {
      await store.nodes.insertInvitation(invitation("i", "n1"));
      const wrong = new Uint8Array(32).fill(8);
      expect(await store.nodes.redeemInvitation("other", HASH, connector("c"), NOW_MS)).toBeNull();
      expect(await store.nodes.redeemInvitation("i", wrong, connector("c"), NOW_MS)).toBeNull();
      expect(await store.nodes.redeemInvitation("i", new Uint8Array(3), connector("c"), NOW_MS)).toBeNull();
      expect(await store.nodes.redeemInvitation("i", HASH, connector("c"), NOW_MS + 3_600_000)).toBeNull();
      expect(await store.nodes.connectors()).toEqual([]);
    });

    it("never gives out more uses than there are, however many ask at once", async () => {
      await store.nodes.insertInvitation({ ...invitation("i", "n1"), maxUses: 3 });
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          store.nodes.redeemInvitation("i", HASH, connector(`c${index}`), NOW_MS),
        ),
      );
      expect(answers.filter((answer) => answer !== null)).toHaveLength(3);
      expect(await store.nodes.connectors()).toHaveLength(3);
    });
  });

  it("settings keep bytes, and the last one written wins", async () => {
    expect(await store.settings.get("identity")).toBeNull();
    await store.settings.set("identity", new Uint8Array([1, 2]));
    await store.settings.set("identity", new Uint8Array([0, 255]));
    await reopen();
    expect(await store.settings.get("identity")).toEqual(new Uint8Array([0, 255]));
  });

  describe("usage", () => {
    it("comes back whole, attempts in order", async () => {
      const one = settled(1, { errorCode: "engine_cut", outcome: "failed" });
      one.closed.attempts = [attempt(1, 1, "node/b"), attempt(1, 0, "node/a")];
      expect(await store.usage.ingest(lines([one]))).toEqual({ taken: 1, known: 0, unreadable: 0 });
      await reopen();
      expect(await store.usage.request(one.opened.id)).toEqual({
        ...one.opened,
        ...one.closed,
        attempts: one.closed.attempts.toReversed(),
        servedBy: "n1",
      });
      expect(await store.usage.request("unknown")).toBeNull();
    });

    it("counts each request once, however often and in whatever pieces it is taken in", async () => {
      // More than two full statements and a rest, so that compiled and repeated inserts are both used.
      const all = Array.from({ length: 300 }, (_, index) => settled(index, {}));
      for (const one of all) one.closed.attempts = [attempt(Number(one.opened.id.slice(-6)), 0, "node/a")];
      expect(await store.usage.ingest(lines(all))).toMatchObject({ taken: 300, known: 0 });
      expect(await store.usage.ingest(lines(all.slice(100)))).toMatchObject({ taken: 0, known: 200 });
      const mixed = [settled(299, {}), settled(300, {}), settled(300, {}), settled(301, {})];
      expect(await store.usage.ingest(lines(mixed))).toMatchObject({ taken: 2, known: 2 });
      const [day] = await store.usage.report({ by: "model", sinceMs: 0, untilMs: Number.MAX_SAFE_INTEGER });
      expect(day).toMatchObject({ group: "demo", requests: 302, tokensIn: 302 * 10, tokensOut: 302 * 21 });
      for (const index of [0, 127, 128, 255, 256, 299]) {
        const one = all[index] as SettledRequest;
        expect(await store.usage.request(one.opened.id)).toEqual({ ...one.opened, ...one.closed, servedBy: "n1" });
      }
    });

    it("adds up many keys at once, and the next time into the same sums", async () => {
      const all = Array.from({ length: 200 }, (_, index) => {
        const one = settled(index, { costMicros: index, outcome: index % 4 === 0 ? "aborted" : "ok" });
        return { ...one, opened: { ...one.opened, keyId: `key${index % 50}` } };
      });
      await store.usage.ingest(lines(all.slice(0, 100)));
      await store.usage.ingest(lines(all.slice(100)));
      const rows = await store.usage.report({ by: "key", sinceMs: 0, untilMs: Number.MAX_SAFE_INTEGER });
      expect(rows).toHaveLength(50);
      for (const row of rows) {
        const key = Number(row.group.slice(3));
        const aborted = [0, 50, 100, 150].filter((step) => (key + step) % 4 === 0).length;
        expect(row).toMatchObject({ requests: 4, aborted, failed: 0, tokensIn: 40, costMicros: 4 * key + 300 });
      }
    });

    it("skips lines that are no records and counts them", async () => {
      const good = Buffer.from(lines([settled(1, {})])).toString();
      const text = `C{"o":{},"c":{}}\nC{"o":{"id":\n\u0000\u0000\n${good}O{}\nwhat\n${good.slice(0, 40)}`;
      const result = await store.usage.ingest(new Uint8Array(Buffer.from(text)));
      expect(result).toEqual({ taken: 1, known: 0, unreadable: 5 });
    });

    it("reports averages over what they are averages of", async () => {
      await store.usage.ingest(
        lines([
          settled(1, { timeToFirstTokenMs: 100, durationMs: 1_100, tokensOut: 51, tokensReasoning: 40 }),
          settled(2, { timeToFirstTokenMs: 300, durationMs: 3_300, tokensOut: 31 }),
          settled(3, { timeToFirstTokenMs: null, durationMs: 1_000, tokensOut: 20, outcome: "ok" }),
          settled(4, { timeToFirstTokenMs: null, durationMs: 50, tokensOut: 0, outcome: "failed" }),
          settled(5, {
            timeToFirstTokenMs: 200,
            durationMs: 9_000,
            tokensOut: 500,
            isEstimated: true,
            outcome: "aborted",
          }),
        ]),
      );
      expect(await store.usage.report({ by: "key", sinceMs: 0, untilMs: Number.MAX_SAFE_INTEGER })).toEqual([
        {
          group: "aaaaaaaaaaaa",
          requests: 5,
          failed: 1,
          aborted: 1,
          estimated: 1,
          tokensIn: 50,
          tokensInCached: 10,
          tokensOut: 602,
          tokensReasoning: 40,
          timeToFirstTokenMs: 200,
          tokensPerSecond: ((50 + 30 + 20) * 1_000) / (1_000 + 3_000 + 1_000),
          costMicros: 15,
        },
      ]);
    });

    it("reports the same from rollups and rows as counting by hand, for any range", async () => {
      const span = 4 * DAY_MS;
      const start = Math.floor(NOW_MS / DAY_MS) * DAY_MS;
      const requests = fc.sample(arbitraryRequest(start, span), { numRuns: 400, seed: 7 });
      const all = requests.map((fields, index) => settled(index, fields));
      await store.usage.ingest(lines(all));
      const edges = fc.oneof(
        fc.integer({ min: -DAY_MS, max: span + DAY_MS }),
        fc.integer({ min: -1, max: 5 }).map((day) => day * DAY_MS),
      );
      await fc.assert(
        fc.asyncProperty(edges, edges, fc.constantFrom("key", "model", "node", "day"), async (from, to, by) => {
          const [sinceMs, untilMs] = [start + Math.min(from, to), start + Math.max(from, to)];
          const rows = await store.usage.report({ by, sinceMs, untilMs });
          expect(sorted(rows)).toEqual(sorted(countByHand(all, by, sinceMs, untilMs)));
        }),
        { numRuns: 60, seed: 7 },
      );
    });

    it("prunes old rows with their attempts and keeps the daily sums", async () => {
      const all = Array.from({ length: 2_500 }, (_, index) => settled(index, {}));
      for (const one of all) one.closed.attempts = [attempt(0, 0, "node/a")];
      await store.usage.ingest(lines(all));
      const everything = { by: "day", sinceMs: 0, untilMs: Number.MAX_SAFE_INTEGER } as const;
      const before = await store.usage.report(everything);
      expect(await store.usage.prune(NOW_MS + 2_400)).toBe(2_400);
      expect(await store.usage.prune(NOW_MS + 2_400)).toBe(0);
      expect(await store.usage.request(all[2_399]?.opened.id as string)).toBeNull();
      expect(await store.usage.request(all[2_400]?.opened.id as string)).not.toBeNull();
      expect(await store.usage.report(everything)).toEqual(before);
      expect(await store.usage.prune(Number.MAX_SAFE_INTEGER)).toBe(100);
      expect(await store.usage.report(everything)).toEqual(before);
    });
  });

  it("backs up while it is written, and the copy is a store", async () => {
    await store.keys.insert(key("aaaaaaaaaaaa"));
    const copyFolder = mkdtempSync(join(tmpdir(), "postern-copy-"));
    try {
      const [, ...inserts] = await Promise.allSettled([
        store.backup(join(copyFolder, "postern.db")),
        ...Array.from({ length: 20 }, (_, index) => store.keys.insert(key(`b${index}`))),
      ]);
      expect(inserts.every((insert) => insert.status === "fulfilled")).toBe(true);
      const copy = await open(copyFolder);
      expect((await copy.keys.list()).map((one) => one.id)).toContain("aaaaaaaaaaaa");
      await copy.close();
    } finally {
      rmSync(copyFolder, { recursive: true, force: true });
    }
  });

  it("lets calls end that were made before closing", async () => {
    const inserts = Array.from({ length: 20 }, (_, index) => store.keys.insert(key(`k${index}`)));
    const report = store.usage.report({ by: "day", sinceMs: 0, untilMs: 1 });
    await store.close();
    await expect(Promise.all([...inserts, report])).resolves.toHaveLength(21);
    store = await open(folder);
    expect(await store.keys.list()).toHaveLength(20);
  });

  it("is well, and after closing every call is refused in our own words", async () => {
    expect(await store.health()).toBeNull();
    await store.close();
    await expect(store.keys.list()).rejects.toMatchObject({ code: "store_failed" });
    expect(await store.health()).toContain("closed");
    await store.close();
  });
});

const HASH = new Uint8Array(32).fill(7);

function key(id: string, fields: Partial<KeyRecord> = {}): KeyRecord {
  return keyRecord({ id, createdAtMs: NOW_MS, hash: HASH, ...fields });
}

function endpoint(name: string, fields: Partial<EndpointRecord> = {}): EndpointRecord {
  return { ...DEFAULT_ENDPOINT, name, createdAtMs: NOW_MS, ...fields };
}

function rule(name: string, fields: Partial<RuleRecord> = {}): RuleRecord {
  return {
    name,
    effect: "deny",
    range: "192.0.2.0/24",
    endpoint: null,
    key: null,
    label: null,
    purpose: null,
    owner: null,
    mayRotate: false,
    createdAtMs: NOW_MS,
    expiresAtMs: null,
    ...fields,
  };
}

function node(id: string, name: string, grants: string[] | null = null): NodeRecord {
  return { id, name, createdAtMs: NOW_MS, grants, tags: [], locality: "own" };
}

function invitation(id: string, nodeId: string): InvitationRecord {
  return {
    id,
    nodeId,
    hash: HASH,
    createdAtMs: NOW_MS,
    expiresAtMs: NOW_MS + 3_600_000,
    maxUses: 1,
    uses: 0,
    isEphemeral: false,
  };
}

function connector(id: string) {
  return { id, publicKey: new Uint8Array(32).fill(3), createdAtMs: NOW_MS, lastSeenAtMs: null, lastEpoch: 0 };
}

function attempt(request: number, index: number, target: string) {
  return {
    id: `${request}-${index}`,
    index,
    target,
    nodeId: target === "node/a" ? "n1" : null,
    engine: "ollama",
    engineModel: "demo:latest",
    startedAtMs: NOW_MS,
    endedAtMs: NOW_MS + 5,
    status: 200,
    errorCode: null,
    bytesOut: 100,
  };
}

interface SettledFields extends Partial<RequestClosed> {
  keyId?: string;
  model?: string;
  workflow?: string;
}

function settled(index: number, fields: SettledFields): SettledRequest {
  const id = `01900000-0000-7000-8000-${String(index).padStart(12, "0")}`;
  const { keyId = "aaaaaaaaaaaa", model = "demo", workflow = null, ...closed } = fields;
  return {
    opened: requestOpened(id, { keyId, model, workflow, openedAtMs: NOW_MS, requestBytes: 400 }),
    closed: requestClosed(id, {
      closedAtMs: NOW_MS + index,
      tokensIn: 10,
      tokensInCached: 2,
      tokensOut: 21,
      timeToFirstTokenMs: 50,
      durationMs: 1_050,
      costMicros: 3,
      ...closed,
    }),
  };
}

function lines(requests: SettledRequest[]): Uint8Array {
  return new Uint8Array(
    Buffer.from(requests.map(({ opened, closed }) => closedLine(encodeOpened(opened), closed)).join("")),
  );
}

function arbitraryRequest(startMs: number, spanMs: number): fc.Arbitrary<SettledFields> {
  return fc
    .record({
      keyId: fc.constantFrom("k1", "k2", "k3"),
      model: fc.constantFrom("m1", "Größe/7b"),
      closedAtMs: fc.integer({ min: startMs, max: startMs + spanMs }),
      outcome: fc.constantFrom<Outcome>("ok", "aborted", "failed", "stopped", "interrupted"),
      tokensIn: fc.nat(1_000),
      tokensOut: fc.nat(3),
      tokensReasoning: fc.option(fc.nat(3)),
      isEstimated: fc.boolean(),
      timeToFirstTokenMs: fc.option(fc.nat(500)),
      durationMs: fc.nat(2_000),
      costMicros: fc.nat(10),
      attempts: fc
        .array(fc.constantFrom("node/a", "provider/cloud"), { maxLength: 2 })
        .map((targets) => targets.map((target, index) => attempt(0, index, target))),
    })
    .map((fields): SettledFields => fields);
}

/** The report again, written as plainly as possible. */
function countByHand(all: SettledRequest[], by: string, sinceMs: number, untilMs: number): UsageRow[] {
  const inside = all.filter(({ closed }) => closed.closedAtMs >= sinceMs && closed.closedAtMs < untilMs);
  const groups = Map.groupBy(inside, ({ opened, closed }) => {
    const last = closed.attempts.at(-1);
    if (by === "key") return opened.keyId;
    if (by === "model") return opened.model;
    if (by === "node") return last === undefined ? "" : (last.nodeId ?? last.target);
    return new Date(closed.closedAtMs).toISOString().slice(0, 10);
  });
  return [...groups].map(([group, requests]) => {
    const closed = requests.map((one) => one.closed);
    const sum = (pick: (one: RequestClosed) => number) => closed.reduce((total, one) => total + pick(one), 0);
    const firstTokens = closed.flatMap((one) => (one.timeToFirstTokenMs === null ? [] : [one.timeToFirstTokenMs]));
    const generationMs = sum((one) => generationOf(one).ms);
    return {
      group,
      requests: closed.length,
      failed: closed.filter((one) => one.outcome !== "ok" && one.outcome !== "aborted").length,
      aborted: closed.filter((one) => one.outcome === "aborted").length,
      estimated: closed.filter((one) => one.isEstimated).length,
      tokensIn: sum((one) => one.tokensIn),
      tokensInCached: sum((one) => one.tokensInCached),
      tokensOut: sum((one) => one.tokensOut),
      tokensReasoning: sum((one) => one.tokensReasoning ?? 0),
      timeToFirstTokenMs:
        firstTokens.length === 0 ? null : firstTokens.reduce((total, one) => total + one, 0) / firstTokens.length,
      tokensPerSecond: generationMs === 0 ? null : (sum((one) => generationOf(one).tokens) * 1_000) / generationMs,
      costMicros: sum((one) => one.costMicros),
    };
  });
}

function sorted(rows: UsageRow[]): UsageRow[] {
  return rows.toSorted((first, second) => first.group.localeCompare(second.group));
}
