import type { EngineLoad } from "../tunnel/link.ts";
import type { ProbeAnswer } from "./engine.ts";
import { readMetrics } from "./metrics-text.ts";

/** Under which names an engine tells its load; several names of one signal are from older and newer versions. */
export interface LoadMetrics {
  running: readonly string[];
  queued: readonly string[];
  kvUse: readonly string[];
}

/** The load that a metrics answer tells; null when it is none, or tells nothing of it. */
export function readLoad(answer: ProbeAnswer | null, metrics: LoadMetrics): EngineLoad | null {
  if (answer?.status !== 200) return null;
  const wanted: Record<string, "sum" | "max"> = {};
  for (const name of [...metrics.running, ...metrics.queued]) wanted[name] = "sum";
  for (const name of metrics.kvUse) wanted[name] = "max";
  const found = readMetrics(answer.text, wanted);
  const first = (names: readonly string[]): number | null => {
    const name = names.find((one) => found.has(one));
    return name === undefined ? null : (found.get(name) ?? null);
  };
  return describeLoad(first(metrics.running), first(metrics.queued), first(metrics.kvUse));
}

/** A load in round numbers, so that a report is not sent anew for each thousandth; null when nothing is known. */
export function describeLoad(
  running: number | null,
  queued: number | null,
  kvUse: number | null = null,
): EngineLoad | null {
  if (running === null && queued === null && kvUse === null) return null;
  return {
    running: running === null ? null : toCount(running),
    queued: queued === null ? null : toCount(queued),
    kvUse: kvUse === null ? null : Math.min(1, Math.round(kvUse * 100) / 100),
  };
}

function toCount(value: number): number {
  return Math.min(Number.MAX_SAFE_INTEGER, Math.round(value));
}
