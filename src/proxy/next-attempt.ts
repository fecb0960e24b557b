import type { StreamTap } from "../dialects/dialect.ts";
import { isContextOverflow } from "../dialects/told-error.ts";
import type { ErrorCode } from "../errors.ts";
import type { AttemptFailure } from "../routing/classify-failure.ts";
import { planRetry } from "../routing/retry.ts";
import type { Attempt } from "./attempt.ts";
import type { AttemptTrail } from "./attempt-trail.ts";
import { type PreparedAttempt, prepareAttempt } from "./prepare-attempt.ts";
import type { RelayHost, RelayJob } from "./relay-contract.ts";
import type { Rescue } from "./rescue.ts";
import type { Target } from "./target.ts";

/** What is tried next, after what wait, and what that makes of the attempt before it. */
export interface NextAttempt {
  prepared: PreparedAttempt;
  waitMs: number;
  verdict: "failed" | "refused";
  code: ErrorCode;
}

/** Finds what may be tried after an attempt, among the targets of a plan. `planRetry` decides; this knows the targets. */
export class NextAttempts {
  readonly #job: RelayJob;
  readonly #host: RelayHost;
  readonly #trail: AttemptTrail;
  readonly #rescue: Rescue | null;
  /** In the order of the plan; set once there is one. */
  targets: readonly Target[] = [];

  constructor(job: RelayJob, host: RelayHost, trail: AttemptTrail, rescue: Rescue | null) {
    this.#job = job;
    this.#host = host;
    this.#trail = trail;
    this.#rescue = rescue;
  }

  /** After a failure before any content; null where there is nothing more to do. */
  after(attempt: Attempt, failure: AttemptFailure): NextAttempt | null {
    if (!failure.isCurable) return null;
    const { target } = attempt;
    const next = this.#next(() => true);
    const elapsedMs = this.#host.monotonicMs() - this.#job.startedMs;
    const retry = planRetry(failure, {
      maxAttempts: this.#job.maxAttempts,
      hasContent: false,
      attempts: this.#trail.count,
      attemptsHere: this.#trail.triesOf(target),
      pauseMs: attempt.pauseMs,
      next: next === null ? "none" : isAlike(next.target, target) ? "alike" : "other",
      elapsedMs,
      remainingMs: this.#job.timeouts.totalMs - elapsedMs,
      draw: this.#host.random(),
    });
    const prepared = retry?.to === "same" ? this.#again(attempt) : next;
    if (retry === null || prepared === null) return null;
    return { prepared, waitMs: retry.waitMs, verdict: "failed", code: failure.code };
  }

  /** In place of one that may not be tried any more. */
  instead(): PreparedAttempt | null {
    return this.#next(() => true);
  }

  /** After content: the attempt that goes on with what the caller has. @param tap Of the stream so far. */
  goingOn(
    attempt: Attempt,
    code: ErrorCode,
    detail: Record<string, unknown> | null,
    tap: StreamTap | null,
  ): NextAttempt | null {
    const left = this.targets.filter((one) => this.#isLeft(one));
    const prepared = this.#rescue?.next(attempt, { code, detail }, tap, left) ?? null;
    return prepared === null ? null : { prepared, waitMs: 0, verdict: "failed", code };
  }

  /** After an error that is about the request as it was asked there: whether it is asked otherwise. */
  otherwise(attempt: Attempt, status: number, body: Buffer): NextAttempt | null {
    const plainer = this.#withoutUsage(attempt, status, body);
    const prepared = plainer ?? this.#larger(attempt, status, body);
    if (prepared === null) return null;
    const code = plainer === null ? "context_length_exceeded" : "engine_failed";
    return { prepared, waitMs: 0, verdict: "refused", code };
  }

  /** A prompt that is too long for one model may go to one with a larger window, once, and nowhere else. */
  #larger(attempt: Attempt, status: number, body: Buffer): PreparedAttempt | null {
    const window = attempt.target.contextLength;
    if (window === null || this.#trail.count > 1 || !isContextOverflow(status, body)) return null;
    return this.#next((one) => (one.contextLength ?? 0) > window);
  }

  /**
   * Some servers refuse a stream that is asked for its usage, which is our doing and not the caller's: the same target is asked
   * without (reference: engine-apis §8, 1). That it answers then shows that nothing else was wrong.
   */
  #withoutUsage(attempt: Attempt, status: number, body: Buffer): PreparedAttempt | null {
    const isRefusal = status === 400 || status === 422;
    if (!isRefusal || !attempt.prepared.isUsageForced) return null;
    if (!/stream_options|include_usage/.test(body.toString("latin1"))) return null;
    const prepared = this.#prepare([attempt.target], false);
    return prepared === null ? null : { ...prepared, isUsageLeftOut: true };
  }

  #again({ target, prepared }: Attempt): PreparedAttempt | null {
    if (!this.#host.mayBegin(target)) return null;
    const again = this.#prepare([target], prepared.isUsageLeftOut !== true);
    return again === null || prepared.isUsageLeftOut === undefined ? again : { ...again, isUsageLeftOut: true };
  }

  #next(fits: (target: Target) => boolean): PreparedAttempt | null {
    return this.#prepare(this.targets.filter((one) => this.#isLeft(one) && fits(one)));
  }

  #isLeft(target: Target): boolean {
    return !this.#trail.hasTried(target) && target.canAccept() && this.#host.mayBegin(target);
  }

  #prepare(targets: readonly Target[], asksUsage = true): PreparedAttempt | null {
    try {
      return prepareAttempt(this.#job.source, targets, asksUsage);
    } catch {
      // Why it failed at the first target says more than that it cannot be said to the others.
      return null;
    }
  }
}

/** Whether it makes no difference to the caller which of the two answers. */
function isAlike(a: Target, b: Target): boolean {
  return a.engineModel === b.engineModel && a.backend.locality === b.backend.locality && a.leaves === b.leaves;
}
