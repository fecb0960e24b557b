import { expect, it } from "vitest";
import { requestClosed } from "../usage/__fixtures__/request-record.ts";
import type { RequestClosed } from "../usage/record.ts";
import { requestSummary } from "./__fixtures__/request-summary.ts";
import { Metrics } from "./metrics.ts";

function ended(metrics: Metrics, counts: Partial<RequestClosed>): void {
  const closed = requestClosed("r", { tokensIn: 10, tokensInCached: 4, tokensOut: 7, ...counts });
  metrics.ended(requestSummary("r", { closed }));
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
