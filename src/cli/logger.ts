import { type Logger, pino, stdTimeFunctions } from "pino";
import type { LogLevel } from "../config/resolved.ts";

/**
 * The log of a long-running command: JSON lines on stderr, so that stdout stays for results.
 *
 * Synchronous writes: a line about a crash must be out before the process is.
 */
export function createLogger(level: LogLevel, part: "gateway" | "agent"): Logger {
  return pino(
    {
      level,
      base: { part },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.destination({ dest: 2, sync: true }),
  );
}
