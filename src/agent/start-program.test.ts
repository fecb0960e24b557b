import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { StartedEngineConfig } from "../config/agent-config.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import { Secret } from "../lib/secret.ts";
import type { SupervisedEngine } from "./engine-supervisor.ts";
import { type StartProgramOptions, startProgram } from "./start-program.ts";

const KEY = "a-key-that-nobody-may-see";
const PROGRAM = join(import.meta.dirname, "__fixtures__/fake-program.ts");
/** Waits are for people and GPUs; here they are fifty times shorter. */
const HASTY: Clock = { ...systemClock, after: (ms, callback) => systemClock.after(ms / 50, callback) };

let folder: string;
const started: SupervisedEngine[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "postern-program-"));
});
afterEach(async () => {
  for (const engine of started.splice(0)) await engine.stop();
  rmSync(folder, { recursive: true });
});

function config(changes: Partial<StartedEngineConfig> = {}, ...words: string[]): StartedEngineConfig {
  return {
    name: "box",
    kind: "llama-server",
    program: process.execPath,
    args: [PROGRAM, ...words],
    port: null,
    environment: {},
    ...changes,
  };
}

async function start(
  engine: StartedEngineConfig,
  options: Partial<StartProgramOptions> = {},
): Promise<SupervisedEngine> {
  const running = await startProgram({
    config: engine,
    apiKey: new Secret(KEY),
    folder,
    clock: HASTY,
    signal: new AbortController().signal,
    ...options,
  });
  started.push(running);
  return running;
}

const log = (): string => readFileSync(join(folder, "box.log"), "utf8");

describe("startProgram()", () => {
  test("resolves when the adapter says ready: on loopback, with a key that is in no list of processes and no log", async () => {
    const engine = await start(config({ environment: { EXTRA: "extra words" } }), {
      environment: { PATH: process.env["PATH"], POSTERN_ADMIN_TOKEN: "secret" },
    });
    expect(engine.url.hostname).toBe("127.0.0.1");
    expect((await fetch(new URL("/health", engine.url))).status).toBe(200);
    expect((await fetch(new URL("/props", engine.url))).status).toBe(401);
    const headers = { authorization: `Bearer ${KEY}` };
    expect((await fetch(new URL("/props", engine.url), { headers })).status).toBe(200);
    expect(log()).toContain(`--host 127.0.0.1 --port ${engine.url.port}`);
    expect(log()).toContain(`key of ${KEY.length} characters; extra words`);
    expect(log()).toContain("words on stderr");
    expect(log()).not.toContain(KEY);
  });

  test("says in one line that there is no such program, and where to name it", async () => {
    const error = await start(config({ program: "no-such-llama-server" })).catch((cause: unknown) => cause);
    expect(error).toMatchObject({
      code: "engine_start",
      message: 'Cannot start the engine "box": there is no program "no-such-llama-server"',
      hint: "Install llama.cpp, or give the program's path in agent.engines.box.start.program.",
      detail: { isMissing: true },
    });
  });

  test("says where to look when the program ends before it is ready", async () => {
    await expect(start(config({}, "ends-at-once"))).rejects.toMatchObject({
      message: 'Cannot start the engine "box": it ended before it was ready (exit code 3)',
      hint: `Look at ${join(folder, "box.log")}.`,
      detail: { isMissing: false },
    });
    expect(log()).toContain("started with");
  });

  test("gives up a program that is never ready, and one that is no longer wanted, and leaves no process", async () => {
    await expect(start(config({}, "never-ready"), { startLimitMs: 30_000 })).rejects.toThrow(
      "it was not ready in time",
    );
    const stop = new AbortController();
    const starting = start(config({}, "never-ready"), { signal: stop.signal });
    stop.abort();
    await expect(starting).rejects.toThrow("it was cancelled");
    expect(existsSync(join(folder, "box.process"))).toBe(false);
  });

  test("kills a program that does not end when it is asked to", async () => {
    const engine = await start(config({}, "ignores-sigterm"));
    const exit = new Promise((resolve) => engine.onExit(resolve));
    await engine.stop();
    expect(await exit).toMatchObject({ isExpected: true, signal: "SIGKILL" });
  });

  test("tells when the program is gone by itself", async () => {
    const engine = await start(config());
    const exit = new Promise((resolve) => engine.onExit(resolve));
    const { pid } = JSON.parse(readFileSync(join(folder, "box.process"), "utf8")) as { pid: number };
    process.kill(pid, "SIGKILL");
    expect(await exit).toMatchObject({ isExpected: false, signal: "SIGKILL" });
  });

  test.runIf(process.platform === "linux")("ends what a killed agent has left behind, and nothing else", async () => {
    const first = await start(config());
    const exit = new Promise((resolve) => first.onExit(resolve));
    const ended: number[] = [];
    // A second agent, which knows nothing of the first but its note.
    await start(config(), { onLeftover: (pid) => ended.push(pid) });
    expect(await exit).toMatchObject({ signal: "SIGKILL" });
    expect(ended).toHaveLength(1);
    await start(config({ name: "other" }), { onLeftover: (pid) => ended.push(pid) });
    expect(ended).toHaveLength(1);
  });

  test.skipIf(process.platform === "win32")(
    "runs vLLM's server by its command, with its own key variable",
    async () => {
      const program = join(folder, "vllm");
      writeFileSync(program, `#!/bin/sh\nexec "${process.execPath}" "${PROGRAM}" "$@"\n`, { mode: 0o755 });
      await start(config({ kind: "vllm", program, args: ["Qwen/Qwen3-8B"] }));
      expect(log()).toMatch(/^started with serve Qwen\/Qwen3-8B --host 127\.0\.0\.1 --port \d+; key of 25 characters/);
      const missing = await start(config({ kind: "vllm", program: join(folder, "none") })).catch(
        (error: unknown) => error,
      );
      expect(missing).toMatchObject({ hint: expect.stringContaining("Install vLLM") });
    },
  );
});
