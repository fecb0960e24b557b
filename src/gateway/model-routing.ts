import type { ModelWeights } from "../routing/steering.ts";
import { DEFAULT_ROUTING, type ModelRouting, type Strategy } from "../routing/strategy.ts";

/** What the file says about a model's routing. */
export interface RoutingWish {
  /** Null: `weighted` where there are weights, else `least-busy`. */
  strategy: Strategy | null;
  /** Its targets as the file has them, in order, each with what it stands for now. */
  groups: ReadonlyArray<{ weight: number | null; targetIds: readonly string[] }>;
}

/** Weight of a target that was given none. */
const USUAL_WEIGHT = 1;

/** How a model is routed, from the file and from what the operator said since (`weights`, undefined: nothing). */
export function routingOf({ strategy, groups }: RoutingWish, weights: ModelWeights | undefined): ModelRouting {
  const hasWeights = weights !== undefined || groups.some(({ weight }) => weight !== null);
  if (strategy === null && !hasWeights) return DEFAULT_ROUTING;
  const given = new Map<string, number>();
  const ranks = new Map<string, number>();
  for (const [rank, { weight, targetIds }] of groups.entries()) {
    for (const id of targetIds) {
      if (ranks.has(id)) continue;
      ranks.set(id, rank);
      if (weight !== null) given.set(id, weight);
    }
  }
  for (const [id, weight] of Object.entries(weights ?? {})) given.set(id, weight);
  return {
    strategy: strategy ?? "weighted",
    weightOf: (id) => given.get(id) ?? USUAL_WEIGHT,
    rankOf: (id) => ranks.get(id) ?? groups.length,
  };
}
