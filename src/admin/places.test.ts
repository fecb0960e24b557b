import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { AddressRule } from "../access/address-rule.ts";
import { DEFAULT_ENDPOINT } from "../access/endpoint.ts";
import { defaultConfig } from "../config/defaults.ts";
import type { ResolvedConfig } from "../config/resolved.ts";
import { ManualClock } from "../lib/clock.ts";
import { openSqliteStore } from "../storage/sqlite/open-store.ts";
import type { Store } from "../storage/store.ts";
import { AdminAccess } from "./access/access.ts";
import { ownerOfFolder } from "./caller.ts";
import type { AdminContext } from "./context.ts";
import { createAdmin } from "./create-context.ts";

const NOTHING = { endpoint: null, key: null, label: null, purpose: null, owner: null, mayRotate: false };
const FILE_RULE: AddressRule = {
  name: "file-deny",
  effect: "deny",
  range: "192.0.2.0/24",
  expiresAtMs: null,
  ...NOTHING,
};
const ANY_RULE = { name: null, ...NOTHING, expiresInMs: null };
const ANY_ENDPOINT = {
  host: null,
  path: null,
  models: null,
  mayLeave: "yes",
  prefer: "none",
  fallback: "automatic",
  targets: null,
  owner: null,
  purpose: null,
  reviewOn: null,
} as const;

let folder: string;
let store: Store;
let clock: ManualClock;
let admin: AdminContext;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "postern-places-"));
  store = await openSqliteStore({ folder });
  clock = new ManualClock(Date.UTC(2026, 10, 30));
  admin = contextWith({});
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

function contextWith(fields: Partial<ResolvedConfig>): AdminContext {
  const config = { ...defaultConfig(folder), ...fields };
  const mintInvitation = () => Promise.reject(new Error("no invitations here"));
  const settleUsage = async () => {};
  const access = new AdminAccess();
  const captures = { read: async () => null, forgetKey: async () => 0 };
  const parts = { version: "1.2.3", config, store, captures, clock, live: null, access, mintInvitation, settleUsage };
  return createAdmin(parts)(ownerOfFolder("offline"));
}

type RuleInput = Parameters<AdminContext["createRule"]>[0];

function createRule(fields: Pick<RuleInput, "effect" | "range"> & Partial<RuleInput>) {
  return admin.createRule({ ...ANY_RULE, ...fields });
}

function createEndpoint(name: string, fields: Partial<Parameters<AdminContext["createEndpoint"]>[0]>) {
  return admin.createEndpoint({ ...ANY_ENDPOINT, name, ...fields });
}

