import { tokensFromBytes } from "../lib/token-estimate.ts";
import type { Usage } from "./dialect.ts";

/**
 * The engine's word where it can be true, else an estimate, flagged: nothing is free because a number was left out. No prompt
 * has zero tokens and no answer with content has, though engines say so (reference: engine-apis §1.4, §8).
 *
 * @param told A number that the engine left out stands as zero; null when it said nothing at all.
 * @param counted Output tokens as counted or estimated from what the answer held; 0 when it held nothing.
 */
export function believableUsage(told: Usage | null, requestBytes: number, counted: number): Usage {
  const isInTold = told !== null && told.tokensIn > 0;
  const isOutTold = told !== null && (told.tokensOut > 0 || counted === 0);
  if (isInTold && isOutTold) return told;
  return {
    tokensIn: isInTold ? told.tokensIn : tokensFromBytes(requestBytes),
    tokensInCached: told?.tokensInCached ?? 0,
    tokensOut: isOutTold ? told.tokensOut : counted,
    tokensReasoning: told?.tokensReasoning ?? null,
    isEstimated: true,
  };
}
