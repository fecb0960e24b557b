import { timingSafeEqual } from "node:crypto";
import { type CompiledPolicy, compilePolicy } from "./compiled-policy.ts";
import type { KeyRecord } from "./key.ts";

/** Why a key does not open anything now. */
export type KeyRefusal = "revoked" | "disabled" | "early" | "expired";

/** A key in memory: its record, with a policy that is compiled when it is first asked for. */
export class LiveKey {
  readonly record: KeyRecord;
  #policy: CompiledPolicy | null = null;

  constructor(record: KeyRecord) {
    this.record = record;
  }

  get id(): string {
    return this.record.id;
  }

  get policy(): CompiledPolicy {
    this.#policy ??= compilePolicy(this.record.policy);
    return this.#policy;
  }

  /** Null when it opens something at that time (UTC). */
  refusalAt(nowMs: number): KeyRefusal | null {
    if (this.record.revokedAtMs !== null) return "revoked";
    if (this.record.disabledAtMs !== null) return "disabled";
    const state = this.policy.stateAt(nowMs);
    return state === "ok" ? null : state;
  }

  /** Whether a secret of that hash is one of this key at that time (UTC). Constant time in the hash. */
  isSecret(hash: Uint8Array, nowMs: number): boolean {
    return this.hashLike(hash, nowMs) !== null;
  }

  /** The hash of the key's own that it is, in the same way; null where it is none. */
  hashLike(hash: Uint8Array, nowMs: number): Uint8Array | null {
    const { hash: currentHash, previousHash, previousUntilMs } = this.record;
    const isCurrent = timingSafeEqual(hash, currentHash);
    const isPrevious = previousHash !== null && timingSafeEqual(hash, previousHash);
    if (isCurrent) return currentHash;
    return isPrevious && previousUntilMs !== null && nowMs < previousUntilMs ? previousHash : null;
  }
}
