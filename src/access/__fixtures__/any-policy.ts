import fc from "fast-check";
import type { KeyPolicy } from "../policy.ts";

/** Policies with every word there is, as arbitrary values. */
export const anyPolicy: fc.Arbitrary<KeyPolicy> = fc
  .record(
    {
      endpoints: fc.uniqueArray(fc.constantFrom("default", "team"), { maxLength: 2 }),
      models: fc.array(fc.constantFrom("llama3", "llama*", "qwen3:8b", "*", "*:8b"), { maxLength: 3 }),
      dialects: fc.uniqueArray(fc.constantFrom("openai-chat" as const, "ollama-chat" as const), { maxLength: 2 }),
      operations: fc.uniqueArray(fc.constantFrom("openai.chat", "openai.models"), { maxLength: 2 }),
      mayLeave: fc.constantFrom("no" as const, "yes" as const),
      prefer: fc.constantFrom("local" as const, "cloud" as const, "none" as const),
      fallback: fc.constantFrom("automatic" as const, "approval" as const, "never" as const),
      targets: fc.record(
        { nodes: fc.array(fc.constantFrom("a", "a*", "b"), { maxLength: 2 }), tags: fc.constant(["gpu"] as string[]) },
        { requiredKeys: [] },
      ),
      workflow: fc.constantFrom("w1", "w2"),
      addresses: fc.array(fc.constantFrom("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "::/0", "2001:db8::/32"), { maxLength: 2 }),
      clientCertificates: fc.uniqueArray(fc.constantFrom("a".repeat(64), "b".repeat(64)), { maxLength: 2 }),
      notBeforeMs: fc.integer({ min: 0, max: 5 }),
      expiresAtMs: fc.integer({ min: 6, max: 10 }),
      requestsPerMinute: fc.integer({ min: 0, max: 3 }),
      tokensPerMinute: fc.integer({ min: 0, max: 3 }),
      concurrency: fc.integer({ min: 0, max: 3 }),
      budgets: fc.record(
        { tokensPerDay: fc.record({ hard: fc.integer({ min: 0, max: 3 }) }), costMicrosPerMonth: fc.record({ soft: fc.constant(1) }) },
        { requiredKeys: [] },
      ),
      capture: fc.record({ requests: fc.boolean(), answers: fc.constant(true), retentionHours: fc.integer({ min: 1, max: 3 }) }),
      mayPin: fc.boolean(),
      shadow: fc.boolean(),
    },
    { requiredKeys: [] },
  )
  .map((words) => ({ version: 1, ...words }));
