import { timingSafeEqual } from "node:crypto";
import { LiveSet, type Placed } from "../lib/live-set.ts";
import type { KeyRecord } from "./key.ts";
import { hashKeyInto, parseKey } from "./key-format.ts";
import { type KeyRefusal, LiveKey } from "./live-key.ts";

/** Why nobody was identified. For the log only: the caller gets the same 401 for all of them. */
type IdentifyFailure = "missing" | "malformed" | "unknown" | "wrong" | KeyRefusal;

/** Who it is, and the hash of the secret that was shown. */
export type Identified =
  | { key: LiveKey; hash: Uint8Array; failure: null }
  | { key: null; hash: null; failure: IdentifyFailure };

/**
 * All keys, in memory: identifying a caller touches no database, and goes on when there is none.
 *
 * The store stays the truth; whoever changes it calls `put` or `replaceAll` afterwards.
 */
export class Keyring {
  #keys = new Map<string, LiveKey>();
  #changes = 0;
  readonly #watchers = new Map<string, LiveSet<Watcher>>();

  get size(): number {
    return this.#keys.size;
  }

  /**
   * Whose key this is.
   *
   * An unknown id costs the same as a wrong secret: both hash what was presented and compare 32 bytes in constant time.
   *
   * @param presented What the caller sent, or null when it sent none.
   * @param nowMs Wall time, for expiry and for the grace of an old secret.
   */
  identify(presented: string | null, nowMs: number): Identified {
    if (presented === null) return failed("missing");
    const parsed = parseKey(presented);
    if (parsed === null) return failed("malformed");
    const key = this.#keys.get(parsed.id);
    hashKeyInto(SHOWN, presented);
    if (key === undefined) {
      timingSafeEqual(SHOWN, NOBODY);
      return failed("unknown");
    }
    const hash = key.hashLike(SHOWN, nowMs);
    if (hash === null) return failed("wrong");
    const refusal = key.refusalAt(nowMs);
    return refusal === null ? { key, hash, failure: null } : failed(refusal);
  }

  /** Grows with every change, so that what was looked up before can be known to be old. */
  get changes(): number {
    return this.#changes;
  }

  /** All keys, those that open nothing any more too. */
  all(): Iterable<LiveKey> {
    return this.#keys.values();
  }

  /** Keys of this name that were not revoked. Goes through all of them. */
  named(name: string): LiveKey[] {
    return [...this.#keys.values()].filter(({ record }) => record.name === name && record.revokedAtMs === null);
  }

  /** Keys of this workflow. Goes through all of them. */
  ofWorkflow(workflow: string): LiveKey[] {
    return [...this.#keys.values()].filter((key) => key.policy.document.workflow === workflow);
  }

  /** The key with this public id, whatever its state. */
  find(id: string): LiveKey | undefined {
    return this.#keys.get(id);
  }

  /**
   * Adds a key, or replaces the one with its id and tells everybody who watches it.
   *
   * @throws RangeError when a hash is not 32 bytes long.
   */
  put(record: KeyRecord): void {
    checkHashes(record);
    const before = this.#keys.get(record.id);
    const key = new LiveKey(record);
    this.#keys.set(record.id, key);
    this.#changes++;
    if (before !== undefined) this.#notify(record.id, key);
  }

  /** Forgets a key that only this keyring has, and ends what it opened. */
  remove(id: string): void {
    if (!this.#keys.delete(id)) return;
    this.#changes++;
    this.#notify(id, null);
  }

  /**
   * Takes over what the store says now. Watchers of every key that changed or is gone are told.
   *
   * @throws RangeError when a hash is not 32 bytes long; nothing has changed then.
   */
  replaceAll(records: Iterable<KeyRecord>): void {
    const next = new Map<string, LiveKey>();
    for (const record of records) {
      checkHashes(record);
      next.set(record.id, new LiveKey(record));
    }
    this.#keys = next;
    this.#changes++;
    for (const id of [...this.#watchers.keys()]) this.#notify(id, next.get(id) ?? null);
  }

  /**
   * Calls `onChange` whenever the key is changed, switched off, revoked or removed, so that what it opened can be judged anew.
   * Must not throw. Watch after `identify` in the same turn; between the two nothing can change.
   *
   * @returns Stops watching; call it when the request is over. Idempotent.
   */
  watch(id: string, onChange: (key: LiveKey | null) => void): () => void {
    let watchers = this.#watchers.get(id);
    if (watchers === undefined) {
      watchers = new LiveSet();
      this.#watchers.set(id, watchers);
    }
    const mine = watchers;
    const watcher = { onChange, place: -1 };
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

  #notify(id: string, key: LiveKey | null): void {
    const watchers = this.#watchers.get(id);
    if (watchers === undefined) return;
    // One that is told may stop others.
    for (const watcher of watchers.all()) if (watcher.place !== -1) watcher.onChange(key);
    if (key === null && watchers.size === 0) this.#watchers.delete(id);
  }
}

interface Watcher extends Placed {
  onChange: (key: LiveKey | null) => void;
}

/** The hash of what was presented last. Used within one call only; what is kept of it is the key's own. */
const SHOWN = Buffer.alloc(32);

/** What an unknown id is compared with. No key has this hash. */
const NOBODY = new Uint8Array(32);

function failed(failure: IdentifyFailure): Identified {
  return { key: null, hash: null, failure };
}

function checkHashes({ id, hash, previousHash }: KeyRecord): void {
  if (hash.length !== 32 || (previousHash !== null && previousHash.length !== 32)) {
    throw new RangeError(`the hash of key ${id} is not 32 bytes long`);
  }
}
