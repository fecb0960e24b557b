import type { TimeoutConfig } from "../config/resolved.ts";
import type { Target } from "./target.ts";

const GIB = 1024 ** 3;

/** Longest time of an attempt without content. A whole answer is silent until its end, so that this is its only limit besides the total. */
export function firstTokenLimitMs(target: Target | null, isStream: boolean, timeouts: TimeoutConfig): number {
  const own = target?.times ?? null;
  if (!isStream) return Math.min(own?.wholeMs ?? timeouts.totalMs, timeouts.totalMs);
  if (own !== null) return own.firstTokenMs;
  if (target?.isLoaded !== false) return timeouts.firstTokenMs;
  return timeouts.firstTokenColdMs + ((target.sizeBytes ?? 0) / GIB) * timeouts.firstTokenColdPerGibMs;
}

/** Longest silence of a stream after its first content. */
export function betweenTokensLimitMs(target: Target | null, timeouts: TimeoutConfig): number {
  return target?.times?.betweenTokensMs ?? timeouts.betweenTokensMs;
}
