import { afterEach, describe, expect, test } from "vitest";
import { ManualClock } from "../lib/clock.ts";
import {
  answer,
  answerFrom,
  type FakeAnswer,
  type FakeEngine,
  silent,
  startFakeEngine,
} from "./__fixtures__/fake-engine.ts";
import { ADAPTERS } from "./adapters.ts";
import { defaultAddresses, discoverEngines, uniqueName } from "./discover.ts";

const opened: FakeEngine[] = [];

afterEach(async () => {
  for (const engine of opened.splice(0)) await engine.close();
});

async function serve(behaviour: FakeAnswer): Promise<FakeEngine> {
  const engine = await startFakeEngine(behaviour);
  opened.push(engine);
  return engine;
}

const VLLM = answerFrom({
  "/version": { version: "0.32.0" },
  "/v1/models": { data: [{ id: "m", owned_by: "vllm" }] },
});
const OPENAI = answerFrom({ "/v1/models": { data: [{ id: "m", owned_by: "x" }] } });

describe("discoverEngines()", () => {
  test("finds what is there, tells the kind by what it says, and keeps the order of the addresses", async () => {
    const [compatible, vllm, nothing] = [
      await serve(OPENAI),
      await serve(VLLM),
      await serve(answer(404, "text/plain", "")),
    ];
    const gone = await serve(silent);
    await gone.close();
    const addresses = [compatible.url, nothing.url, gone.url, vllm.url];
    const found = await discoverEngines({ adapters: ADAPTERS, addresses });
    expect(found.map((engine) => [engine.identity.kind, engine.url.href])).toEqual([
      ["openai", compatible.url.href],
      ["vllm", vllm.url.href],
    ]);
  });

  test("does not wait for a server that is silent, and asks all at once", async () => {
    const clock = new ManualClock();
    const [first, second] = [await serve(silent), await serve(silent)];
    const bothAsked = Promise.all(
      [first, second].map((engine) => new Promise<void>((resolve) => engine.answerWith(() => resolve()))),
    );
    const search = discoverEngines({ adapters: ADAPTERS, addresses: [first.url, second.url], clock });
    await bothAsked;
    clock.advance(1_000);
    expect(await search).toEqual([]);
    expect(clock.pendingTimers).toBe(0);
  });

  test("never looks where Postern itself listens", async () => {
    const engine = await serve(OPENAI);
    const ownPorts = [Number(engine.url.port)];
    const addresses = [engine.url, new URL(`http://localhost:${engine.url.port}`)];
    expect(await discoverEngines({ adapters: ADAPTERS, addresses, ownPorts })).toEqual([]);
    expect(engine.requests).toEqual([]);
  });

  test("ends when told to", async () => {
    const engine = await serve(silent);
    const stop = new AbortController();
    engine.answerWith(() => stop.abort());
    expect(await discoverEngines({ adapters: ADAPTERS, addresses: [engine.url], signal: stop.signal })).toEqual([]);
  });
});

test("defaultAddresses() are the ports where engines usually listen, on loopback", () => {
  const ports = defaultAddresses(ADAPTERS).map((url) => Number(url.port));
  expect(ports.sort((a, b) => a - b)).toEqual([1234, 8000, 8080, 9931, 11434, 30000]);
  for (const url of defaultAddresses(ADAPTERS)) expect(url.hostname).toBe("127.0.0.1");
});

test("uniqueName() numbers from two", () => {
  expect(uniqueName("ollama", new Set())).toBe("ollama");
  expect(uniqueName("ollama", new Set(["ollama"]))).toBe("ollama-2");
  expect(uniqueName("ollama", new Set(["ollama", "ollama-2"]))).toBe("ollama-3");
});
