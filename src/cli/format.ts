const MINUTE_MS = 60_000;
const UNITS: ReadonlyArray<readonly [number, string]> = [
  [365 * 24 * 60 * MINUTE_MS, "y"],
  [24 * 60 * MINUTE_MS, "d"],
  [60 * MINUTE_MS, "h"],
  [MINUTE_MS, "min"],
  [1000, "s"],
];

/** `2026-11-20 14:05` in UTC. */
export function formatTime(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 16).replace("T", " ")}Z`;
}

/** `3 min ago`, `in 2 d`, `now`. */
export function formatRelative(atMs: number, nowMs: number): string {
  const text = formatSpan(Math.abs(nowMs - atMs));
  if (text === null) return "now";
  return atMs <= nowMs ? `${text} ago` : `in ${text}`;
}

/** The span in its largest whole unit, or null below a second. */
function formatSpan(spanMs: number): string | null {
  const unit = UNITS.find(([sizeMs]) => spanMs >= sizeMs);
  return unit === undefined ? null : `${Math.floor(spanMs / unit[0])} ${unit[1]}`;
}

/** `1,234,567`. */
export function formatCount(value: number): string {
  return value.toLocaleString("en-US");
}

/** `3.4 GiB`. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const step = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** step;
  return `${step === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[step]}`;
}
