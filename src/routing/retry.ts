import type { AttemptFailure } from "./classify-failure.ts";

/** Most attempts for one request, the first included. */
export const MAX_ATTEMPTS = 4;

export interface RetryFacts {
  /** Whether a content byte has reached the caller, or is on its way. */
  hasContent: boolean;
  /** Attempts made so far. */
  attempts: number;
  /** Left of the request's total time; at or below zero the answer is always no. */
  remainingMs: number;
}

/**
 * Whether a failed attempt may be followed by another one.
 *
 * Only while no content has reached the caller, because after it two answers would be spliced; only for failures that
 * another target could cure; and no more than `MAX_ATTEMPTS`, so that a broken request does not visit every machine.
 */
export function planRetry(failure: AttemptFailure, { hasContent, attempts, remainingMs }: RetryFacts): boolean {
  return failure.isCurable && !hasContent && attempts < MAX_ATTEMPTS && remainingMs > 0;
}
