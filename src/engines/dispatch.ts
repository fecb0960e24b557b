import { type Dispatcher, Pool } from "undici";
import type {
  CancelReason,
  Exchange,
  ExchangeFailure,
  ExchangeHandler,
  ExchangeRequest,
  Exchanger,
} from "../lib/exchange.ts";
import type { Secret } from "../lib/secret.ts";
import { readAnswerHead } from "./answer-head.ts";
import { describeFailure } from "./dispatch-failure.ts";
import { basePath } from "./engine-url.ts";
import { type TlsTrust, tlsConnector } from "./tls-trust.ts";

/** Longest wait for a connection. */
const CONNECT_TIMEOUT_MS = 5_000;

/** Exchanges at one time with one engine, each on a connection of its own: two links full. Beyond it they are refused, not queued. */
const MAX_EXCHANGES = 2_048;

/** Largest head of an answer. */
const MAX_HEAD_BYTES = 16 * 1024;

/** Interim answers (1xx) before the real one; they are dropped, and a flood of them is an attack. */
const MAX_INTERIM_ANSWERS = 16;

/** Idle connections are kept shorter than uvicorn and llama-server keep them (5 s), so that we never write into a closing one. */
const KEEP_ALIVE_MS = 4_000;

/** Headers of a request that an engine gets to see; host, encoding, key and framing are ours. */
const SENT_HEADERS = ["content-type", "accept", "user-agent"] as const;

export interface EngineConnectionOptions extends TlsTrust {
  /** The one place that is ever dialled. A path is put before every operation's path. */
  url: URL;
  /** Value of the `Host` header (`EngineAdapter.hostHeader`, or the operator's). */
  host: string;
  /** Sent as `Authorization: Bearer`; null for none. */
  apiKey: Secret | null;
  /** Further headers of every request, names in lower case. Default none. */
  headers?: ReadonlyArray<readonly [name: string, value: Secret]>;
  /** Names of the exchange's headers that go out besides those that every engine gets. Default none. */
  passedHeaders?: readonly string[];
  /** How long an idle connection is kept, unless the far side says less. Default 4 s. */
  keepAliveMs?: number;
  /** Default 2,048. */
  maxExchanges?: number;
  /** Default 5 s. */
  connectTimeoutMs?: number;
}

/** Connections to one engine. `close` lets running exchanges end; `destroy` ends them as failures. */
export interface EngineConnections extends Exchanger {
  /** Exchanges under way. */
  readonly active: number;
  close(): Promise<void>;
  destroy(): Promise<void>;
}

/**
 * Opens the way to one engine: HTTP/1.1, a bounded number of kept-alive connections, one exchange on each at a time.
 *
 * Follows no redirect, retries nothing and sets no limit on time except for connecting: those are the relay's. An answer
 * without a length and without chunks ends with its connection, so that only its content can tell whether it is whole.
 */
export function connectEngine(options: EngineConnectionOptions): EngineConnections {
  return new PooledEngine(options);
}

class PooledEngine implements EngineConnections {
  readonly #pool: Pool;
  readonly #prefix: string;
  readonly #headers: readonly string[];
  readonly #sentHeaders: ReadonlySet<string>;
  readonly #maxExchanges: number;
  #active = 0;

