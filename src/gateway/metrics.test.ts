import { expect, it } from "vitest";
import { requestClosed, requestOpened } from "../usage/__fixtures__/request-record.ts";
import type { RequestClosed } from "../usage/record.ts";
import { Metrics } from "./metrics.ts";

function ended(metrics: Metrics, counts: Partial<RequestClosed>): void {
  metrics.ended({
    id: "r",
    opened: requestOpened("r"),
    closed: requestClosed("r", { tokensIn: 10, tokensInCached: 4, tokensOut: 7, ...counts }),
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
