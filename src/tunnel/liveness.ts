import type { Clock, Timer } from "../lib/clock.ts";
import { DEAD_AFTER_MS, PING_INTERVAL_MS, SUSPECT_AFTER_MS } from "./constants.ts";

export type LivenessState = "alive" | "suspect" | "dead";

/** What can be pinged: a session. */
export interface Pingable {
  /** `onAnswer` gets the round trip in milliseconds, and is never called when none comes. False when no ping was sent. Does not throw. */
  ping(onAnswer: (roundTripMs: number) => void): boolean;
}

/**
 * Pings one session every `PING_INTERVAL_MS` and says when answers fail to come. Both ends run one: a connection may be
 * dead in one direction only, and Node has no TCP_USER_TIMEOUT (nodejs/node#7217).
 * Silence is measured from the last answer.
 */
export class Liveness {
  readonly #session: Pingable;
  readonly #clock: Clock;
  readonly #onChange: (state: LivenessState) => void;
  #timer: Timer | null = null;
  #state: LivenessState = "alive";
  #answeredAtMs: number;
  #tickedAtMs: number;
  /** Round trip of the last ping that was answered, in milliseconds. */
  lastPingMs: number | null = null;

  constructor(session: Pingable, clock: Clock, onChange: (state: LivenessState) => void) {
    this.#session = session;
    this.#clock = clock;
    this.#onChange = onChange;
    this.#answeredAtMs = clock.monotonicMs();
    this.#tickedAtMs = this.#answeredAtMs;
  }

  get state(): LivenessState {
    return this.#state;
  }

  start(): void {
    this.#ping();
    this.#schedule();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #schedule(): void {
    this.#timer = this.#clock.after(PING_INTERVAL_MS, () => this.#tick());
  }

  #tick(): void {
    const nowMs = this.#clock.monotonicMs();
    // A process that was stopped (laptop lid, SIGSTOP) runs its timers before it reads the answers that wait in the
    // socket: time in which we did not look is no evidence against the peer.
    const missedMs = nowMs - this.#tickedAtMs - PING_INTERVAL_MS;
    if (missedMs > PING_INTERVAL_MS) this.#answeredAtMs += missedMs;
    this.#tickedAtMs = nowMs;
    const silentMs = nowMs - this.#answeredAtMs;
    if (silentMs >= DEAD_AFTER_MS) {
      this.stop();
      this.#change("dead");
      return;
    }
    if (silentMs >= SUSPECT_AFTER_MS) this.#change("suspect");
    this.#ping();
    this.#schedule();
  }

  #ping(): void {
    this.#session.ping((roundTripMs) => {
      this.lastPingMs = roundTripMs;
      this.#answeredAtMs = this.#clock.monotonicMs();
      if (this.#state === "suspect") this.#change("alive");
    });
  }

  #change(state: LivenessState): void {
    if (state === this.#state || this.#state === "dead") return;
    this.#state = state;
    this.#onChange(state);
  }
}
