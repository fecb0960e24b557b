import { isContextOverflow } from "../dialects/told-error.ts";
import type { AttemptFailure } from "../routing/classify-failure.ts";
import { planRetry } from "../routing/retry.ts";
import type { Attempt } from "./attempt.ts";
import type { AttemptTrail } from "./attempt-trail.ts";
import { type AttemptSource, type PreparedAttempt, prepareAttempt } from "./prepare-attempt.ts";
import type { Target } from "./target.ts";

/** What is tried next, and after what wait. */
export interface NextAttempt {
  prepared: PreparedAttempt;
  waitMs: number;
}

export interface RetryBounds {
  maxAttempts: number;
  elapsedMs: number;
  remainingMs: number;
  /** From 0 to 1, by chance. */
  draw: number;
}

/** Finds what may be tried after an attempt, among the targets of a plan. `planRetry` decides; this knows the targets. */
export class NextAttempts {
  readonly #source: AttemptSource;
  readonly #trail: AttemptTrail;
  /** In the order of the plan; set once there is one. */
  targets: readonly Target[] = [];

  constructor(source: AttemptSource, trail: AttemptTrail) {
    this.#source = source;
    this.#trail = trail;
  }

  /** After a failure before any content; null where there is nothing more to do. */
  after(attempt: Attempt, failure: AttemptFailure, bounds: RetryBounds): NextAttempt | null {
    if (!failure.isCurable) return null;
    const { target } = attempt;
    const next = this.#next(() => true);
    const retry = planRetry(failure, {
      hasContent: false,
      attempts: this.#trail.count,
      attemptsHere: this.#trail.triesOf(target),
      pauseMs: attempt.pauseMs,
      next: next === null ? "none" : isAlike(next.target, target) ? "alike" : "other",
      ...bounds,
    });
    if (retry === null) return null;
    const prepared = retry.to === "next" ? next : this.#again(attempt);
    return prepared === null ? null : { prepared, waitMs: retry.waitMs };
  }

  /** A prompt that is too long for one model may go to one with a larger window, once, and nowhere else. */
  larger(attempt: Attempt, status: number, body: Buffer): PreparedAttempt | null {
    const window = attempt.target.contextLength;
    if (window === null || this.#trail.count > 1 || !isContextOverflow(status, body)) return null;
    return this.#next((one) => (one.contextLength ?? 0) > window);
  }

  /**
   * Some servers refuse a stream that is asked for its usage, which is our doing and not the caller's: the same target is asked
   * without (reference: engine-apis §8, 1). That it answers then shows that nothing else was wrong.
   */
  withoutUsage(attempt: Attempt, status: number, body: Buffer): PreparedAttempt | null {
    const isRefusal = status === 400 || status === 422;
    if (!isRefusal || !attempt.prepared.isUsageForced) return null;
    if (!/stream_options|include_usage/.test(body.toString("latin1"))) return null;
    const prepared = this.#prepare([attempt.target], false);
    return prepared === null ? null : { ...prepared, isUsageLeftOut: true };
  }

  #again({ target, prepared }: Attempt): PreparedAttempt | null {
    const again = this.#prepare([target], prepared.isUsageLeftOut !== true);
    return again === null || prepared.isUsageLeftOut === undefined ? again : { ...again, isUsageLeftOut: true };
  }

  #next(fits: (target: Target) => boolean): PreparedAttempt | null {
    return this.#prepare(this.targets.filter((one) => !this.#trail.hasTried(one) && one.canAccept() && fits(one)));
  }

  #prepare(targets: readonly Target[], asksUsage = true): PreparedAttempt | null {
    try {
      return prepareAttempt(this.#source, targets, asksUsage);
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
