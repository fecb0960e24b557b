import type { FaultKind, FaultScope } from "./fault.ts";
import type { DrillWindow } from "./window.ts";

/** Longest time that a drill may keep its fault up (reference: operations §10). */
export const MAX_DURATION_MS = 60 * 60_000;

/** What a synthetic request asks, in the name of a workflow. */
export interface DrillPrompt {
  /** Public name. */
  model: string;
  text: string;
  /** Whose keys' policy it is asked with; null: one that may use the model and nothing is kept from. */
  workflow: string | null;
  /** What a good answer contains, case left out of account; null: only a person can tell. */
  expect: string | null;
}

/** A failover drill, every default filled in. */
export interface DrillPlan {
  name: string;
  /** What should turn out to be true, in one sentence. */
  hypothesis: string | null;
  /** Who answers for it. */
  owner: string | null;
  fault: FaultKind;
  /** How late `slow-first-token` and `slow-link` are. */
  delayMs: number;
  scope: FaultScope;
  /** `gateway`: played where attempts begin. `system`: providers' addresses are blocked by the kernel (nftables). */
  block: "gateway" | "system";
  /** How long is measured before the fault. */
  beforeMs: number;
  /** How long the fault stays. */
  durationMs: number;
  /** Longest time that recovery is waited for. */
  afterMs: number;
  traffic: DrillTraffic;
  /** What ends it early. */
  stop: {
    /** Share of requests in scope that got an error, from `minRequests` on. */
    errorRatio: number;
    minRequests: number;
    /** Null: no limit. */
    p95Ms: number | null;
  };
  /** Rules whose alerts must have been delivered; `any` one of them; `none` are looked for. */
  alerts: "any" | "none" | readonly string[];
  /** Longest that a request may take to get to another target. */
  switchWithinMs: number;
  /** Good answers of what was blocked that make a recovery. */
  recoveries: number;
  /** `monthly`, `quarterly` or a cron line (UTC); null: only by hand. */
  schedule: string | null;
  /** When it may start; null: at any time. */
  window: DrillWindow | null;
}

export interface DrillTraffic {
  /** `synthetic`: the plan's prompts as well as what callers send. `real`: only what callers send. */
  kind: "synthetic" | "real";
  perMinute: number;
  /** Most prompts of one drill. */
  max: number;
  prompts: readonly DrillPrompt[];
}
