/** A duration for people: `40 ms`, `1.2 s`, `3 min 20 s`. */
export function inSeconds(durationMs: number | null): string {
  if (durationMs === null) return "not measured";
  if (durationMs < 1_000) return `${Math.round(durationMs)} ms`;
  if (durationMs < 60_000) return `${(durationMs / 1_000).toFixed(1).replace(/\.0$/, "")} s`;
  const minutes = Math.floor(durationMs / 60_000);
  const seconds = Math.round((durationMs % 60_000) / 1_000);
  return seconds === 0 ? `${minutes} min` : `${minutes} min ${seconds} s`;
}

/** `2026-11-30 05:00:12 UTC`. */
export function inUtc(atMs: number | null): string {
  return atMs === null ? "–" : `${new Date(atMs).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}