describe("rules about addresses", () => {
  it("are kept in canonical form, under a name that says what they do", async () => {
    const { rule, warnings } = await createRule({ effect: "deny", range: "::ffff:198.51.100.7", label: "scanner" });
    expect(rule).toMatchObject({ name: "deny-198.51.100.7", range: "198.51.100.7", origin: "store", state: "active" });
    expect(warnings).toEqual([]);
    const second = await createRule({ effect: "deny", range: "198.51.100.7" });
    expect(second.rule.name).toBe("deny-198.51.100.7-2");
    expect((await createRule({ effect: "deny", range: "2001:db8::/32" })).rule.name).toBe("deny-2001-db8-32");
    expect(await admin.listRules()).toHaveLength(3);
  });

  it("warn where they change more than they say", async () => {
    const first = await createRule({ effect: "allow", range: "203.0.113.7", mayRotate: true });
    expect(first.warnings.join()).toMatch(/first allow rule for every endpoint.*may change/);
    expect((await createRule({ effect: "allow", range: "203.0.113.8" })).warnings).toEqual([]);
    await admin.removeRule("allow-203.0.113.8");
    expect((await admin.removeRule("allow-203.0.113.7")).warnings).toEqual([
      'No allow rule is left for the endpoint "default": every address may try its keys there.',
    ]);
  });

  it("warn of an ambient range that is public", async () => {
    const { key } = await admin.createKey({ name: "lan", template: null, policy: { version: 1 }, expiresInMs: null });
    const { rule, warnings } = await createRule({ effect: "ambient", range: "203.0.113.0/24", key: "lan" });
    expect(rule.key).toBe(key.id);
    expect(warnings.join()).toMatch(/public range: everybody in it is that key/);
    expect((await createRule({ effect: "ambient", range: "192.168.1.0/24", key: "lan" })).warnings).toEqual([]);
  });

  it("refuse what makes no sense, saying what would", async () => {
    await expect(createRule({ effect: "ambient", range: "10.0.0.1" })).rejects.toThrow(/needs a key/);
    await expect(createRule({ effect: "allow", range: "10.0.0.1", key: "x" })).rejects.toThrow(/Only an ambient rule/);
    await expect(createRule({ effect: "allow", range: "10.0.0.1", endpoint: "none" })).rejects.toMatchObject({
      code: "not_found",
    });
    await expect(createRule({ effect: "ambient", range: "10.0.0.1", key: "none" })).rejects.toMatchObject({
      code: "not_found",
    });
    await expect(admin.removeRule("none")).rejects.toMatchObject({ code: "not_found" });
    await createRule({ effect: "deny", range: "10.0.0.1", name: "one" });
    await expect(createRule({ effect: "deny", range: "10.0.0.2", name: "one" })).rejects.toMatchObject({
      code: "already_exists",
    });
  });

  it("of the file are shown with their line and cannot be changed here", async () => {
    admin = contextWith({ access: { rules: [{ ...FILE_RULE, place: "/etc/postern/postern.yaml:7" }] } });
    expect(await admin.listRules()).toMatchObject([
      { name: "file-deny", origin: "file", place: "/etc/postern/postern.yaml:7" },
    ]);
    await expect(admin.removeRule("file-deny")).rejects.toThrow(/defined at \/etc\/postern\/postern\.yaml:7/);
    await expect(createRule({ effect: "deny", range: "10.0.0.1", name: "file-deny" })).rejects.toMatchObject({
      code: "already_exists",
    });
  });

  it("leave an entry each in the audit trail, with what they said", async () => {
    await createRule({ effect: "deny", range: "10.0.0.1", name: "one" });
    await admin.removeRule("one");
    const entries = await store.audit.list({ actor: null, action: null, sinceMs: null, beforeSeq: null, limit: 10 });
    expect(entries.map(({ action, subject }) => [action, subject])).toEqual([
      ["access.remove", "rule one"],
      ["access.create", "rule one"],
    ]);
  });
});

describe("testAddress()", () => {
  it("says which rule decides, and why", async () => {
    await createRule({ effect: "allow", range: "203.0.113.0/24", label: "billing VM", purpose: "egress" });
    await createRule({ effect: "deny", range: "203.0.113.66" });
    const allowed = await admin.testAddress({ address: "203.0.113.7", endpoint: "default", key: null });
    expect(allowed).toMatchObject({
      isAllowed: true,
      errorCode: null,
      isClosed: true,
      rule: { name: "allow-203.0.113.0-24" },
    });
    expect(allowed.words.join(" ")).toContain("billing VM, egress");
    const denied = await admin.testAddress({ address: "::ffff:203.0.113.66", endpoint: "default", key: null });
    expect(denied).toMatchObject({
      address: "203.0.113.66",
      isAllowed: false,
      errorCode: "address_denied",
      rule: { effect: "deny" },
    });
    const other = await admin.testAddress({ address: "198.51.100.1", endpoint: "default", key: null });
    expect(other).toMatchObject({ isAllowed: false, rule: null });
    expect(other.words.join(" ")).toContain("none of them holds 198.51.100.1");
  });

  it("names the key that an address stands for", async () => {
    const { key } = await admin.createKey({ name: "lan", template: null, policy: { version: 1 }, expiresInMs: null });
    await createRule({ effect: "ambient", range: "192.168.1.0/24", key: "lan", name: "at-home" });
    const found = await admin.testAddress({ address: "192.168.1.9", endpoint: "default", key: null });
    expect(found.ambient).toEqual({ rule: "at-home", key: key.id, failure: null });
    await admin.revokeKey("lan");
    const gone = await admin.testAddress({ address: "192.168.1.9", endpoint: "default", key: null });
    expect(gone.ambient).toEqual({ rule: "at-home", key: null, failure: "key_not_active" });
  });

  it("says that a key belongs elsewhere", async () => {
    await createEndpoint("team", { path: "/team-a" });
    await admin.createKey({ name: "app", template: null, policy: { version: 1 }, expiresInMs: null });
    const here = await admin.testAddress({ address: "203.0.113.7", endpoint: "default", key: "app" });
    expect(here).toMatchObject({ isAllowed: true });
    const there = await admin.testAddress({ address: "203.0.113.7", endpoint: "team", key: "app" });
    expect(there).toMatchObject({ isAllowed: false, errorCode: "endpoint_denied" });
    await expect(admin.testAddress({ address: "203.0.113.7", endpoint: "none", key: null })).rejects.toMatchObject({
      code: "not_found",
    });
  });
});

