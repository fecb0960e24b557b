import type { DialectCodec } from "../dialects/dialect.ts";
import type { Operation } from "../dialects/operations.ts";
import { toPosternError } from "../errors.ts";
import type { ExchangeFailure, ExchangeRequest } from "../lib/exchange.ts";
import { scanBody } from "../lib/json-scan.ts";
import { INLINE_BYTES, INLINE_VALUES, inTurns, Turns } from "../lib/turns.ts";
import { SERVED_PATHS } from "./tables.ts";
import type { WatchedEngine } from "./watched-engine.ts";

/** What the gateway asks for, as the tunnel hands it over. */
export interface GuardedRequest {
  method: string;
  /** Exactly as it came. */
  path: string;
  /** Name of the engine on this node. */
  engine: string;
  /** Id of the operation, or an empty string. */
  operation: string;
}

export interface GuardOptions {
  /** The engine of this name, among those that are configured or were found; nothing else is ever dialled. */
  findEngine(name: string): WatchedEngine | undefined;
  /** Codecs of the operations under this machine's own field policy: what the gateway's lets through beyond it is cut down to it. */
  codecs: ReadonlyMap<string, DialectCodec>;
  /** Models that the engine forwards to somebody else's cloud and that the operator allows all the same. */
  remoteModels: ReadonlySet<string>;
}

/** An attempt whose head may pass; its body is still to be looked at. */
export interface Admitted {
  engine: WatchedEngine;
  operation: Operation;
  codec: DialectCodec;
}

/** Headers of a request to an engine, by the format of the answer that is expected. Never the caller's, never the gateway's. */
const HEADERS = {
  json: headersFor("application/json"),
  events: headersFor("text/event-stream"),
  ndjson: headersFor("application/x-ndjson"),
};

/**
 * The second policy point, on the machine of the engines. A gateway that was taken over must not get further than one that
 * was not: exact operations, known engines, models that they serve, listed fields. What the gateway sent as headers is
 * never used.
 */
export class Guard {
  readonly #options: GuardOptions;
  readonly #turns = new Turns();

  constructor(options: GuardOptions) {
    this.#options = options;
  }

  /** Judges method, path, operation and engine. Returns why the attempt is not served, or who serves it. Does not throw. */
  admit(request: GuardedRequest): Admitted | ExchangeFailure {
    const operation = request.method === "POST" ? SERVED_PATHS.get(request.path) : undefined;
    if (operation === undefined) return denied("no such operation");
    if (request.operation !== "" && request.operation !== operation.id)
      return denied("another operation was announced");
    const engine = this.#options.findEngine(request.engine);
    if (engine === undefined) return denied("no such engine");
    if (engine.connections === null || !engine.state.ready) {
      const reason = engine.state.reason ?? "it was not found yet";
      return { phase: "connect", kind: "unreachable", detail: `the engine "${engine.name}" is not ready: ${reason}` };
    }
    if (!engine.operations.has(operation.id)) return denied("the engine does not speak this operation");
    const codec = this.#options.codecs.get(operation.id);
    return codec === undefined ? denied("no such operation") : { engine, operation, codec };
  }

  /**
   * Judges the body, with one strict scan, and builds what the engine gets: members that no table lists are taken out and
   * numbers brought down to their bounds, whatever the gateway let through. Does not throw.
   */
  inspect(admitted: Admitted, body: Buffer): ExchangeRequest | ExchangeFailure {
    const stages = this.#stages(admitted, body);
    for (;;) {
      const stage = stages.next();
      if (stage.done === true) return stage.value;
    }
  }

  /** The same, for a large body in several turns of the event loop. Calls `then` once, now or later. */
  inspectInTurns(admitted: Admitted, body: Buffer, then: (outcome: ExchangeRequest | ExchangeFailure) => void): void {
    const stages = this.#stages(admitted, body);
    const advance = (): void => {
      for (;;) {
        const stage = stages.next();
        if (stage.done === true) return then(stage.value);
        if (stage.value) return this.#turns.take(advance);
      }
    };
    advance();
  }

  /** Yields before each stage whether what comes next is long. */
  *#stages(
    { engine, operation, codec }: Admitted,
    body: Buffer,
  ): Generator<boolean, ExchangeRequest | ExchangeFailure, void> {
    try {
      yield body.length > INLINE_BYTES;
      const scan = codec.readBody?.(body, null) ?? scanBody(body);
      const isLarge = body.length > INLINE_BYTES || scan.values > INLINE_VALUES;
      yield isLarge;
      const facts =
        isLarge && codec.inspectInPieces !== undefined
          ? yield* inTurns(codec.inspectInPieces(scan))
          : codec.inspect(scan);
      const model = engine.models.get(facts.model);
      if (model === undefined) return denied("the engine does not serve this model");
      if (model.remote && !this.#options.remoteModels.has(facts.model)) {
        return denied("the model runs in somebody else's cloud");
      }
      yield isLarge;
      const edits = { model: facts.model, forceUsage: false, engineKind: engine.kind };
      const rewritten = codec.rewrite(scan, facts, edits);
      const headers = headersOf(operation, facts.isStream);
      const type = codec.bodyType?.(rewritten);
      return {
        method: "POST",
        path: operation.path,
        headers: type === undefined ? headers : { ...headers, "content-type": type, accept: "*/*" },
        body: rewritten,
      };
    } catch (error) {
      const { code, param } = toPosternError(error);
      return denied(param === undefined ? code : `${code} (${param})`);
    }
  }
}

function headersOf({ canStream, family }: Operation, isStream: boolean): Record<string, string> {
  if (!canStream || !isStream) return HEADERS.json;
  return family === "ollama" ? HEADERS.ndjson : HEADERS.events;
}

function headersFor(accept: string): Record<string, string> {
  return { "content-type": "application/json", accept, "user-agent": "postern" };
}

/** Tells the two outcomes of the guard apart. */
export function isFailure(outcome: object): outcome is ExchangeFailure {
  return "kind" in outcome && "phase" in outcome;
}

function denied(detail: string): ExchangeFailure {
  return { phase: "connect", kind: "denied", detail };
}
