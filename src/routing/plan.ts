import { PosternError } from "../errors.ts";
import type { Backend } from "./backend.ts";

/** What routing needs to know of a target. Read once per plan; facts change under it. */
export interface PlanTarget {
  readonly backend: Backend;
  /** Null where the engine does not say. */
  readonly isLoaded: boolean | null;
  readonly operations: ReadonlySet<string>;
  readonly inFlight: number;
  /** A request that goes there leaves the operator's own machines. */
  readonly leaves: boolean;
  /** The engine is up and loads its model. */
  readonly isLoading: boolean;
  canAccept(): boolean;
}

/** What a plan is made from. */
export interface PlanFacts<T extends PlanTarget> {
  /** Every target of the model, whatever its state. */
  targets: readonly T[];
  /** Whether a target that offers these operations can be asked, in its own dialect or translated. */
  canAsk(operations: ReadonlySet<string>): boolean;
  /** Whether the request may leave the operator's own machines. */
  mayLeave: boolean;
  /** Name or id of the only node that the caller wants, or null. */
  pinnedNode: string | null;
  /** A number that grows by one per request: among equals it decides who comes first. */
  turn: number;
}

/** Suggested wait where a node may come back: an agent reconnects within seconds. */
const RETRY_AFTER_SECONDS = 5;

/**
 * Step 9: the targets to try, best first. A target whose model is known to be cold comes after all others, because loading
 * takes longer than any queue; then the one with the fewest attempts in flight; equals take turns.
 *
 * @returns At least one target. Those that cannot accept now are left out.
 * @throws PosternError `no_target` with `Retry-After` (nobody there now), `body_invalid` (the model serves no such operation anywhere).
 */
export function planAttempts<T extends PlanTarget>({ targets, canAsk, mayLeave, pinnedNode, turn }: PlanFacts<T>): T[] {
  const allowed = mayLeave ? targets : targets.filter((one) => !one.leaves);
  if (allowed.length === 0 && targets.length > 0) {
    throw new PosternError("no_target", {
      message: "The model runs in somebody else's cloud, and the request may not leave this one",
    });
  }
  const wanted = pinnedNode === null ? allowed : allowed.filter((one) => isOnNode(one, pinnedNode));
  if (wanted.length === 0) throw noTarget(pinnedNode);
  // An engine that is away keeps the operations it had; none at all means that nothing is known yet.
  const able = wanted.filter((one) => canAsk(one.operations));
  if (able.length === 0 && wanted.every((one) => one.operations.size > 0)) {
    throw new PosternError("body_invalid", {
      message: "The model does not serve this kind of request",
      param: "model",
    });
  }
  const ready = able.filter((one) => one.canAccept());
  if (ready.length === 0) {
    // Of one that has never been ready it is not known yet what it can be asked.
    if (wanted.some((one) => one.isLoading && (one.operations.size === 0 || able.includes(one))))
      throw new PosternError("engine_loading", { retryAfterSeconds: RETRY_AFTER_SECONDS });
    throw noTarget(pinnedNode);
  }
  const shift = turn % ready.length;
  const rotated = [...ready.slice(shift), ...ready.slice(0, shift)];
  return rotated.sort((a, b) => Number(a.isLoaded === false) - Number(b.isLoaded === false) || a.inFlight - b.inFlight);
}

function isOnNode(target: PlanTarget, node: string): boolean {
  const { kind, name, id } = target.backend;
  return kind === "node" && (name === node || id === node);
}

function noTarget(pinnedNode: string | null): PosternError {
  return new PosternError("no_target", {
    retryAfterSeconds: RETRY_AFTER_SECONDS,
    ...(pinnedNode === null ? {} : { message: "The machine that the request names does not serve this model now" }),
  });
}
