import { Registry } from "prom-client";
import { expect, it } from "vitest";
import type { RequestSummary } from "../proxy/observer.ts";
import { EndpointMetrics } from "./endpoint-metrics.ts";

function summary(endpoint: string | null, status: number): RequestSummary {
  const nothing = {
    opened: null,
    closed: null,
    operation: null,
    dialect: null,
    keyId: null,
    ambient: null,
    servedBy: null,
    shadow: null,
    softBudget: null,
  };
  const rest = { method: "GET", remoteAddress: "", errorCode: null, detail: null, overheadMs: null, bytesOut: 0 };
  return { id: "r", endpoint, status, durationMs: 20, ...nothing, ...rest };
}

it("counts by endpoint and status, hosts of strangers together", async () => {
  const registry = new Registry();
  const metrics = new EndpointMetrics(registry);
  metrics.ended(summary("vm", 200));
  metrics.ended(summary("vm", 200));
  metrics.ended(summary("vm", 403));
  metrics.ended(summary(null, 421));
  const text = await registry.metrics();
  expect(text).toContain('postern_endpoint_requests_total{endpoint="vm",status="200"} 2');
  expect(text).toContain('postern_endpoint_requests_total{endpoint="vm",status="403"} 1');
  expect(text).toContain('postern_endpoint_requests_total{endpoint="(none)",status="421"} 1');
  expect(text).toContain('postern_endpoint_duration_seconds_count{endpoint="vm"} 3');
});

it("has labels for a bounded number of endpoints", async () => {
  const registry = new Registry();
  const metrics = new EndpointMetrics(registry);
  for (let count = 0; count < 1000; count++) metrics.ended(summary(`e${count}`, 200));
  const text = await registry.metrics();
  expect(text.match(/postern_endpoint_requests_total\{/g)?.length).toBe(257);
  expect(text).toContain('postern_endpoint_requests_total{endpoint="(others)",status="200"} 744');
});
