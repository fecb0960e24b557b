import { afterEach, expect, it } from "vitest";
import { type DataPlane, type PlayedTarget, startDataPlane } from "../../test/support/data-plane.ts";
import { LARGE_OPERATIONS, largeBodies } from "../../test/support/large-bodies.ts";
import { DEFAULT_LIMITS } from "../config/resolved.ts";
import { operationById } from "../dialects/operations.ts";

// One event loop serves everybody: a body must not keep it to itself. What is measured is the processor time of the longest
// turn of the loop, because wall time on a machine that others use says nothing; it is told against what a known piece of
// work takes here and now, and a body that is over the bound gets two more tries.

/** Longest turn on the machine where `YARDSTICK_MS` was measured. */
const BOUND_MS = 100;
/** What `yardstick` takes there. */
const YARDSTICK_MS = 34;
const TRIES = 3;
const MIB = 1024 * 1024;
/** The most of each kind: what is native up to the limits, what is translated up to `MAX_TRANSLATED_WORK`, of bytes or of values. */
const SIZES = [
  { isTranslated: false, sizeMiB: DEFAULT_LIMITS.bodyBytes / MIB, values: DEFAULT_LIMITS.jsonValues, isForAll: true },
  { isTranslated: true, sizeMiB: 11, values: 7_000, isForAll: false },
  { isTranslated: true, sizeMiB: 5.9, values: 48_000, isForAll: false },
  { isTranslated: true, sizeMiB: 1.5, values: 84_000, isForAll: true },
];
const MEASURED_CLOSELY: ReadonlySet<string> = new Set(["openai.chat", "anthropic.messages"]);
const TRANSLATED: Readonly<Record<string, string>> = {
  "openai.chat": "anthropic.messages",
  "openai.responses": "openai.chat",
  "anthropic.messages": "openai.chat",
  "ollama.chat": "openai.chat",
};

let plane: DataPlane;
let target: PlayedTarget;
afterEach(() => plane.close());

async function start(): Promise<void> {
  plane = await startDataPlane();
  [target] = plane.serve("m", "forge") as [PlayedTarget];
  const played = target.start.bind(target);
  target.start = (request, handler) => {
    const attempt = played(request, handler);
    setImmediate(() => target.attempts.pop()?.answer(422, { error: { message: "enough" } }));
    return attempt;
  };
}

/** Processor time of this thread, in milliseconds. */
function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

const YARDSTICK = JSON.stringify(
  Array.from({ length: 40_000 }, (_, index) => ({ name: `n${index}`, text: "x\n".repeat(40) })),
);

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
  const turn = () => {
    const nowMs = cpuMs();
    longestMs = Math.max(longestMs, nowMs - lastMs);
    lastMs = nowMs;
    if (!isOver) setImmediate(turn);
  };
  setImmediate(turn);
  return () => {
    isOver = true;
    return longestMs;
  };
}

async function longestTurnMs(operation: string, body: Uint8Array<ArrayBuffer>): Promise<number> {
  const stop = watchTurns();
  const response = await fetch(`http://127.0.0.1:${plane.port}${operationById(operation)?.path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${plane.key}` },
    body,
  });
  await response.text();
  expect(response.status).toBeLessThan(500);
  return stop();
}

it.each(LARGE_OPERATIONS)(
  "the largest bodies of %s leave the event loop to others, native and translated",
  async (id) => {
    await start();
    const over: string[] = [];
    for (const { isTranslated, sizeMiB, values, isForAll } of SIZES) {
      if (!isForAll && !MEASURED_CLOSELY.has(id)) continue;
      target.operations = new Set([isTranslated ? (TRANSLATED[id] ?? id) : id]);
      for (const { name, body } of largeBodies(id, sizeMiB, values)) {
        const bytes = new Uint8Array(Buffer.from(body));
        let ms = Number.POSITIVE_INFINITY;
        for (let turn = 0; turn < TRIES && ms > BOUND_MS; turn++) {
          const seenMs = await longestTurnMs(id, bytes);
          ms = Math.min(ms, seenMs > BOUND_MS ? seenMs / slowness() : seenMs);
        }
        const label = `${id}${isTranslated ? " translated" : ""}, ${sizeMiB} MiB of ${name}: ${ms.toFixed(0)} ms`;
        if (process.env["POSTERN_SHOW_TURNS"] !== undefined) process.stderr.write(`${label}\n`);
        if (ms > BOUND_MS) over.push(label);
      }
    }
    expect(over).toEqual([]);
  },
  240_000,
);
