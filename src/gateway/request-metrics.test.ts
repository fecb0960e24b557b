import { Registry } from "prom-client";
import { expect, it } from "vitest";
import type { RequestSummary } from "../proxy/observer.ts";
import { requestClosed, requestOpened } from "../usage/__fixtures__/request-record.ts";
import { requestSummary } from "./__fixtures__/request-summary.ts";
import { RequestMetrics } from "./request-metrics.ts";

function summary(model: string, servedBy: string | null, rest: Partial<RequestSummary> = {}): RequestSummary {
  const opened = { ...requestOpened("r"), model };
  const closed = requestClosed("r", { timeToFirstTokenMs: 30 });
  return requestSummary("r", { opened, closed, servedBy, durationMs: 2_000, overheadMs: 0.2, ...rest });
}

it("counts by model, node, dialect and outcome, and times by model and node", async () => {
  const registry = new Registry();
  const metrics = new RequestMetrics(registry);
  const refused = { opened: null, closed: null, overheadMs: null, errorCode: "key_invalid", status: 401 };
  metrics.ended(summary("demo", "node/lab"));
  metrics.ended(summary("demo", "node/lab", { dialect: "anthropic-messages" }));
  metrics.ended(summary("demo", "provider/cloud"));
  metrics.ended(summary("", null, refused));
  metrics.ended(summary("", null, { ...refused, errorCode: null, dialect: null }));
  const text = await registry.metrics();
  const counted = (model: string, node: string, dialect: string, outcome: string) =>
    `postern_requests_total{model="${model}",node="${node}",dialect="${dialect}",outcome="${outcome}"} 1\n`;
  expect(text).toContain(counted("demo", "lab", "openai-chat", "ok"));
  expect(text).toContain(counted("demo", "lab", "anthropic-messages", "ok"));
  expect(text).toContain(counted("demo", "provider/cloud", "openai-chat", "ok"));
  expect(text).toContain(counted("", "", "openai-chat", "refused"));
  expect(text).toContain(counted("", "", "", "answered"));
  expect(text).toContain('postern_request_duration_seconds_bucket{le="2.5",model="demo",node="lab"} 2\n');
  expect(text).toContain('postern_request_duration_seconds_sum{model="demo",node="lab"} 4\n');
  expect(text).toContain('postern_time_to_first_token_seconds_bucket{le="0.05",model="demo",node="lab"} 2\n');
  expect(text).toContain('postern_overhead_seconds_count{model="demo",node="provider/cloud"} 1\n');
  expect(text).not.toContain('postern_overhead_seconds_count{model=""');
});

it("has series for a bounded number of models and nodes, and loses no request of the others", async () => {
  const registry = new Registry();
  const metrics = new RequestMetrics(registry);
  for (let count = 0; count < 2_500; count++) metrics.ended(summary(`m${count % 1_250}`, `node/n${count % 2}${count}`));
  metrics.ended(summary("m0", "node/n00"));
  const text = await registry.metrics();
  expect(text.match(/^postern_request_duration_seconds_count\{/gm)).toHaveLength(2_001);
  expect(text).toContain(
    'postern_requests_total{model="(others)",node="(others)",dialect="openai-chat",outcome="ok"} 500\n',
  );
  expect(text).toContain('postern_requests_total{model="m0",node="n00",dialect="openai-chat",outcome="ok"} 2\n');
});
