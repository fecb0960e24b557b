import { setImmediate } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { longestTurnMs, TURN_BOUND_MS } from "../../test/support/longest-turn.ts";
import { type AddressRule, MAX_RULES } from "./address-rule.ts";
import { AddressRules } from "./address-rules.ts";

const EFFECTS = ["deny", "allow", "ambient"] as const;

function rule(index: number, fields: Partial<AddressRule> = {}): AddressRule {
  const range =
    index % 2 === 0 ? `10.${(index >> 8) & 255}.${index & 255}.0/24` : `2001:db8:${(index & 0xffff).toString(16)}::/48`;
  const about = { label: null, purpose: null, owner: null, mayRotate: false, expiresAtMs: null, key: null };
  return { name: `r${index}`, effect: "deny", range, endpoint: null, ...about, ...fields };
}

describe(`${MAX_RULES} address rules`, () => {
  test.each([
    ["of one kind", (_index: number) => ({})],
    [
      "of all kinds, for several endpoints",
      (index: number) => ({
        effect: EFFECTS[index % 3] ?? "deny",
        endpoint: index % 5 === 0 ? `team-${index % 50}` : null,
      }),
    ],
  ])("%s are compiled in turns, none of which keeps the event loop to itself", async (_what, fields) => {
    const many = Array.from({ length: MAX_RULES }, (_, index) => rule(index, fields(index)));
    const rules = new AddressRules();
    const ms = await longestTurnMs(async () => {
      (await rules.prepare(many, 0, setImmediate))();
    });
    expect(ms).toBeLessThan(TURN_BOUND_MS);
    expect(rules.deny("10.0.0.1", "team-0", 0)?.rule?.name).toBe("r0");
  });

  test("that expire one after the other cost a request no compilation", () => {
    const many = Array.from({ length: MAX_RULES }, (_, index) => rule(index, { expiresAtMs: index + 1 }));
    const rules = new AddressRules();
    rules.replaceAll(many, 0);
    const before = performance.now();
    for (let nowMs = 1; nowMs < 1000; nowMs++) rules.deny("192.0.2.1", "default", nowMs);
    // Compiling them a thousand times takes a minute.
    expect(performance.now() - before).toBeLessThan(1000);
  });
});

test("an expired rule counts no more at once, whatever ranges lie around it, and as if it had never been compiled", () => {
  const ranges = ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3", "::/0", "2001:db8::/32"];
  const some = fc.array(
    fc.record({
      range: fc.constantFrom(...ranges),
      effect: fc.constantFrom(...EFFECTS),
      expiresAtMs: fc.option(fc.constantFrom(5, 10, 20), { nil: null }),
      endpoint: fc.constantFrom(null, "team"),
    }),
    { maxLength: 8 },
  );
  const address = fc.constantFrom("10.1.2.3", "10.1.2.9", "10.9.9.9", "192.0.2.1", "2001:db8::1", "::1");
  fc.assert(
    fc.property(some, address, fc.constantFrom(4, 5, 9, 10, 19, 20), (fields, from, nowMs) => {
      const list = fields.map((one, index) => rule(index, one));
      const old = new AddressRules();
      old.replaceAll(list, 0);
      const fresh = new AddressRules();
      fresh.replaceAll(list, nowMs);
      expect(old.explain(from, "team", nowMs)).toEqual(fresh.explain(from, "team", nowMs));
      expect(old.ambient(from, "team", nowMs)?.range).toBe(fresh.ambient(from, "team", nowMs)?.range);
    }),
    { numRuns: 1000 },
  );
});
