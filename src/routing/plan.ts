import { PosternError } from "../errors.ts";
import type { Backend } from "./backend.ts";
import { type ScoredTarget, type ScoreFacts, scorer } from "./score.ts";

/** What routing needs to know of a target. Read once per plan; facts change under it. */
export interface PlanTarget extends ScoredTarget {
  readonly backend: Backend;
  readonly operations: ReadonlySet<string>;
  /** A request that goes there leaves the operator's own machines. */
  readonly leaves: boolean;
  /** The engine is up and loads its model. */
  readonly isLoading: boolean;
  /** Its machine is away, and can be woken. */
  readonly isAsleep: boolean;
  canAccept(): boolean;
}

/** What a plan is made from. */
export interface PlanFacts<T extends PlanTarget> extends ScoreFacts {
  /** Every target of the model, whatever its state. */
  targets: readonly T[];
  /** Whether a target that offers these operations can be asked, in its own dialect or translated. */
  canAsk(operations: ReadonlySet<string>): boolean;
  /** Whether the request may leave the operator's own machines. */
  mayLeave: boolean;
  /** Name or id of the only node that the caller wants, or null. */
  pinnedNode: string | null;
  /** Which of two targets policy wants first: -1, 0 or 1. Null: policy makes no difference. */
  prefers: ((a: T, b: T) => number) | null;
}

/**
 * Why a request waits: every target is full, or one loads its model, or one sleeps and can be woken, or an operator must
 * approve where it goes (policy's word, never a plan's).
 */
export type WaitReason = "busy" | "loading" | "asleep" | "approval";

/** Where a request goes, best first; or what it waits for. At least one target either way. */
export type Plan<T> = { wait: null; targets: T[] } | { wait: WaitReason; targets: T[] };

/** Most targets of one plan. More than one request tries (`gateway.limits.attempts`), since some may not be told it, or close meanwhile. */
export const MAX_PLANNED = 16;
/** Multiples of it, without what is before the point, are spread evenly from 0 to 1, however many of them one takes. */
const GOLDEN = 0.6180339887498949;
/** Suggested wait where a node may come back: an agent reconnects within seconds. */
const RETRY_AFTER_SECONDS = 5;

/**
 * Step 9: the targets to try, best first, by the strategy of the model (`scorer`) and before it by what policy prefers. Among
 * equals requests take turns.
 *
 * First come those that are free and well; then those that are just coming back and whose turn it is not; then full ones; last,
 * of those whose breaker is open, the one whose time is over first. The later ones are for retries only, with one exception:
 * where nobody could be waited for, a request goes to one whose breaker is open rather than nowhere.
 *
 * @throws PosternError `no_target` with `Retry-After` (nobody there now), `body_invalid` (the model serves no such operation anywhere).
 */
export function planAttempts<T extends PlanTarget>(facts: PlanFacts<T>): Plan<T> {
  const groups = sortOut(facts);
  const { free, returning, full, open, loading, asleep } = groups;
  if (free.length === 0 && returning.length > 0) free.push(...returning.splice(0));
  if (free.length > 0) {
    const targets = inOrder(free, facts);
    for (const rest of [returning, full]) if (rest.length > 0) targets.push(...inOrder(rest, facts));
    if (open.length > 0) targets.push(soonest(open, facts));
    if (targets.length > MAX_PLANNED) targets.length = MAX_PLANNED;
    return { wait: null, targets };
  }
  if (full.length > 0) return { wait: "busy", targets: full };
  if (loading.length > 0) return { wait: "loading", targets: loading };
  if (open.length > 0) return { wait: null, targets: [soonest(open, facts)] };
  if (asleep.length > 0) return { wait: "asleep", targets: asleep };
  throw refusal(groups, facts);
}

interface Groups<T> {
  free: T[];
  returning: T[];
  full: T[];
  open: T[];
  loading: T[];
  asleep: T[];
  allowed: number;
  wanted: number;
  used: number;
  /** Those of which it is known that they cannot be asked this. */
  unable: number;
}

