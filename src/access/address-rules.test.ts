import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AddressSet } from "../lib/cidr.ts";
import { type AddressRule, ambientRisk } from "./address-rule.ts";
import { AddressRules } from "./address-rules.ts";

let count = 0;
function rule(effect: AddressRule["effect"], range: string, fields: Partial<AddressRule> = {}): AddressRule {
  count++;
  const nothing = { endpoint: null, key: null, label: null, purpose: null, owner: null, mayRotate: false };
  return { name: `rule-${count}`, effect, range, ...nothing, expiresAtMs: null, ...fields };
}

function rules(...all: AddressRule[]): AddressRules {
  const made = new AddressRules();
  made.replaceAll(all, 0);
  return made;
}

describe("AddressRules", () => {
  it("lets everybody in where there is no rule", () => {
    expect(rules().deny("192.0.2.1", "default", 0)).toBeNull();
  });

  it("keeps everybody else out as soon as there is an allow rule", () => {
    const made = rules(rule("allow", "198.51.100.7"));
    expect(made.deny("198.51.100.7", "default", 0)).toBeNull();
    expect(made.deny("198.51.100.8", "default", 0)).toEqual({ reason: "not_listed", rule: null });
    expect(made.deny("2001:db8::1", "default", 0)).toEqual({ reason: "not_listed", rule: null });
  });

  it("lets deny win over allow, however narrow, and names the rule that decided", () => {
    const deny = rule("deny", "198.51.100.0/24", { endpoint: "vm" });
    const made = rules(rule("allow", "198.51.100.7"), deny);
    expect(made.deny("198.51.100.7", "vm", 0)).toEqual({ reason: "denied", rule: deny });
    expect(made.deny("198.51.100.7", "default", 0)).toBeNull();
  });

  it("adds the rules of an endpoint to those of all", () => {
    const made = rules(rule("allow", "10.0.0.0/8"), rule("allow", "192.0.2.1", { endpoint: "vm" }));
    expect(made.deny("10.1.1.1", "vm", 0)).toBeNull();
    expect(made.deny("192.0.2.1", "vm", 0)).toBeNull();
    expect(made.deny("192.0.2.1", "default", 0)?.reason).toBe("not_listed");
  });

  it("closes one endpoint and leaves the others open", () => {
    const made = rules(rule("allow", "192.0.2.1", { endpoint: "vm" }));
    expect(made.deny("203.0.113.1", "vm", 0)?.reason).toBe("not_listed");
    expect(made.deny("203.0.113.1", "default", 0)).toBeNull();
  });

  it("forgets a rule when it expires, without being told", () => {
    const made = rules(rule("deny", "192.0.2.1", { expiresAtMs: 1000 }));
    expect(made.nextExpiryMs).toBe(1000);
    expect(made.deny("192.0.2.1", "default", 999)?.reason).toBe("denied");
    expect(made.deny("192.0.2.1", "default", 1000)).toBeNull();
    made.replaceAll(made.rules, 1000);
    expect(made.nextExpiryMs).toBe(Number.POSITIVE_INFINITY);
  });

  // The last allow rule of an endpoint ran out on a Friday, and the endpoint was open to the world: that must not be.
  it("stays closed when the last allow rule expires", () => {
    const made = rules(rule("allow", "192.0.2.1", { expiresAtMs: 1000 }));
    expect(made.deny("192.0.2.1", "default", 1000)?.reason).toBe("not_listed");
    expect(made.deny("203.0.113.1", "default", 1000)?.reason).toBe("not_listed");
  });

  it("lets nobody in whose address it cannot read, once there is any rule", () => {
    expect(rules(rule("deny", "192.0.2.1")).deny("", "default", 0)).toEqual({ reason: "unreadable", rule: null });
    expect(rules(rule("allow", "0.0.0.0/0")).deny("unknown", "default", 0)).toEqual({
      reason: "unreadable",
      rule: null,
    });
  });

  it("knows the narrowest ambient rule of the endpoint before those of all", () => {
    const wide = rule("ambient", "10.0.0.0/8", { key: "a" });
    const narrow = rule("ambient", "10.1.0.0/16", { key: "b" });
    const here = rule("ambient", "10.0.0.0/8", { key: "c", endpoint: "vm" });
    const made = rules(wide, narrow, here);
    expect(made.ambient("10.1.2.3", "default", 0)).toBe(narrow);
    expect(made.ambient("10.2.2.3", "default", 0)).toBe(wide);
    expect(made.ambient("10.1.2.3", "vm", 0)).toBe(here);
    expect(made.ambient("192.0.2.1", "vm", 0)).toBeNull();
    expect(made.deny("192.0.2.1", "vm", 0)).toBeNull();
  });

  it("explains what let an address in", () => {
    const allow = rule("allow", "192.0.2.0/24");
    expect(rules(allow).explain("192.0.2.1", "default", 0)).toEqual({ denial: null, allowedBy: allow, isClosed: true });
    expect(rules().explain("192.0.2.1", "default", 0)).toEqual({ denial: null, allowedBy: null, isClosed: false });
  });

  it("decides as going through the rules one by one does", () => {
    const range = fc.tuple(fc.nat(3), fc.nat(3), fc.constantFrom(8, 16, 32)).map(([a, b, length]) => {
      return length === 8 ? `${10 + a}.0.0.0/8` : length === 16 ? `${10 + a}.${b}.0.0/16` : `${10 + a}.${b}.0.1`;
    });
    const some = fc.record({
      effect: fc.constantFrom("allow" as const, "deny" as const),
      range,
      endpoint: fc.constantFrom(null, "vm", "other"),
      expiresAtMs: fc.constantFrom(null, 5, 20),
    });
    const address = fc.tuple(fc.nat(3), fc.nat(3), fc.nat(2)).map(([a, b, c]) => `${10 + a}.${b}.0.${c}`);
    fc.assert(
      fc.property(
        fc.array(some, { maxLength: 12 }),
        fc.array(address, { minLength: 1 }),
        fc.nat(30),
        (list, asked, nowMs) => {
          const made = new AddressRules();
          made.replaceAll(
            list.map((one) => rule(one.effect, one.range, one)),
            0,
          );
          const about = list.filter(({ endpoint }) => endpoint === null || endpoint === "vm");
          for (const one of asked) {
            const holding = about.filter(
              (each) => (each.expiresAtMs ?? 99) > nowMs && AddressSet.of([each.range]).matches(one),
            );
            const isDenied = holding.some(({ effect }) => effect === "deny");
            const isListed = holding.some(({ effect }) => effect === "allow");
            const isClosed = about.some(({ effect }) => effect === "allow");
            expect(made.deny(one, "vm", nowMs) === null).toBe(!isDenied && (isListed || !isClosed));
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("ambientRisk()", () => {
  it("warns of ranges that are wide or public", () => {
    for (const range of [
      "0.0.0.0/0",
      "203.0.113.0/24",
      "203.0.113.7",
      "::/0",
      "2001:db8::/32",
      "10.0.0.0/8",
      "fc00::/7",
    ]) {
      expect([range, ambientRisk(range)]).toEqual([range, expect.any(String)]);
    }
  });

  it("is quiet about one private network", () => {
    for (const range of ["10.1.0.0/16", "192.168.1.0/24", "127.0.0.0/8", "fd00:1:2::/48", "::1"])
      expect(ambientRisk(range)).toBeNull();
  });
});
