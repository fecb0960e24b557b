import type { ErrorCode } from "../errors.ts";
import { type BreakerReason, type BreakerState, CircuitBreaker, WINDOW_MS } from "./circuit-breaker.ts";

/** Most targets whose health is remembered. Beyond it the one that was first seen is forgotten. */
export const MAX_TARGETS = 10_000;
/** Weight of the newest first token in the running mean. */
const LATENCY_WEIGHT = 0.2;
/** What one failure in a row counts beside attempts in flight, so that a target that fails at once does not look idle. */
const FAILURE_BURDEN = 8;

/** A breaker went from one state to another. */
export interface BreakerChange {
  targetId: string;
  from: BreakerState;
  to: BreakerState;
  reason: BreakerReason | null;
  /** Monotonic milliseconds; until when an open one is open. */
  untilMs: number;
}

/** What operators see of a target that is not closed. */
export interface BreakerView {
  state: BreakerState;
  reason: BreakerReason | null;
  untilMs: number;
}

interface Health {
  breaker: CircuitBreaker;
  latencyMs: number | null;
}

const CLOSED: BreakerView = { state: "closed", reason: null, untilMs: 0 };

/**
 * What attempts have shown about each target: its breaker, its failures, its time to the first token.
 *
 * Health lives on the target, not on the link: two links to one home reconnect independently, and a fresh link must not clear
 * failures that the other one saw. A target that was never tried is well. Times are monotonic milliseconds, passed in.
 */
export class TargetHealths {
  readonly #healths = new Map<string, Health>();
  readonly #onChange: (change: BreakerChange) => void;

  /** @param onChange Called within the call that changed it. Must not throw. */
  constructor(onChange: (change: BreakerChange) => void = () => {}) {
    this.#onChange = onChange;
  }

  /** Whether an attempt should go there now; false while its breaker is open, or a probe is under way. */
  canTry(id: string, nowMs: number): boolean {
    return this.#healths.get(id)?.breaker.canTry(nowMs) ?? true;
  }

  /** Share of the traffic that it should get, from 0 to 1: grows after it has come back. */
  share(id: string, nowMs: number): number {
    return this.#healths.get(id)?.breaker.share(nowMs) ?? 1;
  }

  state(id: string): BreakerState {
    return this.#healths.get(id)?.breaker.state ?? "closed";
  }

  view(id: string): BreakerView {
    const breaker = this.#healths.get(id)?.breaker;
    return breaker === undefined ? CLOSED : { state: breaker.state, reason: breaker.reason, untilMs: breaker.untilMs };
  }

  /** Failures since its last success. */
  failures(id: string): number {
    return this.#healths.get(id)?.breaker.failuresInARow ?? 0;
  }

  /** Running mean of its time to the first token; null where it has not answered yet. */
  latencyMs(id: string): number | null {
    return this.#healths.get(id)?.latencyMs ?? null;
  }

  /**
   * How busy a target is for whoever looks for the least busy one: attempts in flight, more for each one that has failed lately.
   * Without it a target that fails in a millisecond would look idle, and draw everything. It fades, or one failure would keep
   * requests away for as long as others are idle; and a target that waits for its probe counts as it is, or none would come.
   */
  burden(id: string, inFlight: number, nowMs: number): number {
    const breaker = this.#healths.get(id)?.breaker;
    if (breaker === undefined || breaker.state !== "closed") return inFlight;
    const fresh = Math.max(0, 1 - (nowMs - breaker.lastFailedMs) / WINDOW_MS);
    if (fresh === 0) return inFlight;
    return (inFlight + FAILURE_BURDEN * breaker.failuresInARow * fresh) / (1 - breaker.failedShare);
  }

  /** An attempt goes there. Exactly one of `succeeded`, `failed` and `abandoned` follows. */
  began(id: string, nowMs: number): void {
    // Only what has failed before has a breaker to tell.
    const breaker = this.#healths.get(id)?.breaker;
    if (breaker === undefined) return;
    const from = breaker.state;
    breaker.began(nowMs);
    this.#tell(id, breaker, from);
  }

  /** @param firstTokenMs Null where the answer was not about speed: an error about the request. */
  succeeded(id: string, { firstTokenMs }: { firstTokenMs: number | null }, nowMs: number): void {
    const health = this.#of(id);
    if (firstTokenMs !== null) {
      const before = health.latencyMs ?? firstTokenMs;
      health.latencyMs = before + (firstTokenMs - before) * LATENCY_WEIGHT;
    }
    const { breaker } = health;
    const from = breaker.state;
    breaker.succeeded(nowMs);
    this.#tell(id, breaker, from);
  }

  /** @param retryAfterMs It is busy and asks for a pause, which does not count as broken. Left out: a failure. */
  failed(id: string, code: ErrorCode, nowMs: number, retryAfterMs: number | null = null): void {
    const { breaker } = this.#of(id);
    const from = breaker.state;
    breaker.failed(code, nowMs, retryAfterMs);
    this.#tell(id, breaker, from);
  }

  /** The attempt ended without a word about the target: its caller left, or we stopped it. */
  abandoned(id: string): void {
    this.#healths.get(id)?.breaker.abandoned();
  }

  #of(id: string): Health {
    const found = this.#healths.get(id);
    if (found !== undefined) return found;
    if (this.#healths.size >= MAX_TARGETS) {
      const [oldest] = this.#healths.keys();
      if (oldest !== undefined) this.#healths.delete(oldest);
    }
    const made: Health = { breaker: new CircuitBreaker(), latencyMs: null };
    this.#healths.set(id, made);
    return made;
  }

  #tell(targetId: string, { state, reason, untilMs }: CircuitBreaker, from: BreakerState): void {
    if (state !== from) this.#onChange({ targetId, from, to: state, reason, untilMs });
  }
}
