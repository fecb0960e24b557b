import type { Clock, Timer } from "../lib/clock.ts";
import type { ExchangeHandler, ExchangeRequest } from "../lib/exchange.ts";
import { PROBE_FAILURE_LIMIT, PROBE_INTERVAL_MS, PROBE_PATH, PROBE_TIMEOUT_MS } from "./constants.ts";
import type { Session } from "./session.ts";
import { startExchange } from "./stream-exchange.ts";

/** After a failed probe the next one goes out this soon. */
const RETRY_MS = 1_000;
const PROBE: ExchangeRequest = { method: "GET", path: PROBE_PATH, headers: {}, body: null };
/** Probes count nowhere. */
const OWNER = { bytesIn: 0, bytesOut: 0, onExchangeEnd() {} };

/**
 * Sends a tiny request through the path that attempts take, and says when it stops being answered: pings may be fine
 * while streams hang (cloudflared#1300).
 */
export class Prober {
  readonly #session: Session;
  readonly #clock: Clock;
  readonly #events: { onChange(): void; onDead(): void };
  #timer: Timer | null = null;
  #failures = 0;
  #isRunning = false;
  #isStopped = false;
  /** Whether any probe was ever answered. */
  isAnswered = false;

  constructor(session: Session, clock: Clock, events: { onChange(): void; onDead(): void }) {
    this.#session = session;
    this.#clock = clock;
    this.#events = events;
  }

  /** Whether the last probe failed. */
  get isFailing(): boolean {
    return this.#failures > 0;
  }

  /** Pings are answered again: if the last probe failed, the next one goes out now. */
  hurry(): void {
    if (this.#failures === 0 || this.#isRunning) return;
    this.#timer?.cancel();
    this.start();
  }

  start(): void {
    if (this.#isStopped || this.#session.isOver) return;
    let isOver = false;
    this.#isRunning = true;
    const settle = (isGood: boolean) => {
      if (isOver) return;
      isOver = true;
      this.#isRunning = false;
      this.#timer?.cancel();
      this.#onResult(isGood);
    };
    const handler: ExchangeHandler = {
      onHead: (status) => {
        if (status !== 200) settle(false);
      },
      onData: () => {},
      onEnd: () => settle(true),
      onFailure: () => settle(false),
    };
    const exchange = startExchange(this.#session, PROBE, OWNER, handler);
    if (exchange === null) return settle(false);
    this.#timer = this.#clock.after(PROBE_TIMEOUT_MS, () => {
      exchange.cancel("deadline");
      settle(false);
    });
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  #onResult(isGood: boolean): void {
    if (this.#isStopped) return;
    this.#failures = isGood ? 0 : this.#failures + 1;
    if (isGood) this.isAnswered = true;
    if (this.#failures >= PROBE_FAILURE_LIMIT) return this.#events.onDead();
    this.#timer = this.#clock.after(isGood ? PROBE_INTERVAL_MS : RETRY_MS, () => this.start());
    this.#events.onChange();
  }
}
