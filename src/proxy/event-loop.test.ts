import { afterEach, expect, it } from "vitest";
import { type DataPlane, startDataPlane } from "../../test/support/data-plane.ts";
import { LARGE_OPERATIONS, largeBodies } from "../../test/support/large-bodies.ts";
import { longestTurnMs, TURN_BOUND_MS } from "../../test/support/longest-turn.ts";
import type { PlayedTarget } from "../../test/support/played-target.ts";
import { DEFAULT_LIMITS } from "../config/defaults.ts";
import { operationById } from "../dialects/operations.ts";

// One event loop serves everybody: a body must not keep it to itself.

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

async function post(operation: string, body: Uint8Array<ArrayBuffer>): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${plane.port}${operationById(operation)?.path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${plane.key}` },
    body,
  });
  await response.text();
  expect(response.status).toBeLessThan(500);
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
        const ms = await longestTurnMs(() => post(id, bytes));
        const label = `${id}${isTranslated ? " translated" : ""}, ${sizeMiB} MiB of ${name}: ${ms.toFixed(0)} ms`;
        if (process.env["POSTERN_SHOW_TURNS"] !== undefined) process.stderr.write(`${label}\n`);
        if (ms > TURN_BOUND_MS) over.push(label);
      }
    }
    expect(over).toEqual([]);
  },
  240_000,
);
