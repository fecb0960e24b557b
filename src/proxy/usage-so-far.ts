import type { StreamTap, Usage } from "../dialects/dialect.ts";
import { estimateUsage } from "../usage/estimate.ts";
import type { Outcome } from "../usage/record.ts";

export const NO_USAGE: Usage = {
  tokensIn: 0,
  tokensInCached: 0,
  tokensOut: 0,
  tokensReasoning: null,
  isEstimated: false,
};

/**
 * What was used where no answer came to its end. An engine that had the request has read the prompt, whether or not anybody
 * waited for the answer; one that could not be reached has not.
 *
 * @param tap Of the last attempt; null where no stream had begun.
 */
export function usageSoFar(tap: StreamTap | null, outcome: Outcome, attempts: number, requestBytes: number): Usage {
  if (tap !== null) return tap.usage();
  if (attempts === 0 || outcome === "failed") return NO_USAGE;
  return estimateUsage(requestBytes, 0);
}