  constructor(options: EngineConnectionOptions) {
    this.#maxExchanges = options.maxExchanges ?? MAX_EXCHANGES;
    this.#prefix = basePath(options.url);
    this.#headers = [
      "host",
      options.host,
      "accept-encoding",
      "identity",
      ...(options.apiKey === null ? [] : ["authorization", `Bearer ${options.apiKey.reveal()}`]),
      ...(options.headers ?? []).flatMap(([name, value]) => [name, value.reveal()]),
    ];
    this.#sentHeaders = new Set([...SENT_HEADERS, ...(options.passedHeaders ?? [])]);
    this.#pool = new Pool(options.url.origin, {
      connections: this.#maxExchanges,
      pipelining: 1,
      allowH2: false,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: options.keepAliveMs ?? KEEP_ALIVE_MS,
      keepAliveMaxTimeout: 60_000,
      maxHeaderSize: MAX_HEAD_BYTES,
      connect: tlsConnector(options.url, options, options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS),
    });
  }

  get active(): number {
    return this.#active;
  }

  start(request: ExchangeRequest, handler: ExchangeHandler): Exchange {
    const exchange = new EngineExchange(handler, this);
    if (this.#active >= this.#maxExchanges) {
      exchange.refuse({ phase: "connect", kind: "refused", detail: `${this.#maxExchanges} exchanges are under way` });
      return exchange;
    }
    const headers = [...this.#headers];
    for (const name in request.headers) {
      const value = request.headers[name];
      if (value !== undefined && this.#sentHeaders.has(name)) headers.push(name, value);
    }
    this.#active += 1;
    this.#pool.dispatch(
      { method: request.method, path: this.#prefix + request.path, headers, body: request.body },
      exchange,
    );
    exchange.started();
    return exchange;
  }

  /** Called by an exchange when undici is done with it. */
  release(): void {
    this.#active -= 1;
  }

  close(): Promise<void> {
    return this.#pool.close();
  }

  destroy(): Promise<void> {
    return this.#pool.destroy();
  }
}

const GIVEN_UP = new Error("given up");

/**
 * How many of undici's callbacks are on the stack. Its parser is one for the process and must not be entered twice, so a
 * `resume` from inside a callback, of whichever exchange, waits until the stack is empty.
 */
let depth = 0;

class EngineExchange implements Exchange, Dispatcher.DispatchHandler {
  readonly #handler: ExchangeHandler;
  readonly #owner: PooledEngine;
  #controller: Dispatcher.DispatchController | null = null;
  #phase: ExchangeFailure["phase"] = "connect";
  #isStarting = true;
  #isDone = false;
  #isPaused = false;
  #isReleased = false;
  #interimAnswers = 0;

  constructor(handler: ExchangeHandler, owner: PooledEngine) {
    this.#handler = handler;
    this.#owner = owner;
  }

  started(): void {
    this.#isStarting = false;
  }

  /** Fails an exchange that never reached undici. */
  refuse(failure: ExchangeFailure): void {
    this.#fail(failure);
    this.#isStarting = false;
  }

  pause(): void {
    if (this.#isDone || this.#isPaused) return;
    this.#isPaused = true;
    this.#controller?.pause();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (depth === 0) this.#continue();
    else queueMicrotask(() => this.#continue());
  }

  cancel(_reason: CancelReason): void {
    if (this.#isDone) return;
    this.#isDone = true;
    // Without a controller the request waits for its connection and is dropped when that stands.
    this.#controller?.abort(GIVEN_UP);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#isDone) {
      controller.abort(GIVEN_UP);
      return;
    }
    this.#phase = "request";
    if (this.#isPaused) controller.pause();
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (this.#isDone) return;
    if (status < 200 && status !== 101) {
      this.#interimAnswers += 1;
      if (this.#interimAnswers > MAX_INTERIM_ANSWERS) this.#reject(controller, "a flood of interim answers");
      return;
    }
    const head = readAnswerHead(status, headers);
    if (typeof head === "string") {
      this.#reject(controller, head);
      return;
    }
    this.#phase = "body";
    depth += 1;
    this.#handler.onHead(status, head);
    depth -= 1;
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#isDone) return;
    depth += 1;
    this.#handler.onData(chunk);
    depth -= 1;
  }

  onResponseEnd(): void {
    this.#release();
    if (this.#isDone) return;
    this.#isDone = true;
    depth += 1;
    this.#handler.onEnd();
    depth -= 1;
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#release();
    this.#fail(describeFailure(error, this.#phase));
  }

  /** The place is free when undici is done, not when we are: until then a cancelled request still holds memory. */
  #release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#owner.release();
  }

  #continue(): void {
    // After the end the connection may carry somebody else's answer, whose pauses are not ours to end.
    if (!this.#isDone && !this.#isPaused) this.#controller?.resume();
  }

  #reject(controller: Dispatcher.DispatchController, detail: string): void {
    this.#isDone = true;
    controller.abort(GIVEN_UP);
    this.#handler.onFailure({ phase: this.#phase, kind: "protocol", detail });
  }

  #fail(failure: ExchangeFailure): void {
    if (this.#isDone) return;
    if (!this.#isStarting) {
      this.#isDone = true;
      this.#handler.onFailure(failure);
      return;
    }
    queueMicrotask(() => {
      if (this.#isDone) return;
      this.#isDone = true;
      this.#handler.onFailure(failure);
    });
  }
}
