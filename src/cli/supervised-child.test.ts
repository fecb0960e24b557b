import type { ChildProcess } from "node:child_process";
import { EventEmitter } from "node:events";
import { expect, test } from "vitest";
import { ManualClock } from "../lib/clock.ts";
import type { ChildMessage } from "./child-protocol.ts";
import { SupervisedChild } from "./supervised-child.ts";

/** A process that does what the test says. Unlike a real one it ends only when told to by the test. */
class FakeProcess extends EventEmitter {
  readonly sent: unknown[] = [];
  readonly killed: string[] = [];
  connected = true;
  send(message: unknown): boolean {
    this.sent.push(message);
    return true;
  }
  kill(signal: string): boolean {
    this.killed.push(signal);
    return true;
  }
  end(code: number | null, signal: string | null = null): void {
    this.connected = false;
    this.emit("close", code, signal);
  }
}

function setUp() {
  const clock = new ManualClock();
  const processes: FakeProcess[] = [];
  const messages: ChildMessage[] = [];
  const delays: number[] = [];
  const child = new SupervisedChild({
    name: "gateway",
    clock,
    random: () => 1,
    spawn() {
      const started = new FakeProcess();
      processes.push(started);
      return started as unknown as ChildProcess;
    },
    onMessage: (message) => messages.push(message),
    onCrash: (_how, delayMs) => delays.push(delayMs),
  });
  child.start();
  return { child, clock, processes, messages, delays, last: () => processes.at(-1) as FakeProcess };
}

test("a child that crashes after it served is started again, ever later, and given up in the end", async () => {
  const { child, clock, delays, last, processes } = setUp();
  child.markServing();
  for (let crash = 0; crash < 10; crash++) {
    last().end(null, "SIGSEGV");
    clock.advance(30_000);
  }
  expect(delays).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000, 30_000]);
  expect(processes).toHaveLength(11);
  last().end(null, "SIGSEGV");
  await expect(child.gaveUp).resolves.toMatchObject({
    message: "The gateway crashed 11 times in a row (signal SIGSEGV)",
  });
  expect(clock.pendingTimers).toBe(0);
});

test("a child that ran for a minute has recovered", () => {
  const { child, clock, delays, last } = setUp();
  child.markServing();
  last().end(1);
  clock.advance(500);
  clock.advance(60_000);
  last().end(1);
  expect(delays).toEqual([500, 500]);
});

test("a child that never served is given up at once, with its own reason", async () => {
  const { child, last, processes } = setUp();
  last().emit("message", {
    type: "failed",
    code: "port_taken",
    message: "Cannot listen",
    hint: "Stop it.",
    isFinal: false,
  });
  last().end(1);
  await expect(child.gaveUp).resolves.toMatchObject({ code: "port_taken", message: "Cannot listen", hint: "Stop it." });
  expect(processes).toHaveLength(1);
});

test("a failure that a restart cannot cure is final", async () => {
  const { child, last, processes } = setUp();
  child.markServing();
  last().emit("message", { type: "failed", code: "store_newer", message: "newer", hint: null, isFinal: true });
  last().end(1);
  await expect(child.gaveUp).resolves.toMatchObject({ code: "store_newer" });
  expect(processes).toHaveLength(1);
});

test("drain() asks, waits for the end and starts nothing again", async () => {
  const { child, clock, last, processes } = setUp();
  child.markServing();
  const drained = child.drain();
  expect(last().sent).toEqual([{ type: "drain" }]);
  last().end(0);
  await drained;
  clock.advance(60_000);
  expect(processes).toHaveLength(1);
});

test("drain() between a crash and the restart cancels the restart", async () => {
  const { child, clock, last, processes } = setUp();
  child.markServing();
  last().end(1);
  await child.drain();
  clock.advance(60_000);
  expect(processes).toHaveLength(1);
});

test("kill() does not ask", () => {
  const { child, last } = setUp();
  child.kill();
  expect(last().killed).toEqual(["SIGKILL"]);
});

test("what is no message of the protocol is dropped", () => {
  const { last, messages } = setUp();
  for (const odd of [null, "x", {}, { type: "nonsense" }, { type: "agent-state", node: 5 }])
    last().emit("message", odd);
  expect(messages).toEqual([]);
});
