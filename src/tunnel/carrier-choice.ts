import { DIRECT_RETRY_MS, FALLBACK_AFTER_DIALS } from "./constants.ts";

export type CarrierKind = "direct" | "websocket";

/**
 * Which carrier the next dial uses. Direct first; WebSocket when something on the way refuses the upgrade, or breaks the
 * connection after it three times in a row; direct again once an hour, and whenever WebSocket fails as often.
 *
 * Dials that never reached the gateway say nothing about carriers and are not told here: an outage must not bring
 * everybody back on the slower one.
 */
export class CarrierChoice {
  #kind: CarrierKind = "direct";
  #failures = 0;
  #fellBackAtMs = 0;

  /** @param hasDirectSibling Whether another link is connected directly: then the way is open. */
  choose(hasDirectSibling: boolean, nowMs: number): CarrierKind {
    if (hasDirectSibling || this.isDirectDue(nowMs)) this.#switchTo("direct", nowMs);
    return this.#kind;
  }

  /** Whether it is time to try a direct dial although WebSocket works. */
  isDirectDue(nowMs: number): boolean {
    return this.#kind === "websocket" && nowMs - this.#fellBackAtMs >= DIRECT_RETRY_MS;
  }

  /** @param isBlocked Whether the upgrade itself was refused by something that is not the gateway. */
  onFailure(kind: CarrierKind, isBlocked: boolean, nowMs: number): void {
    if (kind !== this.#kind) return;
    this.#failures += 1;
    if (isBlocked || this.#failures >= FALLBACK_AFTER_DIALS) {
      this.#switchTo(kind === "direct" ? "websocket" : "direct", nowMs);
    }
  }

  /** A link came to life. */
  onSuccess(kind: CarrierKind): void {
    if (kind === this.#kind) this.#failures = 0;
  }

  #switchTo(kind: CarrierKind, nowMs: number): void {
    if (kind === this.#kind) return;
    this.#kind = kind;
    this.#failures = 0;
    if (kind === "websocket") this.#fellBackAtMs = nowMs;
  }
}