describe("endpoints", () => {
  it("begin with `default`, which is written down when it is changed", async () => {
    expect(await admin.listEndpoints()).toMatchObject([
      { name: "default", origin: "store", isClosed: false, createdAtMs: null },
    ]);
    const changed = await admin.updateEndpoint("default", { owner: "ops", reviewOn: "2026-11-01" });
    expect(changed).toMatchObject({ owner: "ops", isReviewDue: true, createdAtMs: clock.nowMs() });
    expect(await admin.updateEndpoint("default", { purpose: "everything" })).toMatchObject({
      owner: "ops",
      purpose: "everything",
    });
    await expect(admin.updateEndpoint("default", { path: "/x" })).rejects.toThrow(/neither host nor path/);
    await expect(admin.removeEndpoint("default")).rejects.toThrow(/always there/);
  });

  it("are made, changed and removed with the rules about them", async () => {
    await createEndpoint("vm", {
      host: "vm.example.org",
      models: ["llama*"],
      mayLeave: "no",
      targets: { nodes: ["forge"] },
    });
    await createRule({ effect: "allow", range: "203.0.113.7", endpoint: "vm" });
    expect(await admin.showEndpoint("vm")).toMatchObject({ host: "vm.example.org", rules: 1, isClosed: true, keys: 0 });
    expect(await admin.updateEndpoint("vm", { path: "/a" })).toMatchObject({
      host: "vm.example.org",
      path: "/a",
      mayLeave: "no",
      targets: { nodes: ["forge"] },
    });
    expect(await admin.removeEndpoint("vm")).toEqual({ name: "vm", rulesRemoved: 1, streamsEnded: 0 });
    expect(await admin.listRules()).toEqual([]);
    await expect(admin.showEndpoint("vm")).rejects.toMatchObject({ code: "not_found" });
  });

  it("cannot be two at one place, nor at none", async () => {
    await createEndpoint("team", { path: "/team-a" });
    await expect(createEndpoint("other", { path: "/team-a" })).rejects.toThrow(/"team" is at the same host and path/);
    await expect(createEndpoint("other", {})).rejects.toThrow(/needs a host or a path/);
    await expect(createEndpoint("team", { path: "/b" })).rejects.toMatchObject({ code: "already_exists" });
  });

  it("of the file are read-only", async () => {
    const file = {
      ...DEFAULT_ENDPOINT,
      name: "vm",
      host: "vm.example.org",
      tls: null,
      place: "/etc/postern/postern.yaml:3",
    };
    admin = contextWith({ endpoints: [file] });
    expect(await admin.showEndpoint("vm")).toMatchObject({
      origin: "file",
      place: "/etc/postern/postern.yaml:3",
    });
    await expect(admin.updateEndpoint("vm", { owner: "me" })).rejects.toThrow(/postern\.yaml:3/);
    await expect(admin.removeEndpoint("vm")).rejects.toThrow(/postern\.yaml:3/);
    await expect(createEndpoint("two", { host: "vm.example.org" })).rejects.toThrow(/"vm" is at the same/);
  });
});
