import type { Registry } from "prom-client";
import type { RequestSummary } from "../proxy/observer.ts";
import { type CountSeries, type DistributionSeries, PlainCounter, PlainHistogram } from "./plain-series.ts";

const DURATION_BUCKETS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600];
const FIRST_TOKEN_BUCKETS = [0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];
const OVERHEAD_BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1];

/**
 * Most pairs of model and node with series of their own, 45 lines of a scrape each. Both come from the catalogue, so that no caller
 * makes any. Later ones are counted together.
 */
const MAX_PAIRS = 2_000;
const OTHERS = "(others)";
const NODE = "node/";

/** Finished requests by model and node: how many, how they ended, how long they took and what they used. */
export class RequestMetrics {
  readonly #requests: PlainCounter<"model" | "node" | "dialect" | "outcome">;
  readonly #duration: PlainHistogram<"model" | "node">;
  readonly #firstToken: PlainHistogram<"model" | "node">;
  readonly #overhead: PlainHistogram<"model" | "node">;
  readonly #tokens: PlainCounter<"type" | "model" | "node">;
  /** By model, then by who served it. */
  readonly #pairs = new Map<string, Map<string, Pair>>();
  #pairCount = 0;

  constructor(registry: Registry) {
    const histogram = (name: string, help: string, bounds: readonly number[]) =>
      new PlainHistogram({ name, help, labelNames: ["model", "node"], registry }, bounds);
    this.#requests = new PlainCounter({
      name: "postern_requests_total",
      help: "Requests by outcome.",
      labelNames: ["model", "node", "dialect", "outcome"],
      registry,
    });
    this.#duration = histogram(
      "postern_request_duration_seconds",
      "From the request's arrival to its end.",
      DURATION_BUCKETS,
    );
    this.#firstToken = histogram(
      "postern_time_to_first_token_seconds",
      "From the request's arrival to its first content.",
      FIRST_TOKEN_BUCKETS,
    );
    this.#overhead = histogram("postern_overhead_seconds", "From the whole request to its dispatch.", OVERHEAD_BUCKETS);
    this.#tokens = new PlainCounter({
      name: "postern_tokens_total",
      help: "Tokens by type: in, in_cached, out, reasoning.",
      labelNames: ["type", "model", "node"],
      registry,
    });
  }

  ended({ opened, closed, servedBy, dialect, errorCode, durationMs, overheadMs }: RequestSummary): void {
    const pair = this.#find(opened?.model ?? "", servedBy ?? "");
    const outcome = closed?.outcome ?? (errorCode === null ? "answered" : "refused");
    this.#findRequests(pair, outcome, dialect ?? "").value++;
    if (closed === null) return;
    pair.duration.observe(durationMs / 1000);
    if (overheadMs !== null) pair.overhead.observe(overheadMs / 1000);
    if (closed.timeToFirstTokenMs !== null) pair.firstToken.observe(closed.timeToFirstTokenMs / 1000);
    pair.tokensIn.value += closed.tokensIn;
    pair.tokensInCached.value += closed.tokensInCached;
    pair.tokensOut.value += closed.tokensOut;
    pair.tokensReasoning.value += closed.tokensReasoning ?? 0;
  }

  #find(model: string, servedBy: string): Pair {
    let ofModel = this.#pairs.get(model);
    const found = ofModel?.get(servedBy);
    if (found !== undefined) return found;
    if (this.#pairCount >= MAX_PAIRS && model !== OTHERS) return this.#find(OTHERS, OTHERS);
    if (ofModel === undefined) {
      ofModel = new Map();
      this.#pairs.set(model, ofModel);
    }
    const made = this.#makePair(model, servedBy.startsWith(NODE) ? servedBy.slice(NODE.length) : servedBy);
    ofModel.set(servedBy, made);
    this.#pairCount++;
    return made;
  }

  #makePair(model: string, node: string): Pair {
    const labels = { model, node };
    return {
      labels,
      requests: new Map(),
      duration: this.#duration.series(labels),
      overhead: this.#overhead.series(labels),
      firstToken: this.#firstToken.series(labels),
      tokensIn: this.#tokens.series({ type: "in", model, node }),
      tokensInCached: this.#tokens.series({ type: "in_cached", model, node }),
      tokensOut: this.#tokens.series({ type: "out", model, node }),
      tokensReasoning: this.#tokens.series({ type: "reasoning", model, node }),
    };
  }

  #findRequests({ labels, requests }: Pair, outcome: string, dialect: string): CountSeries {
    let ofOutcome = requests.get(outcome);
    if (ofOutcome === undefined) {
      ofOutcome = new Map();
      requests.set(outcome, ofOutcome);
    }
    let found = ofOutcome.get(dialect);
    if (found === undefined) {
      found = this.#requests.series({ ...labels, dialect, outcome });
      ofOutcome.set(dialect, found);
    }
    return found;
  }
}

interface Pair {
  labels: { model: string; node: string };
  /** By outcome, then by dialect; both are words of ours. */
  requests: Map<string, Map<string, CountSeries>>;
  duration: DistributionSeries;
  overhead: DistributionSeries;
  firstToken: DistributionSeries;
  tokensIn: CountSeries;
  tokensInCached: CountSeries;
  tokensOut: CountSeries;
  tokensReasoning: CountSeries;
}
