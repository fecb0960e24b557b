import { timingSafeEqual } from "node:crypto";
import { LiveSet, type Placed } from "../lib/live-set.ts";
import type { KeyRecord } from "./key.ts";
import { hashKey, parseKey } from "./key-format.ts";

/** Why nobody was identified. For the log only: the caller gets the same 401 for all of them. */
type IdentifyFailure = "missing" | "malformed" | "unknown" | "wrong" | "revoked" | "expired";

export type Identified = { key: KeyRecord; failure: null } | { key: null; failure: IdentifyFailure };

/**
 * All keys, in memory: identifying a caller touches no database.
 *
 * The store stays the truth; whoever changes it calls `add`, `revoke` or `replaceAll` afterwards.
 */
export class Keyring {
  #keys = new Map<string, KeyRecord>();
  readonly #watchers = new Map<string, LiveSet<Watcher>>();
  #changes = 0;

  get size(): number {
    return this.#keys.size;
  }

  /**
   * Whose key this is.
   *
   * An unknown id costs the same as a wrong secret: both hash what was presented and compare 32 bytes in constant time.
   *
   * @param presented What the caller sent, or null when it sent none.
   * @param nowMs Wall time, for expiry.
   */
  identify(presented: string | null, nowMs: number): Identified {
    if (presented === null) return failed("missing");
    const parsed = parseKey(presented);
    if (parsed === null) return failed("malformed");
    const key = this.#keys.get(parsed.id);
    const isSame = timingSafeEqual(hashKey(presented), key === undefined ? NOBODY : key.hash);
    if (key === undefined) return failed("unknown");
    if (!isSame) return failed("wrong");
    const failure = this.failureOf(key, nowMs);
    return failure === null ? { key, failure } : failed(failure);
  }

  /** Why a key opens nothing now, or null where it does. */
  failureOf(key: KeyRecord, nowMs: number): "revoked" | "expired" | null {
    if (key.revokedAtMs !== null) return "revoked";
    return key.expiresAtMs !== null && key.expiresAtMs <= nowMs ? "expired" : null;
  }

  /** Grows with every change, so that what was looked up before can be known to be old. */
  get changes(): number {
    return this.#changes;
  }

  /** Keys of this name that were not revoked. Goes through all of them. */
  named(name: string): KeyRecord[] {
    return [...this.#keys.values()].filter((key) => key.name === name && key.revokedAtMs === null);
  }

  /** The key with this public id, revoked and expired ones included. */
  find(id: string): KeyRecord | undefined {
    return this.#keys.get(id);
  }

  /**
   * Adds a key, or replaces the one with its id.
   *
   * @throws RangeError when the hash is not 32 bytes long.
   */
  add(key: KeyRecord): void {
    checkHash(key);
    const before = this.#keys.get(key.id);
    this.#keys.set(key.id, key);
    this.#changes++;
    if (before !== undefined && hasEnded(before, key)) this.#notify(key.id);
  }

  /** Marks a key as revoked and tells everybody who watches it. False when there is no such key; revoking twice changes nothing. */
  revoke(id: string, atMs: number): boolean {
    const key = this.#keys.get(id);
    if (key === undefined) return false;
    if (key.revokedAtMs === null) {
      this.#keys.set(id, { ...key, revokedAtMs: atMs });
      this.#changes++;
      this.#notify(id);
    }
    return true;
  }

  /**
   * Takes over what the store says now. Watchers of keys that are gone, revoked or have another secret are told.
   *
   * @throws RangeError when a hash is not 32 bytes long; nothing has changed then.
   */
  replaceAll(keys: Iterable<KeyRecord>): void {
    const next = new Map<string, KeyRecord>();
    for (const key of keys) {
      checkHash(key);
      next.set(key.id, key);
    }
    const before = this.#keys;
    this.#keys = next;
    this.#changes++;
    for (const id of [...this.#watchers.keys()]) {
      const was = before.get(id);
      if (was !== undefined && hasEnded(was, next.get(id))) this.#notify(id);
    }
  }

  /**
   * Calls `onRevoked` once when the key is revoked or removed, so that its live streams end. Must not throw. Watch after
   * `identify` in the same turn; between the two nothing can change.
   *
   * @returns Stops watching; call it when the request is over. Idempotent.
   */
  watch(id: string, onRevoked: () => void): () => void {
    let watchers = this.#watchers.get(id);
    if (watchers === undefined) {
      watchers = new LiveSet();
      this.#watchers.set(id, watchers);
    }
    const mine = watchers;
    const watcher = { onRevoked, place: -1 };
    mine.add(watcher);
    // The empty list of a key stays: a key that is used is used again.
    return () => void mine.delete(watcher);
  }

  /** How many watchers there are. For leak checks. */
  get watching(): number {
    let count = 0;
    for (const watchers of this.#watchers.values()) count += watchers.size;
    return count;
  }

  #notify(id: string): void {
    const watchers = this.#watchers.get(id);
    if (watchers === undefined) return;
    this.#watchers.delete(id);
    // One that is told may stop others.
    for (const watcher of watchers.all()) if (watchers.delete(watcher)) watcher.onRevoked();
  }
}

interface Watcher extends Placed {
  onRevoked: () => void;
}

/** What an unknown id is compared with. No key has this hash. */
const NOBODY = new Uint8Array(32);

function failed(failure: IdentifyFailure): Identified {
  return { key: null, failure };
}

function hasEnded(before: KeyRecord, after: KeyRecord | undefined): boolean {
  if (after === undefined) return true;
  return (before.revokedAtMs === null && after.revokedAtMs !== null) || !timingSafeEqual(before.hash, after.hash);
}

function checkHash(key: KeyRecord): void {
  if (key.hash.byteLength !== NOBODY.byteLength) throw new RangeError(`key ${key.id}: its hash must be 32 bytes long`);
}
