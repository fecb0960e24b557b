import { FAULTS } from "../../continuity/drill/fault.ts";
import { coversLabel } from "../../continuity/drill/measure.ts";
import type { DrillPlan } from "../../continuity/drill/plan.ts";
import type { DrillRecord } from "../../continuity/drill/record.ts";
import { isListed } from "../../lib/glob.ts";
import { probeTarget } from "../probe-target.ts";
import { blockedTargets } from "./drill-facts.ts";
import type { DrillParts } from "./drill-parts.ts";

const PROBE_TIMEOUT_MS = 20_000;

type Evidence = Pick<DrillRecord, "leaks" | "probes" | "alerts">;
type Window = Pick<DrillRecord, "blockedAtMs" | "unblockedAtMs">;

/**
 * What the gateway's other parts say about a drill's time, besides what the drill saw itself: the usage records, the blocked
 * targets when they are asked again, and the alerts. Does not reject.
 *
 * @param onTrouble Told what could not be found out.
 */
export async function collectEvidence(
  plan: DrillPlan,
  window: Window,
  parts: DrillParts,
  onTrouble: (text: string) => void,
): Promise<Evidence> {
  await parts.settleUsage();
  const { blockedAtMs } = window;
  const [leaks, probes, alerts] = await Promise.all([
    countLeaks(plan, window, parts).catch(() => {
      onTrouble("The usage records could not be read: leaks are those that the gateway saw while it ran");
      return 0;
    }),
    blockedAtMs === null ? [] : probeBlocked(plan, parts),
    blockedAtMs === null ? null : readAlerts(blockedAtMs, parts, onTrouble),
  ]);
  return { leaks, probes, alerts };
}

/** Asks one target of each thing that was blocked. */
export function probeBlocked(plan: DrillPlan, parts: DrillParts): Promise<DrillRecord["probes"]> {
  const groups = Map.groupBy(blockedTargets(plan, parts.targets()), ({ backend }) => backend.label);
  return Promise.all(
    [...groups].map(async ([target, [first, ...others]]) => {
      const one = [first, ...others].find((each) => each?.canAccept() === true) ?? first;
      const probe = { clock: parts.clock, newId: parts.newId, timeoutMs: PROBE_TIMEOUT_MS };
      const reason = one === undefined ? "it is gone" : await probeTarget(one, probe);
      return { target, ok: reason === null, reason };
    }),
  );
}

/** Good answers of what was blocked, by the usage records. With a share nobody can tell which requests were meant. */
async function countLeaks(plan: DrillPlan, { blockedAtMs, unblockedAtMs }: Window, parts: DrillParts): Promise<number> {
  const { scope, fault } = plan;
  if (blockedAtMs === null || unblockedAtMs === null || scope.share < 1 || !FAULTS[fault].blocks) return 0;
  const rows = await parts.store.usage.answered(blockedAtMs, unblockedAtMs);
  return rows
    .filter(({ target, keyId, model }) => {
      if (!coversLabel(scope, target) || !isListed(scope.models, model)) return false;
      const workflow = parts.keyring.find(keyId)?.policy.document.workflow ?? "";
      return scope.workflows === null || isListed(scope.workflows, workflow);
    })
    .reduce((sum, { requests }) => sum + requests, 0);
}

/** Null where no alerts are set up. */
async function readAlerts(
  sinceMs: number,
  parts: DrillParts,
  onTrouble: (text: string) => void,
): Promise<Evidence["alerts"]> {
  try {
    return await parts.alertsSince(sinceMs);
  } catch {
    onTrouble("The alerts could not be read");
    return [];
  }
}
