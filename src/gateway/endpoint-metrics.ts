import type { Registry } from "prom-client";
import type { RequestSummary } from "../proxy/observer.ts";
import { type CountSeries, type DistributionSeries, PlainCounter, PlainHistogram } from "./plain-series.ts";

const DURATION_BUCKETS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];

/** Most endpoints with labels of their own; the names come from the operator alone. Later ones are counted together. */
const MAX_ENDPOINTS = 256;
const OTHERS = "(others)";
/** For requests whose host is nobody's: the host is a stranger's text and is no label. */
const NO_ENDPOINT = "(none)";

/** Traffic by public hostname or path prefix: requests by status, and how long they took. */
export class EndpointMetrics {
  readonly #requests: PlainCounter<"endpoint" | "status">;
  readonly #duration: PlainHistogram<"endpoint">;
  readonly #ready = new Map<string, Ready>();

  constructor(registry: Registry) {
    this.#requests = new PlainCounter({
      name: "postern_endpoint_requests_total",
      help: "Requests by endpoint and status of the answer.",
      labelNames: ["endpoint", "status"],
      registry,
    });
    this.#duration = new PlainHistogram(
      {
        name: "postern_endpoint_duration_seconds",
        help: "From the request's arrival to its end, refusals too.",
        labelNames: ["endpoint"],
        registry,
      },
      DURATION_BUCKETS,
    );
  }

  ended({ endpoint, status, durationMs }: RequestSummary): void {
    const ready = this.#find(endpoint ?? NO_ENDPOINT);
    ready.duration.observe(durationMs / 1000);
    let requests = ready.requests.get(status);
    if (requests === undefined) {
      requests = this.#requests.series({ endpoint: ready.name, status: String(status) });
      ready.requests.set(status, requests);
    }
    requests.value++;
  }

  #find(endpoint: string): Ready {
    const found = this.#ready.get(endpoint);
    if (found !== undefined) return found;
    if (this.#ready.size >= MAX_ENDPOINTS && endpoint !== OTHERS) return this.#find(OTHERS);
    const made = { name: endpoint, requests: new Map(), duration: this.#duration.series({ endpoint }) };
    this.#ready.set(endpoint, made);
    return made;
  }
}

interface Ready {
  name: string;
  /** By status; there are only those that we send. */
  requests: Map<number, CountSeries>;
  duration: DistributionSeries;
}
