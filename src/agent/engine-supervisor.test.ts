import { describe, expect, test } from "vitest";
import { PosternError } from "../errors.ts";
import { ManualClock } from "../lib/clock.ts";
import { EngineSupervisor, type SupervisedEngine } from "./engine-supervisor.ts";

const settled = () => new Promise(setImmediate);

/** A supervisor over engines that exist only on paper. */
function supervise(
  start?: (signal: AbortSignal) => Promise<SupervisedEngine>,
  isPassing?: (error: PosternError) => boolean,
) {
  const clock = new ManualClock();
  const events: string[] = [];
  const exits: Array<(exit: { isExpected: boolean }) => void> = [];
  async function startFake(): Promise<SupervisedEngine> {
    return {
      url: new URL("http://127.0.0.1:1"),
      stop: async () => void events.push("stop"),
      onExit: (callback) => void exits.push(callback),
    };
  }
  const supervisor = new EngineSupervisor({
    start: start ?? startFake,
    title: "The engine",
    ...(isPassing === undefined ? {} : { isPassing }),
    clock,
    onUp: async () => void events.push("up"),
    onDown: async () => void events.push("down"),
    onState: (state) => void events.push(state.name),
  });
  const crash = () => exits.at(-1)?.({ isExpected: false });
  return { supervisor, clock, events, crash };
}

describe("EngineSupervisor", () => {
  test("starts, and stops what it started", async () => {
    const { supervisor, events } = supervise();
    expect(supervisor.state.name).toBe("off");
    supervisor.start();
    await settled();
    await supervisor.stop();
    expect(events).toEqual(["starting", "up", "running", "stop"]);
  });

  test("starts a crashed engine again, later each time, and gives it up in the end", async () => {
    const { supervisor, clock, events, crash } = supervise();
    supervisor.start();
    await settled();
    for (const waitMs of [1_000, 2_000, 4_000, 8_000, 16_000]) {
      crash();
      await settled();
      expect(supervisor.state.name).toBe("waiting");
      clock.advance(waitMs - 1);
      await settled();
      expect(supervisor.state.name).toBe("waiting");
      clock.advance(1);
      await settled();
      expect(supervisor.state.name).toBe("running");
    }
    crash();
    await settled();
    expect(supervisor.state).toMatchObject({ name: "failed", error: { code: "engine_start" } });
    expect(clock.pendingTimers).toBe(0);
    expect(events.filter((event) => event === "down").length).toBe(6);
  });

  test("forgets crashes when the engine has run for a minute", async () => {
    const { supervisor, clock, crash } = supervise();
    supervisor.start();
    await settled();
    for (let round = 0; round < 10; round += 1) {
      clock.advance(60_000);
      crash();
      await settled();
      clock.advance(1_000);
      await settled();
      expect(supervisor.state.name).toBe("running");
    }
  });

  test("does not try again what a person has to cure", async () => {
    const error = new PosternError("engine_install", { message: "no npm" });
    const { supervisor, clock } = supervise(() => Promise.reject(error));
    supervisor.start();
    await settled();
    expect(supervisor.state).toEqual({ name: "failed", error });
    expect(clock.pendingTimers).toBe(0);
  });

  test("tries a first start again whose failure may pass, and says the last one when it gives up", async () => {
    const error = new PosternError("engine_start", { message: "the GPU's memory is still taken" });
    const { supervisor, clock } = supervise(
      () => Promise.reject(error),
      () => true,
    );
    supervisor.start();
    for (const waitMs of [1_000, 2_000, 4_000, 8_000, 16_000]) {
      await settled();
      expect(supervisor.state.name).toBe("waiting");
      clock.advance(waitMs);
    }
    await settled();
    expect(supervisor.state).toEqual({ name: "failed", error });
  });

  test("stop() ends a start that is under way, and one that waits", async () => {
    const waiting = supervise(
      (signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("stopped")))),
    );
    waiting.supervisor.start();
    await waiting.supervisor.stop();
    expect(waiting.events).toEqual(["starting"]);
    const crashed = supervise();
    crashed.supervisor.start();
    await settled();
    crashed.crash();
    await settled();
    await crashed.supervisor.stop();
    expect(crashed.clock.pendingTimers).toBe(0);
  });
});
