import { afterEach, expect, test } from "vitest";
import { ManualClock } from "../lib/clock.ts";
import { ContingencyBook } from "./contingency-book.ts";
import { type ContingencyChange, type ContingencyRules, readContingency } from "./contingency-state.ts";

const HOUR = 3_600_000;
const RULES: ContingencyRules = {
  rampMs: 60_000,
  automatic: { failures: 2, withinMs: 60_000, share: 0.5, holdMs: 60_000, maxHoldMs: HOUR },
  windows: [],
};

interface Kept {
  bytes: Uint8Array | null;
  changes: ContingencyChange[];
}

let book: ContingencyBook;
afterEach(() => book.stop());

function open(clock: ManualClock, kept: Kept, isFailing: () => boolean = () => false) {
  const failures: unknown[] = [];
  book = new ContingencyBook({
    rules: RULES,
    clock,
    saved: kept.bytes,
    onChange() {},
    async save(bytes, changes) {
      if (isFailing()) throw new Error("full");
      kept.bytes = bytes;
      kept.changes.push(...changes);
    },
    onFailure: (error) => failures.push(error),
  });
  book.start();
  return { failures };
}

function order(kept: Kept, write = keeping(kept)): Promise<boolean> {
  return book.change((state, at) => state.on({ workflow: null, reason: "r", by: "ada", forMs: HOUR }, at), write);
}

function keeping(kept: Kept) {
  return async (bytes: Uint8Array) => {
    kept.bytes = bytes;
  };
}

/** Lets what was begun be written. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
}

test("what changed by itself just before the end is there after the next start", async () => {
  const kept: Kept = { bytes: null, changes: [] };
  open(new ManualClock(), kept);
  for (let time = 0; time < 2; time++) book.outcome(true, () => true);
  await book.stop();
  expect(kept.changes).toMatchObject([{ to: "contingency", cause: "automatic" }]);
  expect(readContingency(kept.bytes)?.scopes).toHaveLength(1);
});

test("an order counts once it is written, and only then", async () => {
  const kept: Kept = { bytes: null, changes: [] };
  open(new ManualClock(), kept);
  let written: () => void = () => {};
  const given = order(
    kept,
    (bytes) =>
      new Promise((resolve) => {
        written = () => {
          kept.bytes = bytes;
          resolve(undefined);
        };
      }),
  );
  await settled();
  expect(book.verdict(undefined, true)).toBeNull();
  written();
  expect(await given).toBe(true);
  expect(book.verdict(undefined, true)?.state).toBe("contingency");
  expect(readContingency(kept.bytes)?.scopes[0]?.entries[0]?.by).toBe("ada");
});

test("an order that cannot be written changes nothing, and the next one works", async () => {
  const kept: Kept = { bytes: null, changes: [] };
  open(new ManualClock(), kept);
  await expect(order(kept, () => Promise.reject(new Error("full")))).rejects.toThrow("full");
  expect(book.view()).toEqual([]);
  expect(await order(kept)).toBe(true);
});

test("what changes by itself is written with what changed, again and again until the store takes it", async () => {
  const clock = new ManualClock();
  const kept: Kept = { bytes: null, changes: [] };
  let isFull = true;
  const { failures } = open(clock, kept, () => isFull);
  book.outcome(true, () => true);
  book.outcome(true, () => true);
  clock.advance(1000);
  await settled();
  expect(failures).toHaveLength(1);
  expect(kept.bytes).toBeNull();
  isFull = false;
  clock.advance(1000);
  await settled();
  expect(kept.changes.map(({ to, cause }) => [to, cause])).toEqual([["contingency", "automatic"]]);
  clock.advance(60_000);
  await settled();
  expect(kept.changes.at(-1)).toMatchObject({ from: "contingency", to: "returning" });
});

test("its state is the same after a restart, and after one behind a jump of the wall clock", async () => {
  const clock = new ManualClock();
  const kept: Kept = { bytes: null, changes: [] };
  open(clock, kept);
  await order(kept);
  clock.jump(48 * HOUR);
  clock.advance(1000);
  await settled();
  await book.stop();
  open(clock, kept);
  expect(book.verdict("any", true)?.state).toBe("contingency");
  clock.advance(HOUR);
  await settled();
  expect(book.verdict("any", true)?.state ?? "normal").not.toBe("contingency");
});

test("leaves no timer behind", async () => {
  const clock = new ManualClock();
  open(clock, { bytes: null, changes: [] });
  expect(clock.pendingTimers).toBe(1);
  await book.stop();
  expect(clock.pendingTimers).toBe(0);
});
