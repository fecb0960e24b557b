import { type DestinationStream, type Logger, pino } from "pino";
import type { LogLevel } from "../config/resolved.ts";

/** Bytes of log that may wait, and for how long: half of a pipe on Linux, so that a write seldom waits for its reader. */
const BUFFER_BYTES = 32 * 1024;
const WAIT_MS = 100;

/**
 * The log of a long-running command: JSON lines on stderr, so that stdout stays for results.
 *
 * Lines wait for a moment and leave together. Whatever still waits goes out when the process ends, in whichever way it
 * does, SIGKILL excepted.
 */
export function createLogger(level: LogLevel, part: "gateway" | "agent"): Logger {
  return pino(
    {
      level,
      base: { part },
      timestamp: isoTimes(Date.now),
      formatters: { level: (label) => ({ level: label }) },
    },
    collectLines(),
  );
}

/** Pino's own form of a time stamp. Lines come in bursts, and making one is a fifth of what a line costs: it is made once a millisecond. */
function isoTimes(nowMs: () => number): () => string {
  let madeAtMs = -1;
  let made = "";
  return () => {
    const ms = nowMs();
    if (ms !== madeAtMs) {
      madeAtMs = ms;
      made = `,"time":"${new Date(ms).toISOString()}"`;
    }
    return made;
  };
}

/** Collects here and not in the destination, whose own buffer waits for the disk (fsync) each time it is emptied on a timer. */
function collectLines(): DestinationStream {
  const destination = pino.destination({ dest: 2, sync: true });
  let waiting = "";
  let timer: NodeJS.Timeout | null = null;
  function send(): void {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    const text = waiting;
    waiting = "";
    if (text !== "") destination.write(text);
  }
  process.on("exit", () => {
    send();
    destination.flushSync();
  });
  return {
    write(line) {
      waiting += line;
      if (waiting.length >= BUFFER_BYTES) send();
      else timer ??= setTimeout(send, WAIT_MS).unref();
    },
  };
}
