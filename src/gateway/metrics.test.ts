import { expect, it } from "vitest";
import type { RequestClosed } from "../usage/record.ts";
import { Metrics } from "./metrics.ts";

const opened = {
  id: "r",
  endpointId: "default",
  keyId: "k",
  operation: "openai.chat",
  model: "demo",
  workflow: null,
  contingency: null,
  isStream: true,
  openedAtMs: 0,
  requestBytes: 1,
};

function ended(metrics: Metrics, counts: Partial<RequestClosed>): void {
  const closed: RequestClosed = {
    id: "r",
    closedAtMs: 1,
    outcome: "ok",
    status: 200,
    errorCode: null,
    tokensIn: 10,
    tokensInCached: 4,
    tokensOut: 7,
    tokensReasoning: null,
    isEstimated: false,
    timeToFirstTokenMs: 1,
    durationMs: 2,
    costMicros: 0,
    contingency: null,
    fallback: null,
    attempts: [],
    ...counts,
  };
  metrics.ended({
    id: "r",
    opened,
    closed,
    method: "POST",
    operation: "openai.chat",
    dialect: "openai-chat",
    endpoint: "default",
    keyId: "k",
    ambient: null,
    remoteAddress: "",
    status: 200,
    errorCode: null,
    detail: null,
    shadow: null,
    softBudget: null,
    servedBy: "node/lab",
    durationMs: 2,
    overheadMs: 0.1,
    bytesOut: 5,
  });
}

it("Metrics counts tokens by type, cached and reasoning ones apart as parts of the others, and numbers the states of breakers", async () => {
  const metrics = new Metrics({
    links: () => [],
    providers: () => [],
    breakers: () => [{ target: "node/forge/e/m", state: "open" }],
    contingency: () => [],
    approvals: () => 0,
    queues: () => [],
    engines: () => [],
  });
  ended(metrics, { tokensReasoning: 5 });
  ended(metrics, { tokensReasoning: null });
  const text = await metrics.registry.metrics();
  const tokens = (type: string) => `postern_tokens_total{type="${type}",model="demo",node="lab"}`;
  expect(text).toContain(`${tokens("in")} 20`);
  expect(text).toContain(`${tokens("in_cached")} 8`);
  expect(text).toContain(`${tokens("out")} 14`);
  expect(text).toContain(`${tokens("reasoning")} 5`);
  expect(text).toContain('postern_breaker_state{target="node/forge/e/m"} 2');
});
