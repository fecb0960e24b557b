import { streamTypeOf } from "../dialects/pass-through.ts";
import type { Attempt } from "./attempt.ts";
import type { AttemptTrail } from "./attempt-trail.ts";
import { passAnswerHeaders, streamHeaders } from "./hop-headers.ts";
import type { RelayHost, RelayJob, RelayPlan } from "./relay-contract.ts";

/** `Retry-After` of an engine that is too busy and does not say for how long. */
const RETRY_AFTER_SECONDS = "2";

/** Writes the heads of one request's answers (name, value, name, value, …): what is known by then of who answers, and how it came to that. */
export class AnswerHeaders {
  readonly #job: RelayJob;
  readonly #host: RelayHost;
  readonly #trail: AttemptTrail;

  constructor(job: RelayJob, host: RelayHost, trail: AttemptTrail) {
    this.#job = job;
    this.#host = host;
    this.#trail = trail;
  }

  /** Of a stream. @param attempt Null where none runs: the stream is begun for a caller that waits. */
  ofStream(attempt: Attempt | null, plan: RelayPlan | null): string[] {
    const headers = streamHeaders(streamTypeOf(this.#job.source.operation));
    this.#pushFacts(headers, attempt?.isStreaming === true ? attempt.target.backend.label : "pending", attempt, plan);
    if (attempt !== null) passAnswerHeaders(attempt.headers, headers);
    return headers;
  }

  /** Of a whole answer, the engine's own errors included. */
  ofWhole(attempt: Attempt | null, plan: RelayPlan | null, status: number, type: string, length: number): string[] {
    const upstream = attempt?.headers ?? {};
    const headers = ["Content-Type", type, "Content-Length", String(length)];
    this.#pushFacts(headers, attempt?.target.backend.label ?? "none", attempt, plan);
    passAnswerHeaders(upstream, headers);
    // Engines seldom say when to come back; a server that loads its model does not either.
    const isOverload = status === 429 || status === 503 || status === 529;
    if (isOverload && upstream["retry-after"] === undefined) headers.push("Retry-After", RETRY_AFTER_SECONDS);
    return headers;
  }

  /** What is added to an error of ours. */
  ofError(): string[] {
    return ["X-Postern-Attempts", String(this.#trail.count)];
  }

  #pushFacts(headers: string[], servedBy: string, attempt: Attempt | null, plan: RelayPlan | null): void {
    const { id, source, overheadMs } = this.#job;
    const { facts } = source;
    headers.push("X-Request-Id", id, "Request-Id", id, "X-Postern-Served-By", servedBy);
    headers.push("X-Postern-Attempts", String(this.#trail.count), "X-Postern-Overhead-Ms", overheadMs.toFixed(2));
    const reason = this.#trail.fallbackReason(attempt?.target ?? null) ?? plan?.fallback ?? null;
    if (reason !== null) headers.push("X-Postern-Fallback", reason);
    this.#host.addLimits(headers);
    const { removedFields, clampedFields } = facts;
    const removedHere = attempt?.prepared.request.removedFields ?? [];
    if (removedFields.length + removedHere.length + clampedFields.length === 0) return;
    const removed = [...removedFields, ...removedHere];
    const clamped = clampedFields.filter(({ name }) => !removed.includes(name)).map(({ name, to }) => `${name}=${to}`);
    headers.push("X-Postern-Removed-Fields", [...removed, ...clamped].join(", "));
  }
}
