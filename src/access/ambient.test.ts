import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { keyRecord } from "../../test/support/key-record.ts";
import type { AddressRule } from "./address-rule.ts";
import { AddressRules } from "./address-rules.ts";
import { AmbientKeys } from "./ambient.ts";
import type { KeyRecord } from "./key.ts";
import { createKey } from "./key-format.ts";
import { Keyring } from "./keyring.ts";
import type { KeyPolicy } from "./policy.ts";

const keyring = new Keyring();
const rules = new AddressRules();
const ambient = new AmbientKeys(rules, keyring);

function addKey(name: string, fields: Partial<KeyRecord> = {}, policy: Partial<KeyPolicy> = {}): KeyRecord {
  const { id, hash } = createKey(randomBytes);
  const key = keyRecord({ id, name, hash, ...fields }, policy);
  keyring.put(key);
  return key;
}

function standFor(key: string): void {
  const nothing = { endpoint: null, label: null, purpose: null, owner: null, mayRotate: false, expiresAtMs: null };
  const rule: AddressRule = { name: "lan", effect: "ambient", range: "192.168.1.0/24", key, ...nothing };
  rules.replaceAll([rule], 0);
}

function ask(
  headers: string[] = [],
  source: "peer" | "forwarded" | "proxy_itself" | "undeclared_proxy" = "peer",
  nowMs = 0,
) {
  const found = ambient.identify("192.168.1.9", source, "default", ["Host", "localhost", ...headers], nowMs);
  return found === null ? null : (found.key?.id ?? found.failure);
}

describe("AmbientKeys", () => {
  const lan = addKey("lan");

  it("puts an address in the place of a key, by id or name", () => {
    standFor(lan.id);
    expect(ask()).toBe(lan.id);
    standFor("lan");
    expect(ask()).toBe(lan.id);
    expect(ask([], "forwarded")).toBe(lan.id);
    expect(ambient.identify("192.168.2.9", "peer", "default", [], 0)).toBeNull();
  });

  it.each(["Authorization", "X-Api-Key", "api-key", "Proxy-Authorization", "X-Goog-Api-Key", "Cookie"])(
    "is silent where the request carries %s, even an empty one",
    (name) => {
      standFor("lan");
      expect(ask([name, ""])).toBe("credential");
      expect(ask([name, "Basic eA=="])).toBe("credential");
    },
  );

  it.each([
    ["Origin", "null"],
    ["Origin", "http://localhost"],
    ["Sec-Fetch-Site", "cross-site"],
  ])("is silent for a page in a browser (%s: %s), which speaks for whoever wrote it", (name, value) => {
    standFor("lan");
    expect(ask([name, value])).toBe("browser");
  });

  it("is silent where the address is not certainly the caller's", () => {
    standFor("lan");
    expect(ask([], "undeclared_proxy")).toBe("undeclared_proxy");
    expect(ask([], "proxy_itself")).toBe("proxy_itself");
  });

  it("follows the key: revoked, expired, made anew under its name", () => {
    const first = addKey("moving", {}, { expiresAtMs: 1000 });
    standFor("moving");
    expect(ask([], "peer", 999)).toBe(first.id);
    expect(ask([], "peer", 1000)).toBe("key_not_active");
    keyring.put({ ...first, revokedAtMs: 1 });
    expect(ask()).toBe("no_such_key");
    const second = addKey("moving");
    expect(ask()).toBe(second.id);
    standFor(first.id);
    expect(ask()).toBe("key_not_active");
  });

  it("does not choose between two keys of one name", () => {
    addKey("twice");
    addKey("twice");
    standFor("twice");
    expect(ask()).toBe("ambiguous_key");
    standFor("never-made");
    expect(ask()).toBe("no_such_key");
  });
});
