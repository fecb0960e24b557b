import { Counter, Gauge, Registry } from "prom-client";
import type { ProviderView } from "../admin/contract-providers.ts";
import type { ScopeView } from "../continuity/contingency-state.ts";
import type { CaptureResult } from "../proxy/captures.ts";
import type { ProxyObserver, RequestSummary } from "../proxy/observer.ts";
import type { BreakerState } from "../routing/circuit-breaker.ts";
import { EndpointMetrics } from "./endpoint-metrics.ts";
import { RequestMetrics } from "./request-metrics.ts";

const BREAKER_NUMBERS: Readonly<Record<BreakerState, number>> = { closed: 0, "half-open": 1, open: 2 };

/** Numbers that are read at the moment of a scrape. */
export interface GaugeReadings {
  links(): Iterable<{ node: string; state: string }>;
  breakers(): Iterable<{ target: string; state: BreakerState }>;
  contingency(): readonly ScopeView[];
  providers(): readonly ProviderView[];
  /** Requests that wait for an operator. */
  approvals(): number;
  /** Requests that wait, by model. */
  queues(): Iterable<{ model: string; depth: number }>;
  /** Engines that were asked over links. */
  engines(): Iterable<{ node: string; engine: string; latency: { throughMs: number; engineMs: number | null } }>;
}

/**
 * The metrics of DESIGN §5 "Metrics". No label holds a caller's text: models are public names that were resolved, nodes
 * are names that the operator gave.
 */
export class Metrics {
  readonly registry = new Registry();
  readonly #finished = new RequestMetrics(this.registry);
  readonly #failovers = this.#counter(
    "postern_failovers_total",
    "Attempts that another target took over; from `nodes` where none of them could.",
    ["from", "to", "reason"],
  );
  readonly #refusals = this.#counter(
    "postern_refusals_total",
    "Requests that were refused, by error code, and connections that were refused or cut, by reason.",
    ["reason"],
  );
  readonly #shadowRefusals = this.#counter(
    "postern_shadow_refusals_total",
    "Requests that a limit in shadow would have refused, by the error's code.",
    ["reason"],
  );
  readonly #softBudgets = this.#counter(
    "postern_soft_budget_requests_total",
    "Requests of keys that are beyond the soft edge of a budget, by budget.",
    ["budget"],
  );
  readonly #captures = this.#counter(
    "postern_captures_total",
    "Requests whose prompt or answer was to be kept, by what became of it.",
    ["result"],
  );
  #streams = 0;
  readonly #endpoints = new EndpointMetrics(this.registry);

  constructor(readings: GaugeReadings) {
    const active = () => this.#streams;
    new Gauge({
      name: "postern_streams_active",
      help: "Requests running now.",
      registers: [this.registry],
      collect() {
        this.set(active());
      },
    });
    new Gauge({
      name: "postern_links",
      help: "Tunnel connections by node and state.",
      labelNames: ["node", "state"],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const { node, state } of readings.links()) this.inc({ node, state });
      },
    });
    new Gauge({
      name: "postern_breaker_state",
      help: "Circuit breaker by target: 0 closed, 1 half-open, 2 open.",
      labelNames: ["target"],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const { target, state } of readings.breakers()) this.set({ target }, BREAKER_NUMBERS[state]);
      },
    });
    new Gauge({
      name: "postern_provider_spend_dollars",
      help: "What a provider has cost in the running day and month (UTC), by `prices`.",
      labelNames: ["provider", "period"],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const { name: provider, spending } of readings.providers())
          for (const { period, spentMicros } of spending) this.set({ provider, period }, spentMicros / 1e6);
      },
    });
    new Gauge({
      name: "postern_contingency",
      help: "Part of the requests that may not use providers now, by scope: `all`, and each workflow that is not normal.",
      labelNames: ["scope"],
      registers: [this.registry],
      collect() {
        this.reset();
        this.set({ scope: "all" }, 0);
        for (const { workflow, share } of readings.contingency())
          this.set({ scope: workflow === null ? "all" : `workflow/${workflow}` }, 1 - share);
      },
    });
    new Gauge({
      name: "postern_queue_depth",
      help: "Requests that wait for a target of their model: all are full, or load it, or sleep.",
      labelNames: ["model"],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const { model, depth } of readings.queues()) this.set({ model }, depth);
      },
    });
    new Gauge({
      name: "postern_approvals_waiting",
      help: "Requests that wait for an operator's approval to be served elsewhere.",
      registers: [this.registry],
      collect() {
        this.set(readings.approvals());
      },
    });
    new Gauge({
      name: "postern_engine_probe_seconds",
      help: "How long an engine takes for what it has in memory: `through` the link, and `engine` as its agent saw it.",
      labelNames: ["node", "engine", "side"],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const { node, engine, latency } of readings.engines()) {
          this.set({ node, engine, side: "through" }, latency.throughMs / 1000);
          if (latency.engineMs !== null) this.set({ node, engine, side: "engine" }, latency.engineMs / 1000);
        }
      },
    });
    new Gauge({
      name: "postern_process_memory_bytes",
      help: "Resident memory of the gateway's process.",
      registers: [this.registry],
      collect() {
        this.set(process.memoryUsage.rss());
      },
    });
  }

  /** Counts one finished request. */
  ended(summary: RequestSummary): void {
    this.#endpoints.ended(summary);
    this.#finished.ended(summary);
    for (const reason of summary.shadow ?? []) this.#shadowRefusals.inc({ reason });
    if (summary.softBudget !== null) this.#softBudgets.inc({ budget: summary.softBudget });
    if (summary.closed === null && summary.errorCode !== null) this.refused(summary.errorCode);
  }

  /** Counts a refusal. @param reason An error code of ours, or a reason of the connection guard: never a caller's text. */
  refused(reason: string): void {
    this.#refusals.inc({ reason });
  }

  /** Counts a request that was to be captured. */
  captured = (result: CaptureResult): void => this.#captures.inc({ result });
  failover: ProxyObserver["failover"] = (from, to, reason) => this.#failovers.inc({ from, to, reason });
  streamStarted = (): void => {
    this.#streams++;
  };
  streamEnded = (): void => {
    this.#streams--;
  };

  #counter<T extends string>(name: string, help: string, labelNames: T[]): Counter<T> {
    return new Counter({ name, help, labelNames, registers: [this.registry] });
  }
}
