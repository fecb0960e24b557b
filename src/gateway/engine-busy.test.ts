import { expect, test } from "vitest";
import type { EngineReport } from "../tunnel/link.ts";
import { EngineBusy } from "./engine-busy.ts";

function report(slots: number | null, running: number | null, queued: number | null = null): EngineReport {
  const load = running === null ? null : { running, queued, kvUse: null };
  return { name: "e", kind: "vllm", version: null, ready: true, reason: null, operations: [], models: [], slots, load };
}

test("EngineBusy counts our own attempts at once", () => {
  const engine = new EngineBusy();
  engine.began();
  engine.began();
  engine.ended();
  expect(engine.busy).toBe(1);
  expect(engine.slots).toBeNull();
});

test("EngineBusy adds what came past us, and takes none of ours for it", () => {
  const engine = new EngineBusy();
  engine.learn("c", report(4, 0));
  for (let count = 0; count < 3; count++) engine.began();
  // Read while all three ran and one of somebody else's with another in the queue; two of ours have ended since.
  engine.ended();
  engine.ended();
  engine.learn("c", report(4, 4, 1));
  expect(engine.busy).toBe(1 + 2);
  engine.learn("c", report(4, 1));
  expect(engine.busy).toBe(1);
});

test("EngineBusy adds up the slots of connectors, forgets those that left, and knows nothing where one does not say", () => {
  const engine = new EngineBusy();
  engine.learn("a", report(4, 1));
  engine.learn("b", report(2, 1));
  expect([engine.slots, engine.busy]).toEqual([6, 2]);
  engine.learn("b", null);
  expect([engine.slots, engine.busy]).toEqual([4, 1]);
  engine.learn("b", report(null, null));
  expect(engine.slots).toBeNull();
});
