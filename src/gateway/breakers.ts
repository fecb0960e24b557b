import type { BreakerStatus } from "../admin/contract-status.ts";
import type { Clock } from "../lib/clock.ts";
import { type Target, targetLabel } from "../proxy/target.ts";
import type { BreakerState } from "../routing/circuit-breaker.ts";
import type { TargetHealths } from "../routing/target-health.ts";

/** The breaker of every target that there is, for the metric. */
export function* readBreakers(
  targets: Iterable<Target>,
  health: TargetHealths,
): Generator<{ target: string; state: BreakerState }> {
  for (const target of targets) yield { target: targetLabel(target), state: health.state(target.id) };
}

/** Those that are not closed, for people. */
export function viewBreakers(targets: Iterable<Target>, health: TargetHealths, clock: Clock): BreakerStatus[] {
  const views: BreakerStatus[] = [];
  for (const target of targets) {
    const { state, reason, untilMs } = health.view(target.id);
    if (state === "closed") continue;
    const leftMs = Math.max(0, untilMs - clock.monotonicMs());
    views.push({ target: targetLabel(target), state, reason, probeAtMs: Math.round(clock.nowMs() + leftMs) });
  }
  return views;
}
