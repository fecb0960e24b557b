// How long one turn of the event loop keeps everything else waiting. What is measured is processor time, because wall time on
// a machine that others use says nothing.

/** The longest that a turn may take, on the machine where `YARDSTICK_MS` was measured. */
export const TURN_BOUND_MS = 100;

/** What the yardstick takes on that machine. */
const YARDSTICK_MS = 34;
const YARDSTICK = JSON.stringify(
  Array.from({ length: 40_000 }, (_, index) => ({ name: `n${index}`, text: "x\n".repeat(40) })),
);
const TRIES = 3;

/**
 * Processor time of the longest turn of the event loop while a piece of work goes on, in milliseconds of the machine of the
 * bound: what seems to be over it is told against a known piece of work here and now, and gets two more tries.
 */
export async function longestTurnMs(work: () => Promise<void>): Promise<number> {
  let leastMs = Number.POSITIVE_INFINITY;
  for (let turn = 0; turn < TRIES && leastMs > TURN_BOUND_MS; turn++) {
    const stop = watchTurns();
    await work();
    const seenMs = stop();
    leastMs = Math.min(leastMs, seenMs > TURN_BOUND_MS ? seenMs / slowness() : seenMs);
  }
  return leastMs;
}

/** How much slower this machine is now than the one of the bound; never below 1. */
function slowness(): number {
  const times = Array.from({ length: 3 }, () => {
    const before = cpuMs();
    JSON.stringify(JSON.parse(YARDSTICK));
    return cpuMs() - before;
  });
  return Math.max(1, Math.min(...times) / YARDSTICK_MS);
}

/** Watches the turns of the loop until it is stopped. Returns the processor time of the longest. */
function watchTurns(): () => number {
  let longestMs = 0;
  let lastMs = cpuMs();
  let isOver = false;
  const turn = (): void => {
    const nowMs = cpuMs();
    longestMs = Math.max(longestMs, nowMs - lastMs);
    lastMs = nowMs;
    if (!isOver) setImmediate(turn);
  };
  setImmediate(turn);
  return () => {
    isOver = true;
    return Math.max(longestMs, cpuMs() - lastMs);
  };
}

/** Processor time of this thread. */
function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}
