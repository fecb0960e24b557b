import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openJournal } from "./journal.ts";
import { openSqliteStore } from "./sqlite/open-store.ts";

// The promise behind every bill: SIGKILL at any moment loses no acknowledged record and doubles none. A child process writes as
// fast as it can, with files and blocks so small that opening, draining, carrying over and deleting happen all the time, and
// says after each step what has been acknowledged. It is killed again and again over one data folder; then the store must
// hold exactly what was said.

const KILLS = 8;
/** Lines of acknowledgement after which a run is killed; odd, so that it falls on different steps. */
const LINES_PER_RUN = 977;

const CHILD = `
import { writeSync } from "node:fs";
const { openJournal } = await import(new URL("./journal.ts", process.argv[1]));
const { openSqliteStore } = await import(new URL("./sqlite/open-store.ts", process.argv[1]));
const { createUuidV7 } = await import(new URL("../lib/uuidv7.ts", process.argv[1]));
const folder = process.argv[2];
const uuid = createUuidV7();
const store = await openSqliteStore({ folder });
const journal = await openJournal({ folder, usage: store.usage, rotateBytes: 15000, blockBytes: 2000, drainIntervalMs: 1 });
const open = [];
function say(line) {
  for (;;) {
    try {
      return writeSync(1, line);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error; // The pipe is full: the parent reads in a moment.
    }
  }
}
function step() {
  for (let turn = 0; turn < 10; turn += 1) {
    const id = uuid();
    const record = journal.open({ id, endpointId: "default", keyId: "k", operation: "openai-chat", model: "demo", workflow: null,
      contingency: null, isStream: true, openedAtMs: Date.now(), requestBytes: 40 }, () => say("O " + id + "\\n"));
    open.push({ id, record });
    if (open.length < 4) continue;
    const [done] = open.splice(turn % 4, 1);
    done.record.close({ id: done.id, closedAtMs: Date.now(), outcome: "ok", status: 200, errorCode: null, tokensIn: 1,
      tokensInCached: 0, tokensOut: 1, tokensReasoning: null, isEstimated: false, timeToFirstTokenMs: 1, durationMs: 1, costMicros: 0,
      contingency: null, fallback: null, attempts: [] }, () => say("C " + done.id + "\\n"));
  }
  setImmediate(step);
}
step();
`;

it("SIGKILL at any moment loses no acknowledged record and doubles none", async () => {
  const folder = mkdtempSync(join(tmpdir(), "postern-kill-"));
  const opened = new Set<string>();
  const closed = new Set<string>();
  try {
    for (let kill = 0; kill < KILLS; kill += 1) {
      const child = spawn(process.execPath, ["--input-type=module", "--eval", CHILD, import.meta.url, folder], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      for (const line of await killAfter(child, LINES_PER_RUN + kill * 131)) {
        const [kind, id = ""] = line.split(" ");
        (kind === "O" ? opened : closed).add(id);
      }
    }

    const store = await openSqliteStore({ folder });
    const journal = await openJournal({ folder, usage: store.usage });
    await journal.drain();
    // Once more, as after a crash between taking in and deleting.
    await journal.stop();

    const everything = { sinceMs: 0, untilMs: Number.MAX_SAFE_INTEGER };
    const [total] = await store.usage.report({ by: "model", ...everything });
    const outcomes: Array<[string, string | undefined]> = [];
    for (const id of opened) outcomes.push([id, (await store.usage.request(id))?.outcome]);
    const missing = outcomes.filter(([, outcome]) => outcome === undefined);
    const wrong = outcomes.filter(([id, outcome]) => closed.has(id) && outcome !== "ok");
    const leftOpen = outcomes.filter(([, outcome]) => outcome === "interrupted");
    await store.close();

    expect(closed.size).toBeGreaterThan(KILLS * 400);
    expect(missing).toEqual([]);
    expect(wrong).toEqual([]);
    expect(leftOpen.length).toBeGreaterThanOrEqual(KILLS);
    // The child may have been killed between writing what one turn left and saying so: at most ten opened per run.
    expect(total?.requests).toBeGreaterThanOrEqual(opened.size);
    expect(total?.requests).toBeLessThanOrEqual(opened.size + KILLS * 10);
    // The sums were added once per request: each one that was not interrupted has one token out.
    expect(total?.tokensOut).toBe((total?.requests ?? 0) - (total?.failed ?? 0));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 240_000);

/** Whole lines that the child said before it died. */
async function killAfter(child: ChildProcess, lines: number): Promise<string[]> {
  let text = "";
  let count = 0;
  const output = child.stdout as NonNullable<typeof child.stdout>;
  output.setEncoding("utf8");
  output.on("data", (chunk: string) => {
    text += chunk;
    count += chunk.split("\n").length - 1;
    if (count >= lines) child.kill("SIGKILL");
  });
  await new Promise((resolve) => child.once("close", resolve));
  expect(child.signalCode).toBe("SIGKILL");
  return text.split("\n").slice(0, -1);
}
