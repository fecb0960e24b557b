import type { ErrorCode } from "../errors.ts";
import type { AttemptFailure } from "./classify-failure.ts";

/** Most attempts for one request within `BURST_MS` of the request, so that a broken request does not visit every machine at once. */
export const MAX_BURST = 4;
export const BURST_MS = 3_000;
/** Most attempts at one target, where it failed, and where it asked for a pause. */
export const MAX_REPEATS = { failed: 2, busy: 3 } as const;
/** Longest pause that a request waits for at a target; with a longer one its caller is told. */
export const LONGEST_PAUSE_MS = 5_000;
/** Wait before the first attempt at the same target; doubled for each further one, less up to half of it by chance. */
const REPEAT_MS = 200;

export interface RetryFacts {
  /** Most attempts for one request, the first included. */
  maxAttempts: number;
  /** Whether a content byte has reached the caller, or is on its way. */
  hasContent: boolean;
  /** Attempts made so far, and at the target that has just failed. */
  attempts: number;
  attemptsHere: number;
  /** Since the request came. */
  elapsedMs: number;
  /** Left of the request's total time; at or below zero the answer is always no. */
  remainingMs: number;
  /** How long the target asks to be left alone; null where it does not. */
  pauseMs: number | null;
  /** The next target: none; one like it; or one of another model or in another place, which answers otherwise and may cost money. */
  next: "none" | "alike" | "other";
  /** From 0 to 1, by chance. */
  draw: number;
}

/** Where the next attempt goes, and after what wait. */
export interface Retry {
  to: "next" | "same";
  waitMs: number;
}

/**
 * Whether a failed attempt is followed by another one, where, and when.
 *
 * Only while no content has reached the caller, because after it two answers would be spliced; only for failures that
 * another attempt could cure; bounded in number and time. A target that is like the one that failed is asked at once. The same
 * target gets a second try where it may have stumbled, and where the request would else go to another model, somewhere else or
 * nowhere; one that was silent does not. A pause that a busy target asks for is waited for only where nobody else is left, and if short.
 */
export function planRetry(failure: AttemptFailure, facts: RetryFacts): Retry | null {
  const { hasContent, attempts, attemptsHere, elapsedMs, remainingMs, pauseMs, next } = facts;
  if (!failure.isCurable || hasContent || attempts >= facts.maxAttempts) return null;
  const burstMs = attempts < MAX_BURST ? 0 : Math.max(0, BURST_MS - elapsedMs);
  const repeatMs = REPEAT_MS * 2 ** (attemptsHere - 1) * (1 - facts.draw / 2);
  let retry: Retry | null = null;
  if (pauseMs !== null) {
    if (next !== "none") retry = { to: "next", waitMs: burstMs };
    else if (attemptsHere < MAX_REPEATS.busy && pauseMs <= LONGEST_PAUSE_MS)
      retry = { to: "same", waitMs: Math.max(burstMs, pauseMs + repeatMs) };
  } else if (next !== "alike" && mayHaveStumbled(failure.code) && attemptsHere < MAX_REPEATS.failed) {
    retry = { to: "same", waitMs: Math.max(burstMs, repeatMs) };
  } else if (next !== "none") {
    retry = { to: "next", waitMs: burstMs };
  }
  return retry === null || retry.waitMs >= remainingMs ? null : retry;
}

/** Failures that the same target may not show a second time. Silence, bad answers and refused credentials stay what they are. */
function mayHaveStumbled(code: ErrorCode): boolean {
  return code === "engine_failed" || code === "engine_cut" || code === "link_lost" || code === "engine_refused";
}
