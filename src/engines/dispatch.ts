import { type Clock, systemClock, type Timer } from "../lib/clock.ts";
import type { Exchange, ExchangeFailure, ExchangeHandler, ExchangeRequest, Exchanger } from "../lib/exchange.ts";
import { LiveSet } from "../lib/live-set.ts";
import type { Secret } from "../lib/secret.ts";
import { type ConnectionOwner, EngineConnection } from "./engine-connection.ts";
import { EngineExchange, type ExchangeOwner } from "./engine-exchange.ts";
import { EngineDoor } from "./engine-socket.ts";
import { basePath } from "./engine-url.ts";
import { RequestHeads } from "./request-heads.ts";
import type { TlsTrust } from "./tls-trust.ts";

/** Longest wait for a connection. */
const CONNECT_TIMEOUT_MS = 5_000;

/** Exchanges at one time with one engine, each on a connection of its own: two links full. Beyond it they are refused, not queued. */
const MAX_EXCHANGES = 2_048;

/** Idle connections are kept shorter than uvicorn and llama-server keep them (5 s), so that we never write into a closing one. */
const KEEP_ALIVE_MS = 4_000;
/** Connections that have been idle for too long are closed this often. */
const SWEEP_MS = 1_000;

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
  /** Default the machine's. */
  clock?: Clock;
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
  return new EnginePool(options);
}

class EnginePool implements EngineConnections, ConnectionOwner, ExchangeOwner {
  readonly clock: Clock;
  readonly connectTimeoutMs: number;
  readonly keepAliveMs: number;
  readonly #door: EngineDoor;
  readonly #heads: RequestHeads;
  readonly #maxExchanges: number;
  readonly #connections = new LiveSet<EngineConnection>();
  /** Free connections; the one that was used last is used next. */
  readonly #idle: EngineConnection[] = [];
  /** Became free since the last turn. */
  #resting: EngineConnection[] = [];
  /** Started since the last turn. */
  #waiting: EngineExchange[] = [];
  #isScheduled = false;
  #active = 0;
  #isClosing = false;
  #closed: PromiseWithResolvers<void> | null = null;
  #sweeper: Timer | null = null;

  constructor(options: EngineConnectionOptions) {
    this.clock = options.clock ?? systemClock;
    this.connectTimeoutMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
    this.keepAliveMs = options.keepAliveMs ?? KEEP_ALIVE_MS;
    this.#maxExchanges = options.maxExchanges ?? MAX_EXCHANGES;
    this.#door = new EngineDoor(options.url, options);
    const { apiKey, headers = [], passedHeaders = [] } = options;
    this.#heads = new RequestHeads(
      basePath(options.url),
      [
        ["host", options.host],
        ["connection", "keep-alive"],
        ["accept-encoding", "identity"],
        ...(apiKey === null ? [] : [["authorization", `Bearer ${apiKey.reveal()}`] as const]),
        ...headers.map(([name, value]) => [name, value.reveal()] as const),
      ],
      [...SENT_HEADERS, ...passedHeaders],
    );
  }

  get active(): number {
    return this.#active;
  }

  start(request: ExchangeRequest, handler: ExchangeHandler): Exchange {
    const body = request.body === null || request.body.length === 0 ? null : request.body;
    const head = this.#heads.write(request);
    const exchange = new EngineExchange(this, handler, head ?? "", body);
    const refusal = this.#refusal(head);
    this.#active += 1;
    if (refusal !== null) {
      exchange.refuse(refusal);
      return exchange;
    }
    this.#waiting.push(exchange);
    this.#schedule();
    return exchange;
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    this.#sweeper?.cancel();
    for (const connection of [...this.#idle, ...this.#resting]) connection.abandon();
    if (this.#active === 0 && this.#connections.size === 0) return;
    this.#closed ??= Promise.withResolvers<void>();
    await this.#closed.promise;
  }

  destroy(): Promise<void> {
    const closed = this.close();
    const failure = { phase: "connect", kind: "unreachable", detail: "the connections were closed" } as const;
    for (const exchange of this.#waiting) exchange.refuse(failure);
    this.#waiting = [];
    for (const connection of this.#connections.all()) connection.destroy(failure.detail);
    return closed;
  }

  // ExchangeOwner

  onOver(): void {
    this.#active -= 1;
    this.#settle();
  }

  // ConnectionOwner

  onFree(connection: EngineConnection): void {
    if (this.#isClosing || this.#connections.size > this.#maxExchanges) return connection.abandon();
    this.#resting.push(connection);
    this.#schedule();
  }

  onClosed(connection: EngineConnection): void {
    this.#connections.delete(connection);
    this.#settle();
  }

  #refusal(head: string | null): ExchangeFailure | null {
    if (this.#isClosing) return { phase: "connect", kind: "unreachable", detail: "the connections were closed" };
    if (head === null) return { phase: "connect", kind: "protocol", detail: "a request that cannot be sent" };
    if (this.#active < this.#maxExchanges) return null;
    return { phase: "connect", kind: "refused", detail: `${this.#maxExchanges} exchanges are under way` };
  }

  /**
   * Requests are written once all that had arrived was read. A connection that became free in this turn is not used yet: what
   * an engine said too much, or that it closed, is seen before somebody else's request is on it.
   */
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#turn());
  }

  #turn(): void {
    this.#isScheduled = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const exchange of waiting) {
      if (!exchange.isDone) this.#connect(exchange);
    }
    const resting = this.#resting;
    if (resting.length === 0) return;
    this.#resting = [];
    for (const connection of resting) this.#idle.push(connection);
    this.#sweepLater();
  }

  #connect(exchange: EngineExchange): void {
    const free = this.#takeIdle();
    if (free !== null) {
      exchange.begin(free);
      free.use(exchange);
      return;
    }
    const connection = new EngineConnection(this, this.#door, exchange);
    this.#connections.add(connection);
    exchange.begin(connection);
  }

  #takeIdle(): EngineConnection | null {
    for (;;) {
      const connection = this.#idle.pop();
      if (connection === undefined) return null;
      if (connection.isClosed) continue;
      if (connection.idleUntilMs > this.clock.monotonicMs()) return connection;
      connection.abandon();
    }
  }

  #sweepLater(): void {
    if (this.#sweeper !== null || this.#isClosing) return;
    this.#sweeper = this.clock.after(SWEEP_MS, () => {
      this.#sweeper = null;
      const nowMs = this.clock.monotonicMs();
      const kept = this.#idle.filter((connection) => !connection.isClosed && connection.idleUntilMs > nowMs);
      for (const connection of this.#idle) if (connection.idleUntilMs <= nowMs) connection.abandon();
      this.#idle.splice(0, this.#idle.length, ...kept);
      if (kept.length > 0) this.#sweepLater();
    });
  }

  #settle(): void {
    if (this.#active === 0 && this.#connections.size === 0) this.#closed?.resolve();
  }
}
