import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { OPERATIONS } from "../dialects/operations.ts";
import { anyPolicy } from "./__fixtures__/any-policy.ts";
import { CompiledPolicy } from "./compiled-policy.ts";
import type { KeyPolicy } from "./policy.ts";
import { policyExcess } from "./policy-subset.ts";

const paths = (granted: Omit<KeyPolicy, "version">, ceiling: Omit<KeyPolicy, "version">) =>
  policyExcess({ version: 1, ...granted }, { version: 1, ...ceiling }).map(({ path }) => path);

describe("policyExcess()", () => {
  test("finds a policy within itself, and within one that says nothing but may pin and capture", () => {
    fc.assert(
      fc.property(anyPolicy, (policy) => {
        expect(policyExcess(policy, policy)).toEqual([]);
        const endpoints = policy.endpoints === undefined ? {} : { endpoints: policy.endpoints };
        const capture = { requests: true, answers: true, retentionHours: 3 };
        expect(policyExcess(policy, { version: 1, mayPin: true, capture, ...endpoints })).toEqual([]);
      }),
    );
  });

  test("never lets a policy through that would allow what its creator's does not", () => {
    const models = ["llama3", "llama3:70b", "qwen3:8b", "x"];
    const addresses = ["10.1.2.3", "10.1.9.9", "10.2.0.1", "192.0.2.1", "2001:db8::1", "::1"];
    const targets = ["a", "ab", "b"].flatMap((name) =>
      [true, false].flatMap((leaves) =>
        (["node", "provider"] as const).map((kind) => ({ backend: { kind, name, tags: ["gpu"] }, leaves })),
      ),
    );
    // One or two words that differ: policies that have nothing in common are seldom within each other.
    fc.assert(
      fc.property(anyPolicy, anyPolicy, fc.nat(), fc.nat(), (ceiling, other, first, second) => {
        const words = Object.entries(other);
        const changed = [words[first % words.length], words[second % words.length]].filter((one) => one !== undefined);
        const granted: KeyPolicy = { ...ceiling, ...Object.fromEntries(changed) };
        if (policyExcess(granted, ceiling).length > 0) return;
        const [mine, theirs] = [new CompiledPolicy(granted), new CompiledPolicy(ceiling)];
        const within = <T>(list: readonly T[], may: (policy: CompiledPolicy, one: T) => boolean) => {
          for (const one of list) expect(may(mine, one) && !may(theirs, one), JSON.stringify(one)).toBe(false);
        };
        within(models, (policy, model) => policy.mayUseModel(model));
        within(addresses, (policy, address) => policy.mayComeFrom(address));
        within(["default", "team"], (policy, endpoint) => policy.mayUseEndpoint(endpoint));
        within(OPERATIONS, (policy, operation) => policy.mayCall(operation));
        within(targets, (policy, target) => policy.mayReach(target) && (policy.mayLeave || !target.leaves));
        within(targets, (policy, target) => policy.mayReach(target) && !policy.needsApproval(target));
        within([0, 5, 6, 10], (policy, nowMs) => policy.stateAt(nowMs) === "ok");
        within([true], (policy) => policy.mayPin);
        within(["a".repeat(64), "b".repeat(64), null], (policy, hash) => policy.mayShow(() => hash));
        for (const kind of ["requests", "answers"] as const)
          within(
            [1, 2, 3],
            ({ document: { capture } }, hours) => capture?.[kind] === true && capture.retentionHours >= hours,
          );
        const most = (policy: KeyPolicy, word: "requestsPerMinute" | "tokensPerMinute" | "concurrency") =>
          policy.shadow === true ? Number.POSITIVE_INFINITY : (policy[word] ?? Number.POSITIVE_INFINITY);
        for (const word of ["requestsPerMinute", "tokensPerMinute", "concurrency"] as const) {
          expect(most(granted, word)).toBeLessThanOrEqual(most(ceiling, word));
        }
      }),
      { numRuns: 1000 },
    );
  });

  test.each([
    [{ models: ["llama3*"] }, { models: ["llama*"] }, []],
    [{ models: ["llama*"] }, { models: ["llama3*"] }, ["models"]],
    [{}, { models: ["llama*"] }, ["models"]],
    [{ addresses: ["10.1.0.0/16", "10.2.3.4"] }, { addresses: ["10.0.0.0/8"] }, []],
    [{ addresses: ["10.0.0.0/7"] }, { addresses: ["10.0.0.0/8"] }, ["addresses"]],
    [{ addresses: ["::/0"] }, { addresses: ["0.0.0.0/0"] }, ["addresses"]],
    [{ endpoints: ["team"] }, {}, ["endpoints"]],
    [{}, { endpoints: ["team"] }, ["endpoints"]],
    [{}, { mayLeave: "no" as const }, ["mayLeave"]],
    [{ expiresAtMs: 11 }, { expiresAtMs: 10 }, ["expiresAtMs"]],
    [{ mayPin: true }, {}, ["mayPin"]],
    [{ capture: { requests: true, retentionHours: 1 } }, {}, ["capture"]],
    [
      { capture: { answers: true, retentionHours: 25 } },
      { capture: { answers: true, retentionHours: 24 } },
      ["capture"],
    ],
    [{ budgets: { tokensPerDay: { soft: 1 } } }, { budgets: { tokensPerDay: { hard: 5 } } }, ["budgets.tokensPerDay"]],
    [{ concurrency: 1, shadow: true }, { concurrency: 2 }, ["shadow"]],
    [{ workflow: "b" }, { workflow: "a" }, ["workflow"]],
  ])("of %j within %j: %j", (granted, ceiling, expected) => {
    expect(paths(granted, ceiling)).toEqual(expected);
  });
});
