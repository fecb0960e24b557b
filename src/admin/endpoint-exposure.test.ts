import { expect, test } from "vitest";
import { keyRecord } from "../../test/support/key-record.ts";
import type { AddressRule } from "../access/address-rule.ts";
import { DEFAULT_ENDPOINT } from "../access/endpoint.ts";
import { describeExposure } from "./endpoint-exposure.ts";

const VM = { ...DEFAULT_ENDPOINT, name: "vm", models: ["llama*"], mayLeave: "no" as const };
const hash = new Uint8Array(32);

function rule(name: string, effect: AddressRule["effect"], fields: Partial<AddressRule> = {}): AddressRule {
  const about = { label: null, purpose: null, owner: null, expiresAtMs: null, key: null, endpoint: "vm" };
  return { name, effect, range: "192.0.2.1", mayRotate: false, ...about, ...fields };
}

test("an endpoint that is closed says who comes in, what a broken consumer gets, and which addresses may move on", () => {
  const keys = [
    keyRecord({ id: "a", hash }, { addresses: ["192.0.2.1"], expiresAtMs: 9e12 }),
    keyRecord({ id: "b", hash }, { clientCertificates: ["a".repeat(64)] }),
  ];
  const rules = [rule("egress", "allow"), rule("home", "allow", { mayRotate: true }), rule("lan", "ambient")];
  const { reach, brokenConsumer, rotation } = describeExposure(VM, rules, true, keys);
  expect(reach).toBe(
    "Addresses of 2 allow rules (egress, home) and no others, with one of 2 keys; 1 ranges (lan) need none: each stands for a key.",
  );
  expect(brokenConsumer).toContain("the models llama*, never beyond your own machines; from a listed address only.");
  expect(brokenConsumer).toContain("Of 2 keys 1 are bound to addresses, 1 to a client certificate, and 1 expire.");
  expect(rotation).toContain("1 of the allowed addresses may change (home): their consumer then gets 403");
  expect(rotation).toContain("ambient range (lan) is that key");
});

test("an endpoint that is open says so", () => {
  const { reach, brokenConsumer, rotation } = describeExposure(DEFAULT_ENDPOINT, [], false, []);
  expect(reach).toBe("Every address that reaches the listener, with one of 0 keys.");
  expect(brokenConsumer).toContain("any model, providers too where the key allows it; from any address.");
  expect(rotation).toBe("Nothing: no address counts here.");
});
