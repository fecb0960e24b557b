import type { Breaker } from "./breaker.ts";
import type { CheckedTarget } from "./check-options.ts";
import type { SkippedTarget } from "./failover-error.ts";

/** A target and what is known about it. */
export interface TargetState {
  target: CheckedTarget;
  breaker: Breaker;
}

/** What decides which target is next. */
export interface PickFacts {
  /** Targets that this request has tried. */
  tried: readonly TargetState[];
  isContingency: boolean;
  /** Of this request: whether the target would hand its model on to a cloud although nothing may leave. */
  doesLeave: (target: CheckedTarget) => boolean;
}

/** The next target, or null; and those that were passed over on the way, with the reason. */
export interface Pick {
  next: TargetState | null;
  skipped: SkippedTarget[];
}

/**
 * Chooses the next target of a request: the first in order that may serve it, has not been tried and is not known to be down.
 *
 * When all that may serve are known to be down and none was tried, the one whose time comes first is tried all the same: a
 * request that is certain to fail helps nobody. Contingency and local-only have no such exception.
 */
export function pickTarget(states: readonly TargetState[], { tried, isContingency, doesLeave }: PickFacts): Pick {
  const skipped: SkippedTarget[] = [];
  const open: TargetState[] = [];
  for (const state of states) {
    const { target, breaker } = state;
    if (tried.includes(state)) continue;
    if (isContingency && !target.isOwn) skipped.push({ target: target.name, why: "contingency" });
    else if (doesLeave(target)) skipped.push({ target: target.name, why: "model_leaves" });
    else if (breaker.canTry) return { next: state, skipped };
    else {
      skipped.push({ target: target.name, why: "breaker_open" });
      open.push(state);
    }
  }
  if (tried.length > 0) return { next: null, skipped };
  const [first = null] = open.toSorted((a, b) => a.breaker.retryInMs - b.breaker.retryInMs);
  return { next: first, skipped: skipped.filter(({ target }) => target !== first?.target.name) };
}
