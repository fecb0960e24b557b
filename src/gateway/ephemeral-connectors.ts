import type { Clock, Timer } from "../lib/clock.ts";
import type { Directory } from "./directory.ts";

/** How long an ephemeral connector (a pod) may be away before it is forgotten. */
const FORGET_AFTER_MS = 60 * 60 * 1000;
const LOOK_EVERY_MS = 5 * 60 * 1000;

export interface EphemeralParts {
  directory: Pick<Directory, "staleEphemerals" | "forget">;
  /** Whether the connector has a link now. */
  isConnected(connectorId: string): boolean;
  /** A connector was forgotten; what it reported goes too. */
  onForgotten(connectorId: string): void;
  onFailure(error: unknown): void;
}

/**
 * Forgets connectors that joined with an `--ephemeral` invitation some time after they went away, so that a deployment whose
 * pods come and go does not fill the list of keys that open something.
 *
 * @returns Stops it.
 */
export function forgetEphemeralConnectors(parts: EphemeralParts, clock: Clock): () => void {
  let timer: Timer = clock.after(LOOK_EVERY_MS, look);
  function look(): void {
    timer = clock.after(LOOK_EVERY_MS, look);
    for (const { id } of parts.directory.staleEphemerals(clock.nowMs() - FORGET_AFTER_MS)) {
      if (parts.isConnected(id)) continue;
      parts.directory.forget(id).then(() => parts.onForgotten(id), parts.onFailure);
    }
  }
  return () => timer.cancel();
}
