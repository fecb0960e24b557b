import { mixHashes, unitOf } from "./hash.ts";
import type { ModelRouting } from "./strategy.ts";

/** What a strategy looks at in a target. */
export interface ScoredTarget {
  readonly id: string;
  /** Of the id, made once (`hashText`). */
  readonly hash: number;
  /** Requests at its engine: ours, and those that the engine says came past us. */
  readonly busy: number;
  /** Requests that its engine runs at once; null where nobody says. */
  readonly slots: number | null;
  /** Null where the engine does not say. */
  readonly isLoaded: boolean | null;
}

/** What attempts have shown about targets. `TargetHealths` is the real one. */
export interface PlanHealth {
  /** Share of the traffic that a target should get: 1 when it is well, 0 while its breaker is open. */
  share(targetId: string, nowMs: number): number;
  /** How busy it counts, given how busy it is: more while it fails, so that what fails at once does not look idle. */
  burden(targetId: string, busy: number, nowMs: number): number;
  /** Mean time to its first token; null where it has not answered yet. */
  latencyMs(targetId: string): number | null;
  /** Until when its breaker is open. */
  view(targetId: string): { untilMs: number };
}

/** Where nothing is known of any target. */
export const ALWAYS_WELL: PlanHealth = {
  share: () => 1,
  burden: (_id, busy) => busy,
  latencyMs: () => null,
  view: () => ({ untilMs: 0 }),
};

export interface ScoreFacts {
  routing: ModelRouting;
  health: PlanHealth;
  /** Another one for each request. */
  turn: number;
  /** Monotonic. */
  nowMs: number;
  /** What the request should find again: the hash of its session or of its prompt's beginning; null: nothing. Asked by `affinity` only. */
  affinityKey(): number | null;
}

/** Slots that an engine is taken to have where it does not say. Only how it compares with engines that do say depends on it. */
const ASSUMED_SLOTS = 4;
/** Loading a model takes longer than any queue. */
const COLD = 1e9;
/** One rank of `priority`: more than any load within a rank. */
const RANK = 1e6;
/** One request in so many goes to another target than the fastest, so that one that became fast again is noticed. */
export const EXPLORE_EVERY = 20;
/** How many requests more than the least busy target the one that has the prompt's beginning may have. */
const AFFINITY_SLACK = 1;

/**
 * How good each of these targets is for a request, by the strategy of its model: the smaller the better. Equals are equal; who
 * of them comes first is the caller's to say.
 *
 * - `least-busy`: the share of its slots that would be in use; models that must be loaded first come last.
 * - `weighted`: at random, each as often as its weight says; the same `turn` gives the same order.
 * - `priority`: the operator's order; the least busy within one rank.
 * - `lowest-latency`: the mean time to the first token, times how busy it is; one that has not answered yet counts as the fastest.
 * - `affinity`: where a request of its session, or with its prompt's beginning, went before (rendezvous hashing: nothing is
 *   remembered, and a target that comes or goes moves only its own), unless that one is busier than the least busy by more
 *   than one request; the others as `least-busy`.
 */
export function scorer<T extends ScoredTarget>(targets: readonly T[], facts: ScoreFacts): (target: T) => number {
  const { routing, turn } = facts;
  switch (routing.strategy) {
    case "least-busy":
      return (target) => leastBusy(target, facts);
    case "weighted":
      return (target) => -Math.log(unitOf(mixHashes(target.hash, turn))) / routing.weightOf(target.id);
    case "priority":
      return (target) => routing.rankOf(target.id) * RANK + Math.min(load(target, facts), RANK - 1);
    case "lowest-latency":
      return lowestLatency(targets, facts);
    case "affinity": {
      const pinned = findPinned(targets, facts);
      return (target) => (target === pinned ? -1 : leastBusy(target, facts));
    }
    default:
      return routing.strategy satisfies never;
  }
}

/** Share of the slots that would be in use with one request more. */
function load({ id, busy, slots }: ScoredTarget, { health, nowMs }: ScoreFacts): number {
  return (health.burden(id, busy, nowMs) + 1) / Math.max(1, slots ?? ASSUMED_SLOTS);
}

function leastBusy(target: ScoredTarget, facts: ScoreFacts): number {
  return load(target, facts) + (target.isLoaded === false ? COLD : 0);
}

function lowestLatency<T extends ScoredTarget>(targets: readonly T[], facts: ScoreFacts): (target: T) => number {
  const { health, turn } = facts;
  let fastestMs = Number.POSITIVE_INFINITY;
  for (const { id } of targets) fastestMs = Math.min(fastestMs, health.latencyMs(id) ?? Number.POSITIVE_INFINITY);
  const unknownMs = fastestMs === Number.POSITIVE_INFINITY ? 1 : fastestMs;
  const explored = turn % EXPLORE_EVERY === 0 ? targets[mixHashes(turn, 1) % targets.length] : null;
  return (target) => {
    if (target === explored) return -1;
    const cold = target.isLoaded === false ? COLD : 0;
    return cold + Math.max(1, health.latencyMs(target.id) ?? unknownMs) * load(target, facts);
  };
}

function findPinned<T extends ScoredTarget>(targets: readonly T[], facts: ScoreFacts): T | null {
  const { health, nowMs } = facts;
  const key = facts.affinityKey();
  if (key === null) return null;
  let least = Number.POSITIVE_INFINITY;
  let isAnyWarm = false;
  for (const target of targets) {
    least = Math.min(least, health.burden(target.id, target.busy, nowMs));
    isAnyWarm ||= target.isLoaded !== false;
  }
  let pinned: T | null = null;
  let highest = -1;
  for (const target of targets) {
    if (isAnyWarm && target.isLoaded === false) continue;
    if (health.burden(target.id, target.busy, nowMs) > least + AFFINITY_SLACK) continue;
    const hash = mixHashes(target.hash, key);
    if (hash <= highest) continue;
    highest = hash;
    pinned = target;
  }
  return pinned;
}
