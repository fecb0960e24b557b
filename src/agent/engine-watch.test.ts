import { afterEach, describe, expect, test } from "vitest";
import { answerFrom, type FakeEngine, startFakeEngine } from "../engines/__fixtures__/fake-engine.ts";
import { ManualClock } from "../lib/clock.ts";
import { Secret } from "../lib/secret.ts";
import { EngineWatch, type EngineWatchOptions } from "./engine-watch.ts";
import type { EngineSettings } from "./watched-engine.ts";

const opened: Array<() => Promise<void>> = [];

afterEach(async () => {
  for (const close of opened.splice(0)) await close();
});

function models(...names: string[]) {
  return answerFrom({ "/v1/models": { data: names.map((id) => ({ id, owned_by: "x" })) } });
}

async function fake(...names: string[]): Promise<FakeEngine> {
  const engine = await startFakeEngine(models(...names));
  opened.push(() => engine.close());
  return engine;
}

function settings(name: string, url: URL, rest: Partial<EngineSettings> = {}): EngineSettings {
  return {
    name,
    url,
    kind: null,
    apiKey: null,
    host: null,
    caFile: null,
    serverName: null,
    exposureAccepted: false,
    ...rest,
  };
}

function watch(options: Partial<EngineWatchOptions>) {
  const clock = new ManualClock();
  let reads = 0;
  let waiting: (() => void) | null = null;
  const engines = new EngineWatch({
    engines: [],
    discover: false,
    clock,
    onRead: () => {
      reads += 1;
      waiting?.();
    },
    ...options,
  });
  opened.unshift(() => engines.stop());
  /** Moves the clock and waits for the reading that this brings about. */
  async function advance(byMs: number): Promise<void> {
    const read = new Promise<void>((resolve) => {
      waiting = resolve;
    });
    clock.advance(byMs);
    await read;
    waiting = null;
  }
  return { engines, clock, advance, reads: () => reads };
}

describe("EngineWatch", () => {
  test("reads named engines with their key, and finds others beside them", async () => {
    const named = await fake("a");
    const other = await fake("b");
    const { engines } = watch({
      engines: [settings("mine", named.url, { apiKey: new Secret("k"), kind: "openai" })],
      discover: true,
      addresses: [named.url, other.url],
    });
    await engines.start();
    expect(engines.list().map((engine) => [engine.name, engine.kind, [...engine.models.keys()]])).toEqual([
      ["mine", "openai", ["a"]],
      ["openai", "openai", ["b"]],
    ]);
    expect(named.requests.every((request) => request.headers["authorization"] === "Bearer k")).toBe(true);
    expect(other.requests.every((request) => request.headers["authorization"] === undefined)).toBe(true);
  });

  test("gives engines of one kind different names", async () => {
    const [one, two] = [await fake("a"), await fake("b")];
    const { engines } = watch({ discover: true, addresses: [one.url, two.url] });
    await engines.start();
    expect(engines.list().map((engine) => engine.name)).toEqual(["openai", "openai-2"]);
  });

  test("notices new models, an engine that goes, and its return", async () => {
    const engine = await fake("a");
    const { engines, advance } = watch({ engines: [settings("e", engine.url)] });
    await engines.start();
    engine.answerWith(models("a", "b"));
    await advance(5_000);
    expect(engines.find("e")?.report()).toMatchObject({ ready: true, models: [{ name: "a" }, { name: "b" }] });
    engine.answerWith(({ socket }) => socket.destroy());
    await advance(5_000);
    expect(engines.find("e")?.report()).toMatchObject({ ready: false, models: [], reason: "it does not answer" });
    engine.answerWith(models("c"));
    await advance(10_000);
    expect(engines.find("e")?.report()).toMatchObject({ ready: true, models: [{ name: "c" }] });
  });

  test("asks an engine that is away less and less often", async () => {
    const engine = await fake();
    engine.answerWith(({ socket }) => socket.destroy());
    const { engines, clock, advance, reads } = watch({ engines: [settings("e", engine.url)] });
    await engines.start();
    for (const waitMs of [5_000, 10_000, 20_000, 30_000, 30_000]) {
      const before = reads();
      clock.advance(waitMs - 1);
      expect(reads()).toBe(before);
      await advance(1);
    }
  });

  test("says why an engine that answers is not served", async () => {
    const locked = await fake();
    locked.answerWith(({ socket }) => socket.write("HTTP/1.1 401 X\r\nContent-Length: 0\r\n\r\n"));
    const odd = await fake();
    const { engines } = watch({
      engines: [settings("locked", locked.url), settings("odd", odd.url, { kind: "vllm" })],
    });
    await engines.start();
    expect(engines.find("locked")?.report().reason).toBe("it wants another API key than the one configured");
    expect(engines.find("odd")?.report().reason).toBe("it does not answer like vllm");
  });

  test("suspect() reads an engine before its turn, but not in a loop", async () => {
    const engine = await fake("a");
    const { engines, clock, advance, reads } = watch({ engines: [settings("e", engine.url)] });
    await engines.start();
    engines.suspect("e");
    engine.answerWith(({ socket }) => socket.destroy());
    clock.advance(600);
    expect(engines.find("e")?.state.ready).toBe(true);
    engines.suspect("e");
    await advance(0);
    expect(engines.find("e")?.state.ready).toBe(false);
    const before = reads();
    engines.suspect("e");
    clock.advance(0);
    expect(reads()).toBe(before);
  });

  test("finds an engine that is started later", async () => {
    const engine = await fake();
    engine.answerWith(({ socket }) => socket.destroy());
    const { engines, advance } = watch({ discover: true, addresses: [engine.url] });
    await engines.start();
    expect(engines.list()).toEqual([]);
    engine.answerWith(models("late"));
    await advance(15_000);
    await new Promise(setImmediate);
    expect([...(engines.list()[0]?.models.keys() ?? [])]).toEqual(["late"]);
  });

  test("leaves no timer behind", async () => {
    const engine = await fake("a");
    const { engines, clock } = watch({ engines: [settings("e", engine.url)], discover: true, addresses: [] });
    await engines.start();
    await engines.stop();
    expect(clock.pendingTimers).toBe(0);
  });
});
