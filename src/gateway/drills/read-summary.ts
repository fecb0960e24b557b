import type { Keyring } from "../../access/keyring.ts";
import type { DrillRequest } from "../../continuity/drill/measure.ts";
import type { RequestSummary } from "../../proxy/observer.ts";

/** A request that is over, as a drill judges it; null where it is none: nobody's, or an answer of the gateway's own. */
export function readSummary(summary: RequestSummary, keyring: Keyring, nowMs: number): DrillRequest | null {
  const { opened, closed, keyId, status } = summary;
  if (keyId === null || (closed === null && status < 400)) return null;
  return {
    id: summary.id,
    model: opened?.model ?? null,
    workflow: keyring.find(keyId)?.policy.document.workflow ?? null,
    openedAtMs: opened?.openedAtMs ?? nowMs - summary.durationMs,
    durationMs: summary.durationMs,
    outcome: outcomeOf(summary),
    attempts: (closed?.attempts ?? []).map(({ target, startedAtMs, endedAtMs, status: answered, errorCode }) => ({
      target,
      startedAtMs,
      endedAtMs,
      ok: errorCode === null && answered === 200,
    })),
  };
}

function outcomeOf({ closed, status }: RequestSummary): DrillRequest["outcome"] {
  // Refused before anything was tried: a 4xx, one for a limit too, is not about what can be reached.
  if (closed === null) return status >= 500 ? "error" : "mistake";
  if (closed.outcome === "ok") return "ok";
  if (closed.outcome === "aborted") return "left";
  return status >= 400 && status < 500 && status !== 408 && status !== 429 ? "mistake" : "error";
}
