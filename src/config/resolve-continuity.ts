import { DEFAULT_AUTOMATIC } from "./defaults.ts";
import { resolveDrill } from "./resolve-drills.ts";
import { addFault, type Resolving } from "./resolve-file.ts";
import type { ContinuityConfig } from "./resolved.ts";

/** `continuity` with its defaults. */
export function resolveContinuity(resolving: Resolving): ContinuityConfig {
  const { raw, base } = resolving;
  const { contingency = {}, approvals = {} } = raw.continuity ?? {};
  const { automatic } = contingency;
  const holdMs = automatic?.hold ?? DEFAULT_AUTOMATIC.holdMs;
  const maxHoldMs = automatic?.maxHold ?? Math.max(holdMs, DEFAULT_AUTOMATIC.maxHoldMs);
  if (maxHoldMs < holdMs) addFault(resolving, [...AUTOMATIC, "maxHold"], "must not be shorter than hold");
  return {
    approvals: {
      requests: approvals.requests ?? base.continuity.approvals.requests,
      waitMs: approvals.wait ?? base.continuity.approvals.waitMs,
    },
    drills: Object.entries(raw.continuity?.drills ?? {}).map(([name, one]) => resolveDrill(name, one)),
    contingency: {
      rampMs: contingency.ramp ?? base.continuity.contingency.rampMs,
      automatic:
        automatic === undefined
          ? null
          : {
              failures: automatic.failures ?? DEFAULT_AUTOMATIC.failures,
              withinMs: automatic.within ?? DEFAULT_AUTOMATIC.withinMs,
              share: automatic.share ?? DEFAULT_AUTOMATIC.share,
              holdMs,
              maxHoldMs,
            },
      windows: (contingency.schedule ?? []).map((window) => ({
        workflow: window.workflow ?? null,
        reason: window.reason,
        begins: window.begins,
        lengthMs: window.for,
      })),
    },
  };
}

const AUTOMATIC = ["continuity", "contingency", "automatic"];
