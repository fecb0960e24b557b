import type { TrafficFindings } from "../../continuity/alerts/traffic-findings.ts";
import type { RequestSummary } from "../../proxy/observer.ts";

/** Counts a request for the rules about traffic. What callers did wrong counts for nothing: anybody could raise an alarm with it. */
export function countForAlerts(
  traffic: TrafficFindings,
  { status, opened, closed }: Pick<RequestSummary, "status" | "opened" | "closed">,
  monotonicMs: number,
): void {
  const isFailure = status >= 500 || closed?.outcome === "failed";
  if (!isFailure && closed?.outcome !== "ok") return;
  traffic.ended(
    { model: opened?.model ?? null, isFailure, firstTokenMs: closed?.timeToFirstTokenMs ?? null },
    monotonicMs,
  );
}
