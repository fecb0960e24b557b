import type { Clock, Timer } from "../lib/clock.ts";

/** First look after the start: the journal has been replayed by then (see `UsageStore.prune`). */
const FIRST_AFTER_MS = 10 * 60 * 1000;
const EVERY_MS = 6 * 60 * 60 * 1000;

/**
 * Deletes what is older than its retention, now and then.
 *
 * @param prune Deletes what is from before then.
 * @param retentionMs Asked each time. Null keeps everything for ever.
 * @returns Stops it.
 */
export function keepRetention(
  prune: (beforeMs: number) => Promise<unknown>,
  retentionMs: () => number | null,
  clock: Clock,
  onFailure: (error: unknown) => void,
): () => void {
  let timer: Timer = clock.after(FIRST_AFTER_MS, look);
  function look(): void {
    timer = clock.after(EVERY_MS, look);
    const keptMs = retentionMs();
    if (keptMs !== null) prune(clock.nowMs() - keptMs).catch(onFailure);
  }
  return () => timer.cancel();
}
