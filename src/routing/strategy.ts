/** Names of the strategies, as the configuration has them; what each does stands in `score.ts`. */
export const STRATEGIES = ["least-busy", "weighted", "priority", "lowest-latency", "affinity"] as const;

/** How the targets of a model are put in order. */
export type Strategy = (typeof STRATEGIES)[number];

/** How one model is routed: what its operator wants, apart from what its targets are doing now. Never changes; a change is another one. */
export interface ModelRouting {
  readonly strategy: Strategy;
  /** Share of the requests that a target gets among its siblings, by its id; 0: none at all. Asked by `weighted` only. */
  weightOf(targetId: string): number;
  /** Place of a target in the operator's order, by its id, from 0. Asked by `priority` only. */
  rankOf(targetId: string): number;
}

/** Where the operator says nothing. */
export const DEFAULT_ROUTING: ModelRouting = { strategy: "least-busy", weightOf: () => 1, rankOf: () => 0 };
