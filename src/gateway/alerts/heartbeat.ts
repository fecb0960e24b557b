import type { HeartbeatConfig } from "../../config/alerts.ts";
import type { Clock, Timer } from "../../lib/clock.ts";
import { post } from "./post.ts";

export interface HeartbeatParts {
  config: HeartbeatConfig;
  clock: Clock;
  /** Origin of the gateway, for the receiver to tell several apart. */
  gateway: string;
  /** Whether the gateway serves and can raise an alarm; while it does not, the heart stands still. */
  isWell(): boolean;
  onTrouble(detail: string): void;
}

/**
 * A sign of life at regular times, for a service that raises the alarm when it stops: whatever ends this process, or its network,
 * cannot tell anybody itself. Missed beats are not made up for.
 */
export class Heartbeat {
  readonly #parts: HeartbeatParts;
  readonly #abort = new AbortController();
  #timer: Timer | null = null;
  #lastAtMs: number | null = null;
  #trouble: string | null = null;

  constructor(parts: HeartbeatParts) {
    this.#parts = parts;
  }

  /** The first beat is at once. */
  start(): void {
    const { clock, config } = this.#parts;
    this.#timer = clock.after(config.everyMs, () => this.start());
    if (this.#parts.isWell()) void this.#beat();
  }

  view(): { everyMs: number; lastAtMs: number | null; trouble: string | null } {
    return { everyMs: this.#parts.config.everyMs, lastAtMs: this.#lastAtMs, trouble: this.#trouble };
  }

  stop(): void {
    this.#timer?.cancel();
    this.#abort.abort();
  }

  async #beat(): Promise<void> {
    const { config, clock, gateway, onTrouble } = this.#parts;
    const body = JSON.stringify({ service: "postern", gateway, at: new Date(clock.nowMs()).toISOString() });
    const { signal } = this.#abort;
    const outcome = await post({ url: new URL(config.url.reveal()), body, ca: null, clock, signal });
    if (signal.aborted) return;
    if (outcome.isDelivered) {
      this.#lastAtMs = clock.nowMs();
      this.#trouble = null;
      return;
    }
    this.#trouble = outcome.detail;
    onTrouble(outcome.detail);
  }
}
