import { isIPv6 } from "node:net";

export interface FailureLimits {
  /** Failures that one address may have in a window. Default 20. */
  maxFailures: number;
  /** Length of a window in milliseconds. Default 60,000. */
  windowMs: number;
  /** Addresses that are remembered; the one that has been quiet longest is forgotten first. Default 10,000. */
  maxAddresses: number;
}

const DEFAULT_FAILURE_LIMITS: FailureLimits = { maxFailures: 20, windowMs: 60_000, maxAddresses: 10_000 };

/**
 * Counts failed identifications per address (a whole /64 of IPv6).
 *
 * Only failures are counted and only failures are limited: a good key from the same address goes on working, so that one
 * broken client does not lock out the office behind it. Guessing is hopeless anyway; this bounds its noise.
 */
export class FailureLimiter {
  readonly #limits: FailureLimits;
  readonly #windows = new Map<string, { startMs: number; failures: number }>();

  constructor(limits: Partial<FailureLimits> = {}) {
    this.#limits = { ...DEFAULT_FAILURE_LIMITS, ...limits };
  }

  /**
   * Notes a failure.
   *
   * @param monotonicMs Monotonic time: a clock that jumps must neither free nor hold an address.
   * @returns Seconds until the address may fail again, at least 1; or null while it is below the limit.
   */
  recordFailure(address: string, monotonicMs: number): number | null {
    const group = addressGroup(address);
    const { maxFailures, windowMs, maxAddresses } = this.#limits;
    let window = this.#windows.get(group);
    if (window === undefined || monotonicMs - window.startMs >= windowMs)
      window = { startMs: monotonicMs, failures: 0 };
    window.failures++;
    // Back to the end of the order, so that the quietest address is the first to be forgotten.
    this.#windows.delete(group);
    this.#windows.set(group, window);
    if (this.#windows.size > maxAddresses) {
      const quietest = this.#windows.keys().next();
      if (quietest.done !== true) this.#windows.delete(quietest.value);
    }
    if (window.failures <= maxFailures) return null;
    return Math.max(1, Math.ceil((window.startMs + windowMs - monotonicMs) / 1000));
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
