import { isIPv6 } from "node:net";

export interface FailureLimits {
  /** Failures that one address may have in a window. Default 20. */
  maxFailures: number;
  /** Length of a window in milliseconds. Default 60,000. */
  windowMs: number;
  /** Addresses that are remembered; the one that has been quiet longest is forgotten first. Default 10,000. */
  maxAddresses: number;
}

export const DEFAULT_FAILURE_LIMITS: FailureLimits = { maxFailures: 20, windowMs: 60_000, maxAddresses: 10_000 };

/**
 * Counts failed identifications per address (a whole /64 of IPv6).
 *
 * Guessing 256 bits is hopeless anyway; this bounds the noise of trying. Whoever asks `retryAfterSeconds` only after an
 * identification has failed lets good keys go on working from an address where one client is broken.
 */
export class FailureLimiter {
  readonly #limits: FailureLimits;
  readonly #windows = new Map<string, { startMs: number; failures: number }>();

  constructor(limits: Partial<FailureLimits> = {}) {
    this.#limits = { ...DEFAULT_FAILURE_LIMITS, ...limits };
  }

  /** Seconds until the address may fail again, at least 1; 0 while it is below the limit. Any clock, as long as it is the same one as for `record`. */
  retryAfterSeconds(address: string, nowMs: number): number {
    const window = this.#windows.get(addressGroup(address));
    if (window === undefined || window.failures < this.#limits.maxFailures) return 0;
    const leftMs = window.startMs + this.#limits.windowMs - nowMs;
    // A wall clock that was set back must not hold an address for longer than a window.
    return leftMs <= 0 || leftMs > this.#limits.windowMs ? 0 : Math.max(1, Math.ceil(leftMs / 1000));
  }

  /** Notes a failed identification. */
  record(address: string, nowMs: number): void {
    const group = addressGroup(address);
    const { windowMs, maxAddresses } = this.#limits;
    const before = this.#windows.get(group);
    const isOver = before === undefined || nowMs - before.startMs >= windowMs || nowMs < before.startMs;
    const window = isOver ? { startMs: nowMs, failures: 1 } : { ...before, failures: before.failures + 1 };
    // Back to the end of the order, so that the quietest address is the first to be forgotten.
    this.#windows.delete(group);
    this.#windows.set(group, window);
    if (this.#windows.size > maxAddresses) {
      const quietest = this.#windows.keys().next();
      if (quietest.done !== true) this.#windows.delete(quietest.value);
    }
  }

  /** How many addresses are remembered. */
  get size(): number {
    return this.#windows.size;
  }
}

/** What counts as one address: IPv4 (mapped into IPv6 or not) as it is, IPv6 by its /64, which is what one household gets. */
export function addressGroup(address: string): string {
  const bare = address.split("%", 1)[0] ?? address;
  if (!isIPv6(bare)) return bare;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare);
  if (mapped?.[1] !== undefined) return mapped[1];
  const [head = "", tail] = bare.toLowerCase().split("::");
  const first = head === "" ? [] : head.split(":");
  const last = tail === undefined || tail === "" ? [] : tail.split(":");
  const groups = tail === undefined ? first : [...first, ...Array(8 - first.length - last.length).fill("0"), ...last];
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ""))
    .join(":")}::/64`;
}
