import type { Exchange, ExchangeFailure, ExchangeHandler, ExchangeHeaders, ExchangeRequest } from "../lib/exchange.ts";
import type { Attempt, AttemptWorker } from "../tunnel/serve.ts";
import { type Guard, isFailure } from "./guard.ts";
import type { WatchedEngine } from "./watched-engine.ts";

/** What is said about attempts: for the log and for the watch over the engines. Must not throw. */
export interface AttemptEvents {
  /** The guard refused what the gateway sent. */
  onDenied(attempt: Attempt, failure: ExchangeFailure): void;
  /** The engine failed on it. */
  onEngineFailure(attempt: Attempt, engine: WatchedEngine, failure: ExchangeFailure): void;
}

/**
 * Serves one attempt: guard, then engine, then the answer back, as it comes. Both directions are slowed by whoever is slow,
 * and a gateway that gives up stops the engine at once.
 */
export function serveAttempt(attempt: Attempt, guard: Guard, events: AttemptEvents): void {
  const admitted = guard.admit(attempt.request);
  if (isFailure(admitted)) {
    refuse(attempt, admitted, events);
    return;
  }
  attempt.collectBody((body) => {
    guard.inspectInTurns(admitted, body, (request) => {
      if (attempt.isOver) return;
      if (isFailure(request)) refuse(attempt, request, events);
      else new EngineAnswer(attempt, admitted.engine, events).start(request);
    });
  });
}

function refuse(attempt: Attempt, failure: ExchangeFailure, events: AttemptEvents): void {
  attempt.fail(failure.kind, failure.detail, failure.phase);
  events.onDenied(attempt, failure);
}

/** Carries an engine's answer into the link. One per attempt; nothing is allocated per chunk. */
class EngineAnswer implements ExchangeHandler, AttemptWorker {
  readonly #attempt: Attempt;
  readonly #engine: WatchedEngine;
  readonly #events: AttemptEvents;
  #exchange: Exchange | null = null;

  constructor(attempt: Attempt, engine: WatchedEngine, events: AttemptEvents) {
    this.#attempt = attempt;
    this.#engine = engine;
    this.#events = events;
  }

  start(request: ExchangeRequest): void {
    const { connections } = this.#engine;
    if (connections === null || this.#attempt.isOver) return;
    this.#exchange = connections.start(request, this);
    this.#attempt.worker = this;
  }

  // AttemptWorker

  onCancel(): void {
    this.#exchange?.cancel("caller_left");
  }

  onResume(): void {
    this.#exchange?.resume();
  }

  // ExchangeHandler

  onHead(status: number, headers: ExchangeHeaders): void {
    this.#attempt.head(status, headers);
    if (this.#attempt.isOver) this.#exchange?.cancel("protocol");
  }

  onData(chunk: Buffer): void {
    if (!this.#attempt.write(chunk)) this.#exchange?.pause();
  }

  onEnd(): void {
    this.#attempt.end();
  }

  onFailure(failure: ExchangeFailure): void {
    this.#attempt.fail(failure.kind, failure.detail, failure.phase);
    this.#events.onEngineFailure(this.#attempt, this.#engine, failure);
  }
}
