import { expect, test } from "vitest";
import { readPolicy } from "../access/policy.ts";
import { type PolicyOptions, readPolicyOptions } from "./policy-options.ts";

const NOW_MS = Date.UTC(2026, 10, 30);

test("readPolicyOptions() turns every option into its word, and the policy is one that a gateway takes", () => {
  const policy = readPolicyOptions(
    {
      model: ["llama*"],
      endpoint: ["team"],
      dialect: ["openai-chat"],
      operation: ["openai.chat"],
      mayLeave: "no",
      prefer: "local",
      fallback: "never",
      node: ["forge"],
      tag: ["gpu"],
      workflow: "nightly",
      address: ["10.0.0.0/8", "2001:db8::1"],
      notBefore: "2026-12-01",
      expires: "90d",
      requestsPerMinute: "60",
      tokensPerMinute: "100000",
      concurrency: "4",
      budget: ["tokens/day=800000:1000000", "cost/month=15.5:", "cost/day=20"],
      mayPin: true,
      capture: "both",
      captureFor: "36h",
      clientCertificate: ["AB".repeat(32)],
      shadow: true,
    },
    NOW_MS,
  );
  expect(policy).toMatchObject({
    capture: { requests: true, answers: true, retentionHours: 36 },
    clientCertificates: ["ab".repeat(32)],
    targets: { nodes: ["forge"], tags: ["gpu"] },
    notBeforeMs: Date.UTC(2026, 11, 1),
    expiresAtMs: NOW_MS + 90 * 86_400_000,
    requestsPerMinute: 60,
    budgets: {
      tokensPerDay: { soft: 800_000, hard: 1_000_000 },
      costMicrosPerMonth: { soft: 15_500_000 },
      costMicrosPerDay: { hard: 20_000_000 },
    },
  });
  expect(readPolicy(policy).faults).toBeNull();
  expect(readPolicyOptions({}, NOW_MS)).toEqual({ version: 1 });
});

test.each<PolicyOptions>([
  { budget: ["tokens/day"] },
  { budget: ["tokens/day=:"] },
  { capture: "prompts" },
  { captureFor: "1h" },
  { clientCertificate: ["/nowhere.pem"] },
  { budget: ["tokens/day=1.5"] },
  { budget: ["tokens/year=1"] },
  { budget: ["cost/day=-1"] },
  { requestsPerMinute: "many" },
  { concurrency: "-1" },
  { expires: "soon" },
  { policy: "/nowhere/policy.json" },
])("readPolicyOptions() refuses %j as a wrong use", (options) => {
  expect(() => readPolicyOptions(options, NOW_MS)).toThrow(expect.objectContaining({ code: "usage" }));
});
