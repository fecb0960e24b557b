/**
 * Why one attempt failed. The words avoid "timeout" and "timed out": the `openai` and `@anthropic-ai/sdk` packages look for
 * them in the text of an error and then throw one of their own without a cause, and the list of attempts would be lost.
 */
export type FailureReason =
  /** Refused, reset before an answer, no such host, TLS. */
  | "unreachable"
  /** A stream had no content within `firstTokenMs`. */
  | "first_token_late"
  /** The whole answer was not there within `totalMs` (of a stream: `streamTotalMs`). */
  | "answer_late"
  /** A stream that had begun was silent for `idleMs`. */
  | "stalled"
  /** The answer ended before it was complete. */
  | "cut"
  /** 5xx, 408, 425 or 429. */
  | "status"
  /** A redirect: never followed, it would take the prompt to a place that nobody configured. */
  | "redirect"
  /** Not an answer of an inference server: HTML, or a record beyond all bounds. */
  | "bad_answer"
  /** A stream that began with an error of the server's own. */
  | "said_error"
  /** The target's key could not be read or is not one. */
  | "bad_key";

/** One try at one target. Has no URL, no key and nothing of the request or the answer. */
export interface AttemptFailure {
  /** Name of the target. */
  target: string;
  reason: FailureReason;
  /** HTTP status, where there was an answer. */
  status: number | null;
  /** The system's word where there was no answer, such as `ECONNREFUSED`. Browsers tell none. */
  systemCode: string | null;
  elapsedMs: number;
  /** From `Retry-After`, in milliseconds. */
  retryAfterMs: number | null;
}

/** Why a target was not even tried. */
export interface SkippedTarget {
  target: string;
  why: "contingency" | "breaker_open" | "model_leaves";
}

/** What went wrong, for programs. A code is forever; survive those that you do not know. */
export type FailoverErrorCode =
  /** Every target that may serve was tried or is known to be down. */
  | "all_failed"
  /** No target may serve this request: it is local-only and no target is `own`, or contingency skips all there are. */
  | "no_target"
  /** The stream broke after its first content. What was read is not the whole answer. */
  | "stream_broken"
  /** The request is not one that can be sent to several targets. */
  | "bad_request"
  /** The options are wrong; the message lists every fault. */
  | "bad_options";

/** Facts of a {@link FailoverError}. */
export interface FailoverFacts {
  attempts?: readonly AttemptFailure[];
  skipped?: readonly SkippedTarget[];
}

const BRAND = Symbol.for("postern.failover-error");
/** How deep a `cause` is looked for. The SDKs wrap once. */
const MAX_CAUSES = 8;

/** The one error of this package. Tell it with {@link failoverErrorOf}: two copies of the package may be in one program. */
export class FailoverError extends Error {
  override readonly name = "FailoverError";
  readonly code: FailoverErrorCode;
  /** Every try, in order. */
  readonly attempts: readonly AttemptFailure[];
  /** Targets that were left out, and why. */
  readonly skipped: readonly SkippedTarget[];

  constructor(code: FailoverErrorCode, message: string, { attempts = [], skipped = [] }: FailoverFacts = {}) {
    super(message);
    this.code = code;
    this.attempts = attempts;
    this.skipped = skipped;
    Object.defineProperty(this, BRAND, { value: true });
  }
}

/**
 * The failover error in what was caught: itself, or as the cause of an error of an SDK. Null when there is none.
 *
 * Looks at most 8 causes deep.
 */
export function failoverErrorOf(caught: unknown): FailoverError | null {
  let value = caught;
  for (let depth = 0; depth <= MAX_CAUSES && typeof value === "object" && value !== null; depth += 1) {
    if (isBranded(value)) return value;
    value = "cause" in value ? value.cause : null;
  }
  return null;
}

/** The error for a request that no target answered. */
export function allFailed(attempts: readonly AttemptFailure[], skipped: readonly SkippedTarget[]): FailoverError {
  const tried = attempts.map(
    ({ target, reason, status }) => `${target}: ${reason}${status === null ? "" : ` ${status}`}`,
  );
  const left = skipped.map(({ target, why }) => `${target}: not tried, ${why}`);
  const isTried = attempts.length > 0 || skipped.some(({ why }) => why === "breaker_open");
  return new FailoverError(
    isTried ? "all_failed" : "no_target",
    `Cannot answer the request: ${isTried ? "every target failed" : "no target may serve it"} (${[...tried, ...left].join("; ") || "none is configured for it"})`,
    { attempts, skipped },
  );
}

function isBranded(value: object): value is FailoverError {
  return BRAND in value && value[BRAND] === true;
}