function sortOut<T extends PlanTarget>(facts: PlanFacts<T>): Groups<T> {
  const { targets, canAsk, mayLeave, pinnedNode, routing, health, nowMs, turn } = facts;
  const isWeighted = routing.strategy === "weighted";
  const draw = (turn * GOLDEN) % 1;
  const groups: Groups<T> = {
    free: [],
    returning: [],
    full: [],
    open: [],
    loading: [],
    asleep: [],
    allowed: 0,
    wanted: 0,
    used: 0,
    unable: 0,
  };
  for (const target of targets) {
    if (!mayLeave && target.leaves) continue;
    groups.allowed++;
    if (pinnedNode !== null && !isOnNode(target, pinnedNode)) continue;
    groups.wanted++;
    if (isWeighted && routing.weightOf(target.id) <= 0) continue;
    groups.used++;
    // An engine that is away keeps the operations it had; none at all means that nothing is known of it yet.
    const isUnknown = target.operations.size === 0;
    if (!isUnknown && !canAsk(target.operations)) groups.unable++;
    else if (isUnknown || !target.canAccept()) {
      if (target.isLoading) groups.loading.push(target);
      else if (target.isAsleep) groups.asleep.push(target);
    } else {
      const share = health.share(target.id, nowMs);
      if (share <= 0) groups.open.push(target);
      else if (isFull(target)) groups.full.push(target);
      else if (share > draw) groups.free.push(target);
      else groups.returning.push(target);
    }
  }
  return groups;
}

/** Whether its engine runs as many requests as it can. */
export function isFull({ busy, slots }: Pick<ScoredTarget, "busy" | "slots">): boolean {
  return slots !== null && busy >= slots;
}

/** The best of them, at most `MAX_PLANNED`, in order. Equals stand in the order of a list that begins elsewhere at each turn. */
function inOrder<T extends PlanTarget>(from: readonly T[], facts: PlanFacts<T>): T[] {
  // As it is with one person and one GPU.
  if (from.length === 1) return [...from];
  const { prefers, turn } = facts;
  const scoreOf = scorer(prefers === null ? from : mostPreferred(from, prefers), facts);
  const best: T[] = [];
  const scores: number[] = [];
  const shift = turn % from.length;
  for (let step = 0; step < from.length; step++) {
    const index = shift + step;
    const target = from[index < from.length ? index : index - from.length] as T;
    const score = scoreOf(target);
    let place = Math.min(best.length, MAX_PLANNED - 1);
    if (best.length === MAX_PLANNED && !isBefore(place)) continue;
    // Moved by hand: this is the planning's inner loop, and two splices cost more than everything else in it.
    for (; place > 0 && isBefore(place - 1); place--) {
      best[place] = best[place - 1] as T;
      scores[place] = scores[place - 1] as number;
    }
    best[place] = target;
    scores[place] = score;

    function isBefore(other: number): boolean {
      const order = prefers === null ? 0 : prefers(target, best[other] as T);
      return order < 0 || (order === 0 && score < (scores[other] as number));
    }
  }
  return best;
}

function soonest<T extends PlanTarget>(open: readonly T[], { health }: PlanFacts<T>): T {
  return open.reduce((best, one) => (health.view(one.id).untilMs < health.view(best.id).untilMs ? one : best));
}

/** Those that policy wants as much as any other: among them a strategy may single one out. */
function mostPreferred<T>(from: readonly T[], prefers: (a: T, b: T) => number): T[] {
  const first = from.reduce((best, one) => (prefers(one, best) < 0 ? one : best));
  return from.filter((one) => prefers(one, first) === 0);
}

function isOnNode(target: PlanTarget, node: string): boolean {
  const { kind, name, id } = target.backend;
  return kind === "node" && (name === node || id === node);
}

/** Why there is no plan. */
function refusal<T extends PlanTarget>(groups: Groups<T>, { targets, pinnedNode }: PlanFacts<T>): PosternError {
  const { allowed, wanted, used, unable } = groups;
  if (allowed === 0 && targets.length > 0) {
    return new PosternError("no_target", {
      message: "The model runs in somebody else's cloud, and the request may not leave this one",
    });
  }
  if (used > 0 && unable === used) {
    return new PosternError("body_invalid", {
      message: "The model does not serve this kind of request",
      param: "model",
    });
  }
  const isPinned = pinnedNode !== null && (wanted === 0 || used > 0);
  return new PosternError("no_target", {
    retryAfterSeconds: RETRY_AFTER_SECONDS,
    ...(isPinned ? { message: "The machine that the request names does not serve this model now" } : {}),
  });
}
