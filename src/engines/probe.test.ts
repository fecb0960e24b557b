import { afterEach, describe, expect, test } from "vitest";
import { ManualClock } from "../lib/clock.ts";
import { Secret } from "../lib/secret.ts";
import { answer, type FakeEngine, gone, raw, silent, startFakeEngine } from "./__fixtures__/fake-engine.ts";
import { MAX_PROBE_BYTES, type OpenProbe, openProbe, type ProbeOptions } from "./probe.ts";

const opened: Array<() => Promise<void>> = [];

afterEach(async () => {
  for (const close of opened.splice(0)) await close();
});

async function probing(
  behaviour = silent,
  options: Partial<ProbeOptions> = {},
): Promise<{ engine: FakeEngine; probe: OpenProbe }> {
  const engine = await startFakeEngine(behaviour);
  const probe = openProbe({ url: engine.url, host: "localhost:7", apiKey: null, ...options });
  opened.push(
    () => probe.close(),
    () => engine.close(),
  );
  return { engine, probe };
}

describe("openProbe()", () => {
  test("reads status, headers and body, with the host and key that it was given", async () => {
    const { engine, probe } = await probing(answer(200, "application/json", '{"a":1}', ["X-A: b"]), {
      apiKey: new Secret("k"),
    });
    const read = await probe.get("/health");
    expect(read).toMatchObject({ status: 200, text: '{"a":1}' });
    expect(read.headers["x-a"]).toBe("b");
    expect(read.json()).toEqual({ a: 1 });
    expect(engine.requests[0]).toMatchObject({ method: "GET", path: "/health" });
    expect(engine.requests[0]?.headers).toMatchObject({ host: "localhost:7", authorization: "Bearer k" });
  });

  test("follows no redirect", async () => {
    const { engine, probe } = await probing(raw("HTTP/1.1 302 X\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"));
    expect((await probe.get("/health")).status).toBe(302);
    expect(engine.requests.length).toBe(1);
  });

  test("gives up on what is longer than its bound, told so or not", async () => {
    const long = "x".repeat(MAX_PROBE_BYTES + 1);
    const { engine, probe } = await probing(answer(200, "text/plain", long));
    await expect(probe.get("/a")).rejects.toThrow("longer");
    engine.answerWith(
      raw(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${(MAX_PROBE_BYTES + 1).toString(16)}\r\n${long}`),
    );
    await expect(probe.get("/b")).rejects.toThrow("longer");
  });

  test.each([
    ["says nothing", silent],
    ["stops in the middle", raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")],
  ])("gives up on an engine that %s when its time is over", async (_name, behaviour) => {
    const clock = new ManualClock();
    const { engine, probe } = await probing(behaviour, { clock, timeoutMs: 1_000 });
    const asked = new Promise<void>((resolve) =>
      engine.answerWith((request) => {
        behaviour(request);
        resolve();
      }),
    );
    const read = probe.get("/health");
    const refused = expect(read).rejects.toThrow("no whole answer in 1000 ms");
    await asked;
    clock.advance(1_000);
    await refused;
    await gone(engine.requests[0]?.socket);
    expect(clock.pendingTimers).toBe(0);
  });

  test("close() ends what runs and refuses what comes", async () => {
    const { engine, probe } = await probing();
    const asked = new Promise<void>((resolve) => engine.answerWith(() => resolve()));
    const refused = expect(probe.get("/health")).rejects.toThrow();
    await asked;
    await probe.close();
    await refused;
    await expect(probe.get("/health")).rejects.toThrow();
  });
});
