import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { anyPolicy } from "./__fixtures__/any-policy.ts";
import { type KeyPolicy, parsePolicy, readPolicy, writePolicy } from "./policy.ts";

describe("a policy document", () => {
  test("comes back from its text as it was, and equal ones have equal texts", () => {
    fc.assert(
      fc.property(anyPolicy, (policy) => {
        const text = writePolicy(policy);
        expect(parsePolicy(text)).toEqual(policy);
        const turned = Object.fromEntries(Object.entries(policy).reverse()) as KeyPolicy;
        expect(writePolicy(turned)).toBe(text);
      }),
    );
  });

  test("is read from anything without a throw, and with a fault or a policy, never both", () => {
    const almost = fc
      .tuple(anyPolicy, fc.string(), fc.jsonValue())
      .map(([policy, name, value]) => ({ ...policy, [name]: value }));
    fc.assert(
      fc.property(fc.oneof(fc.jsonValue(), almost), (value) => {
        const { policy, faults } = readPolicy(value);
        expect(policy === null).toBe(faults !== null && faults.length > 0);
        expect(() => parsePolicy(JSON.stringify(value))).not.toThrow();
      }),
    );
  });

  test("an unknown word is a fault: a rule that is not understood must not be passed over", () => {
    fc.assert(
      fc.property(anyPolicy, fc.string({ minLength: 1 }), fc.jsonValue(), (policy, name, value) => {
        fc.pre(!(name in writtenWords) && name !== "__proto__");
        expect(readPolicy({ ...policy, [name]: value }).policy).toBeNull();
      }),
    );
  });

  test.each([
    [{ version: 2 }, "version"],
    [{ models: "llama3" }, "models"],
    [{ models: ["a", "with space"] }, "models[1]"],
    [{ models: Array(257).fill("a") }, "models"],
    [{ endpoints: ["UPPER"] }, "endpoints[0]"],
    [{ dialects: ["openai"] }, "dialects[0]"],
    [{ operations: ["openai.delete"] }, "operations[0]"],
    [{ addresses: ["10.0.0.1/8"] }, "addresses[0]"],
    [{ addresses: ["example.org"] }, "addresses[0]"],
    [{ requestsPerMinute: -1 }, "requestsPerMinute"],
    [{ tokensPerMinute: 1.5 }, "tokensPerMinute"],
    [{ concurrency: "4" }, "concurrency"],
    [{ budgets: { tokensPerDay: {} } }, "budgets.tokensPerDay"],
    [{ budgets: { tokensPerDay: { soft: 2, hard: 1 } } }, "budgets.tokensPerDay"],
    [{ budgets: { tokensPerYear: { hard: 1 } } }, "budgets"],
    [{ notBeforeMs: 5, expiresAtMs: 5 }, "expiresAtMs"],
    [{ targets: { hosts: ["a"] } }, "targets"],
    [{ mayLeave: true }, "mayLeave"],
  ])("%j has its fault at %s", (value, path) => {
    expect(readPolicy(value).faults?.map((fault) => fault.path)).toEqual([path]);
  });

  test("all its faults are told together", () => {
    const { faults } = readPolicy({ version: 1, concurrency: -1, models: ["a b"], colour: true });
    expect(faults?.map(({ path }) => path).sort()).toEqual(["", "concurrency", "models[0]"]);
  });
});

const writtenWords = {
  ...{
    version: 1,
    endpoints: 1,
    models: 1,
    dialects: 1,
    operations: 1,
    mayLeave: 1,
    prefer: 1,
    fallback: 1,
    targets: 1,
  },
  ...{ workflow: 1, addresses: 1, notBeforeMs: 1, expiresAtMs: 1, requestsPerMinute: 1, tokensPerMinute: 1 },
  ...{ concurrency: 1, budgets: 1, mayPin: 1, shadow: 1 },
};
