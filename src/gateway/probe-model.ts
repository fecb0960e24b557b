import type { ProbeInput, ProbeResult } from "../admin/contract-models.ts";
import type { Clock } from "../lib/clock.ts";
import type { Catalogue } from "../proxy/target.ts";
import { probeTarget } from "./probe-target.ts";

/**
 * Sends one smallest request to one target of a model on a node, on the way that a caller's request takes from the gateway on.
 *
 * @param signal Gives up at once, and stops the engine.
 * @returns whether it answered 200, with the reason where it did not. Does not reject.
 */
export async function probeModel(
  { model, timeoutMs }: ProbeInput,
  signal: AbortSignal,
  catalogue: Catalogue,
  clock: Clock,
  newId: () => string,
): Promise<ProbeResult> {
  const startedMs = clock.monotonicMs();
  const target = catalogue.find(model)?.targets.find((one) => one.backend.kind === "node" && one.canAccept());
  const reason =
    target === undefined
      ? "no node that serves it is connected and ready"
      : await probeTarget(target, { clock, newId, timeoutMs, signal });
  const at = target === undefined ? null : target.backend.label;
  return { model, ok: reason === null, reason, target: at, durationMs: clock.monotonicMs() - startedMs };
}
