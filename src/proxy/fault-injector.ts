import {
  coversBackend,
  coversRequest,
  FAULTS,
  type Fault,
  type FaultSubject,
  isInShare,
} from "../continuity/drill/fault.ts";
import type { Clock } from "../lib/clock.ts";
import type { Exchange, ExchangeHandler, ExchangeRequest } from "../lib/exchange.ts";
import { blockedExchange } from "./blocked-exchange.ts";
import { DelayedExchange } from "./delayed-exchange.ts";
import { SpoiledExchange } from "./spoiled-exchange.ts";
import type { Target } from "./target.ts";

/** What an injection did so far. */
export interface FaultCounts {
  /** Attempts in scope that got the fault. */
  injected: number;
  /** Attempts at a covered target that went there: outside its models, workflows or share, or a fault that lets them through. */
  reached: number;
}

/** A fault that is being played. */
export interface Injection {
  readonly fault: Fault;
  readonly counts: Readonly<FaultCounts>;
  /** Idempotent. Running exchanges keep what they got. */
  stop(): void;
}

/**
 * Stands where every attempt begins, and plays a drill's fault for those in its scope: to the relay it looks like the real
 * thing. While no drill runs it costs one comparison.
 */
export class FaultInjector {
  readonly #clock: Clock;
  #running: { fault: Fault; counts: FaultCounts; untilMs: number } | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get isIdle(): boolean {
    return this.#running === null;
  }

  /**
   * Starts to play a fault. One at a time: what two would prove together is not clear.
   *
   * @param lengthMs After that nothing is played any more, whether or not somebody stops it.
   */
  inject(fault: Fault, lengthMs: number): Injection {
    if (this.#running !== null) throw new Error("a fault is being played already");
    const running = { fault, counts: { injected: 0, reached: 0 }, untilMs: this.#clock.monotonicMs() + lengthMs };
    this.#running = running;
    return {
      fault,
      counts: running.counts,
      stop: () => {
        if (this.#running === running) this.#running = null;
      },
    };
  }

  /** Starts an exchange at the target, or what the fault makes of it. As `Exchanger.start`. */
  start(target: Target, request: ExchangeRequest, handler: ExchangeHandler, subject: FaultSubject): Exchange {
    const running = this.#running;
    if (running === null) return target.start(request, handler);
    const { fault, counts, untilMs } = running;
    if (this.#clock.monotonicMs() >= untilMs) {
      this.#running = null;
      return target.start(request, handler);
    }
    const { kind, scope, delayMs } = fault;
    if (!coversBackend(scope, target.backend)) return target.start(request, handler);
    if (!coversRequest(scope, subject) || !isInShare(subject.requestId, scope.share)) {
      counts.reached += 1;
      return target.start(request, handler);
    }
    counts.injected += 1;
    if (FAULTS[kind].blocks) return blockedExchange(kind, handler, this.#clock);
    counts.reached += 1;
    const between =
      kind === "slow-first-token" || kind === "slow-link"
        ? new DelayedExchange(handler, this.#clock, delayMs, kind === "slow-first-token")
        : new SpoiledExchange(handler, kind);
    return between.over(target.start(request, between));
  }
}
