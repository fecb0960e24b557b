import type { Usage } from "../dialects/dialect.ts";
import { tokensFromBytes } from "../lib/token-estimate.ts";

/** Usage of a request whose engine never said: interrupted, aborted before the first record, or without a usage member. Always flagged. */
export function estimateUsage(requestBytes: number, answerBytes: number): Usage {
  return {
    tokensIn: tokensFromBytes(requestBytes),
    tokensInCached: 0,
    tokensOut: tokensFromBytes(answerBytes),
    tokensReasoning: null,
    isEstimated: true,
  };
}
