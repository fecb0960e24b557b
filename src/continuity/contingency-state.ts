import { z } from "zod";

/** When something happens: wall time for people and files, monotonic time for durations. */
export interface Moment {
  /** UTC. */
  nowMs: number;
  monotonicMs: number;
}

/** What put a scope into contingency. Each can be there at the same time as the others. */
export const CAUSES = ["command", "automatic", "schedule"] as const;
export type ContingencyCause = (typeof CAUSES)[number];

/** An operator's order to skip providers. */
export interface ContingencyOrder {
  /** Null: everything. */
  workflow: string | null;
  /** Why, for whoever reads it later. */
  reason: string;
  /** Who gave it. */
  by: string;
  /** Null: until it is taken back. */
  forMs: number | null;
}

/** When providers are skipped by themselves. */
export interface AutomaticRule {
  /** So many attempts at providers must have failed within `withinMs`. */
  failures: number;
  withinMs: number;
  /** And so large a part of all attempts at providers, 0 to 1. */
  share: number;
  /** How long it stays on before traffic is let back; doubled with each relapse. */
  holdMs: number;
  maxHoldMs: number;
}

/** A time at which providers are skipped by plan. */
export interface ContingencyWindow {
  workflow: string | null;
  reason: string;
  /** When it begins, as a cron line in UTC, already checked. */
  begins: string;
  lengthMs: number;
}

export interface ContingencyRules {
  /** How long the share of traffic that may use providers grows after the end, from the least share to all. */
  rampMs: number;
  /** Null: only people and schedules switch. */
  automatic: AutomaticRule | null;
  windows: readonly ContingencyWindow[];
}

/** What a request is told about providers. */
export interface ProviderVerdict {
  /** `contingency`: no provider, whatever happens. `returning`: other targets first, providers behind them. */
  state: "contingency" | "returning";
  cause: ContingencyCause;
  reason: string;
}

/** A change of a scope, for logs, metrics, alerts and the audit trail. */
export interface ContingencyChange {
  workflow: string | null;
  from: "normal" | "contingency" | "returning";
  to: "normal" | "contingency" | "returning";
  /** Of what it is in now, or was in until now. */
  cause: ContingencyCause;
  reason: string;
}

/** A scope as operators see it. */
export interface ScopeView {
  workflow: string | null;
  state: "contingency" | "returning";
  causes: Array<{
    cause: ContingencyCause;
    reason: string;
    by: string;
    sinceMs: number;
    /** Null: until somebody ends it. */
    expiresAtMs: number | null;
  }>;
  /** Part of the traffic that may use providers, 0 to 1. */
  share: number;
  /** When all of it may, as it looks now; null while in contingency. */
  normalAtMs: number | null;
}

const time = z.int().nonnegative();
const savedEntry = z.object({
  cause: z.enum(["command", "automatic"]),
  reason: z.string(),
  by: z.string(),
  sinceMs: time,
  forMs: time.nullable(),
  expiresAtMs: time.nullable(),
});
const savedState = z.object({
  version: z.literal(1),
  scopes: z.array(
    z.object({
      workflow: z.string().nullable(),
      entries: z.array(savedEntry),
      ramp: z.object({ endsAtMs: time, cause: z.enum(CAUSES), reason: z.string() }).nullable(),
    }),
  ),
  /** How often the automatic rule fired without a quiet time between. */
  relapses: z.int().nonnegative(),
  /** Windows of the schedule that somebody ended, until their end. */
  dismissed: z.array(z.object({ window: z.string(), untilMs: time })),
});

/** What survives a restart. */
export type SavedContingency = z.output<typeof savedState>;

export const NOTHING_SAVED: SavedContingency = { version: 1, scopes: [], relapses: 0, dismissed: [] };

/** Reads what was saved. Null where it is not readable; the caller says so and begins in the normal state. */
export function readContingency(bytes: Uint8Array | null): SavedContingency | null {
  if (bytes === null) return NOTHING_SAVED;
  try {
    return savedState.parse(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return null;
  }
}

export function writeContingency(saved: SavedContingency): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(saved));
}
