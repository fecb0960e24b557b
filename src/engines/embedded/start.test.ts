import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ManualClock } from "../../lib/clock.ts";
import { Secret } from "../../lib/secret.ts";
import { openProbe } from "../probe.ts";
import { sharedEngine } from "./__fixtures__/shared-engine.ts";
import { embeddedAdapter } from "./adapter.ts";
import { DEMO_SENTENCE, ensureDemoModel } from "./demo-model.ts";
import type { EngineProgress } from "./progress.ts";
import { type EmbeddedOptions, type EngineExit, startEmbedded } from "./start.ts";

const KEY = "k-of-the-test";
const engineFolder = await sharedEngine();

describe.skipIf(engineFolder === null)("startEmbedded()", () => {
  let dataFolder: string;
  let options: EmbeddedOptions;

  beforeAll(async () => {
    dataFolder = await mkdtemp(join(tmpdir(), "postern-start-"));
    options = { dataFolder, modelPath: null, apiKey: new Secret(KEY), engineFolder: engineFolder ?? "" };
  });
  afterAll(() => rm(dataFolder, { recursive: true, force: true }));

  async function chat(url: URL): Promise<{ status: number; text: string }> {
    const answer = await fetch(new URL("/v1/chat/completions", url), {
      method: "POST",
      headers: { authorization: `Bearer ${KEY}` },
      body: JSON.stringify({ messages: [{ role: "user", content: "hi" }] }),
    });
    return { status: answer.status, text: await answer.text() };
  }

  /** The exit of an engine, once it is gone. */
  function exitOf(engine: { onExit(callback: (exit: EngineExit) => void): void }): Promise<EngineExit> {
    return new Promise((resolve) => engine.onExit(resolve));
  }

  test("resolves when the engine answers, tells each phase, and stop() ends it for good", async () => {
    const progress: EngineProgress[] = [];
    const engine = await startEmbedded({ ...options, onProgress: (one) => progress.push(one) });
    expect(engine.modelName).toBe("postern-demo");
    expect(engine.url.hostname).toBe("127.0.0.1");
    expect((await chat(engine.url)).text).toContain(DEMO_SENTENCE);
    expect(progress.map((one) => one.phase)).toEqual(expect.arrayContaining(["model", "start", "ready"]));
    expect(await readdir(join(dataFolder, "models"))).toHaveLength(1);
    const exit = exitOf(engine);
    await Promise.all([engine.stop(), engine.stop()]);
    expect(await exit).toMatchObject({ isExpected: true });
    expect(await exitOf(engine)).toMatchObject({ isExpected: true });
    expect(() => process.kill(engine.pid, 0)).toThrow();
    await expect(fetch(new URL("/health", engine.url))).rejects.toThrow();
  });

  test.skipIf(process.platform !== "linux")("keeps the key and our secrets out of argv and environment", async () => {
    process.env["POSTERN_ADMIN_TOKEN"] = "psta_secret";
    const engine = await startEmbedded(options);
    try {
      const argv = await readFile(`/proc/${engine.pid}/cmdline`, "utf8");
      const environment = await readFile(`/proc/${engine.pid}/environ`, "utf8");
      expect(argv + environment).not.toContain(KEY);
      expect(environment).not.toContain("psta_secret");
    } finally {
      delete process.env["POSTERN_ADMIN_TOKEN"];
      await engine.stop();
    }
  });

  test("reports an engine that died by itself as unexpected", async () => {
    const engine = await startEmbedded(options);
    const exit = exitOf(engine);
    process.kill(engine.pid, "SIGKILL");
    expect(await exit).toMatchObject({ isExpected: false, signal: "SIGKILL" });
    await engine.stop();
  });

  test("leaves no engine behind when its parent is killed", async () => {
    const script = fileURLToPath(new URL("./__fixtures__/parent.ts", import.meta.url));
    const parent = spawn(process.execPath, [script, dataFolder, engineFolder ?? ""], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [port] = (await once(parent.stdout, "data")) as [Buffer];
    const socket = connect(Number(String(port).trim()), "127.0.0.1");
    await once(socket, "connect");
    const closed = once(socket, "close");
    socket.on("error", () => {});
    parent.kill("SIGKILL");
    await closed;
  });

  test("is recognised by its adapter, with context and slots", async () => {
    const engine = await startEmbedded({ ...options, contextLength: 1024, sequences: 3 });
    const probe = openProbe({ url: engine.url, host: engine.url.host, apiKey: new Secret(KEY) });
    try {
      const identity = await embeddedAdapter.identify(probe);
      expect(identity).toMatchObject({ kind: "embedded" });
      expect(await embeddedAdapter.read(probe, identity!)).toMatchObject({
        ready: true,
        slots: 3,
        models: [{ name: "postern-demo", loaded: true, contextLength: 1024 }],
      });
    } finally {
      await probe.close();
      await engine.stop();
    }
  });

  test("serves any GGUF file under the file's name", async () => {
    const modelPath = join(dataFolder, "My Model.Q4.gguf");
    await copyFile(await ensureDemoModel(join(dataFolder, "models")), modelPath);
    const engine = await startEmbedded({ ...options, modelPath });
    try {
      expect(engine.modelName).toBe("My Model.Q4");
      expect((await chat(engine.url)).text).toContain(DEMO_SENTENCE);
    } finally {
      await engine.stop();
    }
  });

  test("says so when a model has no chat template, and still completes", async () => {
    const modelPath = join(dataFolder, "no-template.gguf");
    const bytes = await readFile(await ensureDemoModel(join(dataFolder, "models")));
    bytes.write("tokenizer.chat_tamplate", bytes.indexOf("tokenizer.chat_template"));
    await writeFile(modelPath, bytes);
    const engine = await startEmbedded({ ...options, modelPath });
    try {
      const answer = await chat(engine.url);
      expect(answer.status).toBe(400);
      expect(answer.text).toContain("no chat template");
    } finally {
      await engine.stop();
    }
  });

  test("says in one line that llama.cpp does not take a model, and leaves no process", async () => {
    const modelPath = join(dataFolder, "alien.gguf");
    const bytes = await readFile(await ensureDemoModel(join(dataFolder, "models")));
    bytes.write("alien", bytes.indexOf("llama", bytes.indexOf("general.architecture")));
    await writeFile(modelPath, bytes);
    await expect(startEmbedded({ ...options, modelPath })).rejects.toMatchObject({
      code: "engine_start",
      message: "The embedded engine could not be started: llama.cpp could not load the model",
      hint: expect.stringContaining("GGUF"),
    });
  });

  test("says in one line that a model file lacks its end", async () => {
    const modelPath = join(dataFolder, "half.gguf");
    const bytes = await readFile(await ensureDemoModel(join(dataFolder, "models")));
    await writeFile(modelPath, bytes.subarray(0, bytes.length / 2));
    await expect(startEmbedded({ ...options, modelPath })).rejects.toMatchObject({ code: "engine_start" });
  });

  test("gives up when it is not ready in time", async () => {
    const clock = new ManualClock();
    const silent = join(dataFolder, "silent.mjs");
    await writeFile(silent, `process.on("message", () => {}); process.on("SIGTERM", () => process.exit(0));`);
    const started = startEmbedded({
      ...options,
      clock,
      startTimeLimitMs: 1_000,
      entry: new URL(`file://${silent}`),
      onProgress: (one) => {
        if (one.phase === "start") queueMicrotask(() => clock.advance(1_000));
      },
    });
    await expect(started).rejects.toMatchObject({ code: "engine_start", message: expect.stringContaining("in time") });
  });

  test("stops the child when it is cancelled on the way", async () => {
    const abort = new AbortController();
    const started = startEmbedded({
      ...options,
      signal: abort.signal,
      onProgress: (one) => {
        if (one.phase === "start") queueMicrotask(() => abort.abort());
      },
    });
    await expect(started).rejects.toMatchObject({
      code: "engine_start",
      message: expect.stringContaining("cancelled"),
    });
  });
});

describe("startEmbedded() without an engine", () => {
  test("says that a model file cannot be read before anything is installed", async () => {
    const dataFolder = join(tmpdir(), "postern-never-made");
    const options = { dataFolder, modelPath: "/nowhere/x.gguf", apiKey: new Secret(KEY) };
    await expect(startEmbedded(options)).rejects.toMatchObject({
      code: "engine_start",
      hint: expect.stringContaining("--model"),
    });
    expect(existsSync(dataFolder)).toBe(false);
  });

  test("says that the child's process could not be started when its script is missing", async () => {
    const dataFolder = await mkdtemp(join(tmpdir(), "postern-start-"));
    const entry = new URL(`file://${join(dataFolder, "missing.js")}`);
    const options = { dataFolder, modelPath: null, apiKey: new Secret(KEY), engineFolder: dataFolder, entry };
    await expect(startEmbedded(options)).rejects.toMatchObject({ code: "engine_start" });
    await rm(dataFolder, { recursive: true });
  });
});
