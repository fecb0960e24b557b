import { randomBytes, timingSafeEqual } from "node:crypto";
import { createAdminSecret, hashKey, parseAdminSecret } from "../../access/key-format.ts";
import type { Secret } from "../../lib/secret.ts";

/** How long a code for the first user can be used. */
const LIFE_MS = 60 * 60_000;

/**
 * The code with which the first user is made in a browser. Kept in memory only: a gateway that was started again knows none.
 * There is at most one; a new one replaces it.
 */
export class SetupCode {
  #current: { hash: Uint8Array; expiresAtMs: number } | null = null;

  /** Makes one and forgets the one before. */
  create(nowMs: number): { code: Secret; expiresAtMs: number } {
    const { key, hash } = createAdminSecret("psts_", randomBytes);
    this.#current = { hash, expiresAtMs: nowMs + LIFE_MS };
    return { code: key, expiresAtMs: this.#current.expiresAtMs };
  }

  /**
   * Uses the code up, in this turn, so that two who hold it cannot both.
   *
   * @returns Puts it back, for when what it was used for failed; null when it is not the code.
   */
  take(presented: string, nowMs: number): (() => void) | null {
    const { hash, expiresAtMs } = this.#current ?? { hash: NOTHING, expiresAtMs: 0 };
    if (parseAdminSecret("psts_", presented) === null) return null;
    if (!timingSafeEqual(hashKey(presented), hash) || expiresAtMs <= nowMs) return null;
    const taken = this.#current;
    this.#current = null;
    return () => {
      this.#current ??= taken;
    };
  }
}

const NOTHING = new Uint8Array(32);
