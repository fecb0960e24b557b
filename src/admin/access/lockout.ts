import { addressGroup } from "../../access/failure-limiter.ts";

/** Wrong passwords that cost nothing but the time of a hash, for one user. */
const FREE_PER_USER = 5;
/** The same for one address, behind which may be an office. */
const FREE_PER_ADDRESS = 20;
/** Wait after the first one beyond, doubled with each further one. */
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 15 * 60_000;
/** An entry without a failure for this long starts from nothing. */
const FORGET_AFTER_MS = 60 * 60_000;
/** Names and addresses remembered; who has been quiet longest is forgotten first. */
const MAX_ENTRIES = 10_000;

interface Failures {
  count: number;
  lastMs: number;
}

/**
 * Slows guessing of passwords down, per user and per address, with waits that double from a second to a quarter of an hour.
 *
 * While somebody waits no password is looked at, not even the right one: otherwise the wait would tell. That lets a stranger
 * keep a user from logging in; the data folder's socket and tokens do not come this way.
 */
export class Lockout {
  /** Only users that exist, so that made-up names push nobody out. */
  readonly #users = new Map<string, Failures>();
  readonly #addresses = new Map<string, Failures>();

  /**
   * How long until this login may be tried, in milliseconds; 0: now.
   *
   * @param userId Null for a name that nobody has; those are held back by their address alone.
   * @param monotonicMs Monotonic time: a clock that jumps must neither free nor hold anybody.
   */
  waitMs(userId: string | null, address: string, monotonicMs: number): number {
    const byUser = userId === null ? 0 : remaining(this.#users.get(userId), FREE_PER_USER, monotonicMs);
    const byAddress = remaining(this.#addresses.get(addressGroup(address)), FREE_PER_ADDRESS, monotonicMs);
    return Math.max(byUser, byAddress);
  }

  failed(userId: string | null, address: string, monotonicMs: number): void {
    if (userId !== null) count(this.#users, userId, monotonicMs);
    count(this.#addresses, addressGroup(address), monotonicMs);
  }

  /** The right password: the user starts from nothing. The address does not, or one own account would free it to guess others. */
  succeeded(userId: string): void {
    this.#users.delete(userId);
  }

  /** How many are remembered. */
  get size(): number {
    return this.#users.size + this.#addresses.size;
  }
}

function remaining(failures: Failures | undefined, free: number, monotonicMs: number): number {
  if (failures === undefined || failures.count < free) return 0;
  const waitMs = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (failures.count - free));
  return Math.max(0, failures.lastMs + waitMs - monotonicMs);
}

function count(entries: Map<string, Failures>, name: string, monotonicMs: number): void {
  const before = entries.get(name);
  const isForgotten = before === undefined || monotonicMs - before.lastMs >= FORGET_AFTER_MS;
  entries.delete(name);
  entries.set(name, { count: isForgotten ? 1 : before.count + 1, lastMs: monotonicMs });
  if (entries.size <= MAX_ENTRIES) return;
  const quietest = entries.keys().next();
  if (quietest.done !== true) entries.delete(quietest.value);
}
