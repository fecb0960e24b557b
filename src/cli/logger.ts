import { type Logger, pino, stdTimeFunctions } from "pino";
import type { LogLevel } from "../config/resolved.ts";

/** Bytes of log that may wait, and for how long. */
const BUFFER_BYTES = 8 * 1024;
const FLUSH_EVERY_MS = 100;

/**
 * The log of a long-running command: JSON lines on stderr, so that stdout stays for results.
 *
 * Lines wait for a moment and leave together. Whatever still waits goes out when the process ends, in whichever way it
 * does, SIGKILL excepted.
 */
export function createLogger(level: LogLevel, part: "gateway" | "agent"): Logger {
  const destination = pino.destination({ dest: 2, sync: true, minLength: BUFFER_BYTES });
  setInterval(() => destination.flushSync(), FLUSH_EVERY_MS).unref();
  process.on("exit", () => destination.flushSync());
  return pino(
    {
      level,
      base: { part },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  );
}
