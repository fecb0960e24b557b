import { PosternError } from "../../errors.ts";

/** What becomes of a caller's `keep_alive`. */
export type KeepAliveVerdict = "pass" | "remove" | { clampToSeconds: number };

/**
 * Judges how long a caller wants the model kept in memory. Zero unloads it for everybody, so that it never passes; negative
 * means for ever.
 *
 * @param value A number of seconds, or a duration as Go writes it (`"5m"`, `"1h30m"`).
 * @param maxSeconds Zero where it is not the caller's to say at all.
 * @throws PosternError `body_invalid` for a text that is no duration.
 */
export function judgeKeepAlive(value: number | string, maxSeconds: number): KeepAliveVerdict {
  const seconds = typeof value === "number" ? value : parseSeconds(value);
  if (seconds === null) {
    throw new PosternError("body_invalid", {
      message: '"keep_alive" must be a number of seconds or a duration such as "5m"',
      param: "keep_alive",
    });
  }
  if (seconds === 0 || maxSeconds <= 0) return "remove";
  return seconds < 0 || seconds > maxSeconds ? { clampToSeconds: maxSeconds } : "pass";
}

/** Whether a `keep_alive` asks for the model to be unloaded. */
export function isUnload(value: number | string): boolean {
  return (typeof value === "number" ? value : parseSeconds(value)) === 0;
}

const DURATION = /^([+-]?)((?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)$/;
const PART = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g;
const SECONDS: Record<string, number> = { ns: 1e-9, us: 1e-6, µs: 1e-6, μs: 1e-6, ms: 1e-3, s: 1, m: 60, h: 3600 };
/** Longest text that is looked at. */
const MAX_DURATION_LENGTH = 64;

/** @see https://pkg.go.dev/time#ParseDuration */
function parseSeconds(text: string): number | null {
  if (/^[+-]?0$/.test(text)) return 0;
  const [, sign, parts] = (text.length <= MAX_DURATION_LENGTH ? DURATION.exec(text) : null) ?? [];
  if (parts === undefined) return null;
  let seconds = 0;
  for (const [, amount, unit = ""] of parts.matchAll(PART)) seconds += Number(amount) * (SECONDS[unit] ?? 0);
  return sign === "-" ? -seconds : seconds;
}
