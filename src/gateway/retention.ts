import type { Clock, Timer } from "../lib/clock.ts";
import type { UsageStore } from "../storage/store.ts";

/** First look after the start: the journal has been replayed by then (see `UsageStore.prune`). */
const FIRST_AFTER_MS = 10 * 60 * 1000;
const EVERY_MS = 6 * 60 * 60 * 1000;

/**
 * Deletes requests older than the retention, now and then, in small steps. Daily totals stay.
 *
 * @param retentionMs Asked each time. Null keeps everything for ever.
 * @returns Stops it.
 */
export function keepRetention(
  usage: UsageStore,
  retentionMs: () => number | null,
  clock: Clock,
  onFailure: (error: unknown) => void,
): () => void {
  let timer: Timer = clock.after(FIRST_AFTER_MS, prune);
  function prune(): void {
    timer = clock.after(EVERY_MS, prune);
    const keptMs = retentionMs();
    if (keptMs !== null) usage.prune(clock.nowMs() - keptMs).catch(onFailure);
  }
  return () => timer.cancel();
}
