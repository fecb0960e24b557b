import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { operationById } from "../dialects/operations.ts";
import type { ModelReport } from "../tunnel/link.ts";
import {
  answer,
  answerFrom,
  type FakeAnswer,
  type FakeEngine,
  raw,
  startFakeEngine,
} from "./__fixtures__/fake-engine.ts";
import { ADAPTERS, adapterOf } from "./adapters.ts";
import type { EngineState } from "./engine.ts";
import { plainHostHeader } from "./engine-url.ts";
import { type IdentifiedEngine, identifyEngine } from "./identify.ts";
import { MAX_PROBE_BYTES, openProbe } from "./probe.ts";

/** Paths that adapters may read: none of them loads or wakes a model, changes anything, or shows a prompt (engine-apis §1). */
const HARMLESS_PATHS: readonly string[] = [
  "/health",
  "/version",
  "/props",
  "/v1/models",
  "/get_model_info",
  "/get_server_info",
  "/api/version",
  "/api/tags",
  "/api/ps",
  "/api/v0/models",
  "/api/v1/models",
];

const opened: FakeEngine[] = [];

afterEach(async () => {
  for (const engine of opened.splice(0)) await engine.close();
});

async function serve(behaviour: FakeAnswer): Promise<FakeEngine> {
  const engine = await startFakeEngine(behaviour);
  opened.push(engine);
  return engine;
}

function replies(file: string): Record<string, unknown> {
  return JSON.parse(readFileSync(join(import.meta.dirname, file), "utf8")) as Record<string, unknown>;
}

async function identify(engine: FakeEngine): Promise<IdentifiedEngine | null> {
  const probe = openProbe({ url: engine.url, host: plainHostHeader(engine.url), apiKey: null });
  try {
    return await identifyEngine(probe, ADAPTERS);
  } finally {
    await probe.close();
  }
}

async function read(engine: FakeEngine): Promise<{ kind: string; version: string | null; state: EngineState }> {
  const found = await identify(engine);
  if (found === null) throw new Error("not identified");
  const probe = openProbe({ url: engine.url, host: found.adapter.hostHeader(engine.url), apiKey: null });
  try {
    const state = await found.adapter.read(probe, found.identity);
    return { kind: found.identity.kind, version: found.identity.version, state };
  } finally {
    await probe.close();
  }
}

function model(report: Partial<ModelReport>): ModelReport {
  return {
    name: "",
    loaded: null,
    contextLength: null,
    sizeBytes: null,
    quantization: null,
    capabilities: [],
    remote: false,
    ...report,
  };
}

const FILES = readdirSync(import.meta.dirname, { recursive: true, encoding: "utf8" }).filter((file) =>
  /^[^/\\]+[/\\]__fixtures__[/\\][^/\\]+\.json$/.test(file),
);

describe("every adapter", () => {
  test("has replies to be tested with", () => {
    const kinds = new Set(FILES.map((file) => file.split(/[/\\]/)[0]));
    expect([...kinds].sort()).toEqual(ADAPTERS.map((adapter) => adapter.kind).sort());
  });

  test.each(FILES)("knows its own server by what it says, on any port, and only reads: %s", async (file) => {
    const engine = await serve(answerFrom(replies(file)));
    const { kind, state } = await read(engine);
    expect(kind).toBe(file.split(/[/\\]/)[0]);
    expect(state.ready).toBe(state.reason === null);
    expect(state.ready).toBe(state.models.length > 0);
    for (const request of engine.requests) {
      expect(request.method).toBe("GET");
      expect(HARMLESS_PATHS).toContain(request.path);
    }
  });

  test.each(ADAPTERS.map((adapter) => [adapter.kind, adapter] as const))("%s keeps the contract", (kind, adapter) => {
    expect(adapterOf(kind)).toBe(adapter);
    const operations = adapter.operations({ kind, version: null });
    expect(operations.length).toBeGreaterThan(0);
    for (const id of operations) expect(operationById(id)?.kind).toBe("infer");
    expect(adapter.hostHeader(new URL("https://gpu.example:8443"))).toBe("gpu.example:8443");
    expect(new Set(ADAPTERS.flatMap((one) => one.defaultPorts)).size).toBe(
      ADAPTERS.flatMap((one) => one.defaultPorts).length,
    );
  });

  const odd: Record<string, FakeAnswer> = {
    "an empty object everywhere": answer(200, "application/json", "{}"),
    "a list everywhere": answer(200, "application/json", "[]"),
    "null everywhere": answer(200, "application/json", "null"),
    "wrong types everywhere": answer(200, "application/json", '{"version":5,"models":{},"data":"x","model_path":[]}'),
    "entries of nothing": answer(200, "application/json", '{"data":[null,1,"x",{}],"models":[null,1,"x",{}]}'),
    "pages for people": answer(200, "text/html", "<html>"),
    "no JSON": answer(200, "application/json", '{"data":'),
    "too much": answer(200, "application/json", `{"data":["${"x".repeat(MAX_PROBE_BYTES)}"]}`),
    redirects: raw("HTTP/1.1 302 Found\r\nLocation: /api/pull\r\nContent-Length: 0\r\n\r\n"),
    "another protocol": raw("SSH-2.0-OpenSSH_9.2\r\n"),
    "the end of the connection": ({ socket }) => socket.end(),
  };

  test.each(Object.entries(odd))("neither knows nor trips over a server that says %s", async (_name, behaviour) => {
    const engine = await serve(behaviour);
    expect(await identify(engine)).toBeNull();
    for (const adapter of ADAPTERS) {
      const probe = openProbe({ url: engine.url, host: "localhost", apiKey: null });
      const state = await adapter.read(probe, { kind: adapter.kind, version: null });
      await probe.close();
      expect(state.models).toEqual([]);
      expect(state.ready || state.reason !== null).toBe(true);
    }
  });

  test("leaves out models whose names could be mistaken or could hurt a terminal", async () => {
    const data = ["ok-1", "org/model:7b Q4", "", " a", "a\nb", "a\u001b[31m", 'a"b', "a\u202eb", "x".repeat(201)].map(
      (id) => ({
        id,
        owned_by: "somebody",
      }),
    );
    const { state } = await read(await serve(answerFrom({ "/v1/models": { data } })));
    expect(state.models.map((one) => one.name)).toEqual(["ok-1", "org/model:7b Q4"]);
  });
});

describe("identifyEngine()", () => {
  test("does not take a Postern gateway for an engine", async () => {
    const body = JSON.stringify({ object: "list", data: [{ id: "m", owned_by: "postern" }] });
    const engine = await serve(answer(200, "application/json", body, ["X-Postern-Overhead-Ms: 1"]));
    expect(await identify(engine)).toBeNull();
  });

  test("asks a server that hangs up only once", async () => {
    const engine = await serve(({ socket }) => socket.end());
    expect(await identify(engine)).toBeNull();
    expect(engine.requests.length).toBe(1);
  });
});

describe("adapters read what their servers say", () => {
  const read1 = async (file: string) => read(await serve(answerFrom(replies(file))));

  test("ollama: installed, loaded, and what would leave the machine", async () => {
    const { version, state } = await read1("ollama/__fixtures__/ollama-0.33.handwritten.json");
    expect(version).toBe("0.33.0");
    expect(state.models).toEqual([
      model({
        name: "qwen3:8b",
        loaded: true,
        contextLength: 32768,
        sizeBytes: 5225388164,
        quantization: "Q4_K_M",
        capabilities: ["completion", "tools", "thinking"],
      }),
      model({ name: "nomic-embed-text:latest", loaded: false, sizeBytes: 274302450, quantization: "F16" }),
      model({ name: "gpt-oss:120b-cloud", loaded: false, sizeBytes: 384, quantization: "MXFP4", remote: true }),
      model({ name: "helper:latest", loaded: false, sizeBytes: 384, remote: true }),
    ]);
  });

  test("ollama: needs the name that it knows on loopback", () => {
    const { hostHeader } = adapterOf("ollama");
    expect(hostHeader(new URL("http://127.0.0.1:11434"))).toBe("localhost:11434");
    expect(hostHeader(new URL("http://[::1]:11434"))).toBe("localhost:11434");
    expect(hostHeader(new URL("http://gpu.lan:11434"))).toBe("gpu.lan:11434");
  });

  test("llama-server: one model, named without its folder", async () => {
    const { version, state } = await read1("llama-server/__fixtures__/llama-server-2026-08.handwritten.json");
    expect(version).toBe("b10488-00dc8057");
    expect(state).toEqual({
      ready: true,
      reason: null,
      slots: 4,
      models: [
        model({ name: "Meta-Llama-3.1-8B-Instruct-Q4_K_M", loaded: true, contextLength: 8192, sizeBytes: 4912898304 }),
      ],
    });
  });

  test("llama-server: a router's models and which of them are loaded", async () => {
    const { state } = await read1("llama-server/__fixtures__/llama-server-2026-08-router.handwritten.json");
    expect(state.slots).toBeNull();
    expect(state.models.map((one) => [one.name, one.loaded])).toEqual([
      ["ggml-org/gemma-3-4b-it-GGUF:Q4_K_M", true],
      ["ggml-org/gpt-oss-20b-GGUF", false],
      ["ggml-org/qwen3-8b-GGUF", false],
    ]);
  });

  test("llama-server: not ready while it loads", async () => {
    const { state } = await read1("llama-server/__fixtures__/llama-server-2026-08-loading.handwritten.json");
    expect(state).toMatchObject({ ready: false, reason: "it is loading its model" });
  });

  test("llama-server: says that it wants a key, although its list is open", async () => {
    const file = "llama-server/__fixtures__/llama-server-2026-08.handwritten.json";
    const error = { error: { message: "Invalid API Key", type: "authentication_error", code: 401 } };
    const engine = await serve(answerFrom({ ...replies(file), "/props": { $status: 401, $json: error } }));
    expect((await read(engine)).state).toMatchObject({
      ready: false,
      reason: "it wants another API key than the one configured",
    });
  });

  test("vllm: models with their context", async () => {
    const { version, state } = await read1("vllm/__fixtures__/vllm-0.32.handwritten.json");
    expect(version).toBe("0.32.0");
    expect(state.models).toEqual([
      model({ name: "Qwen/Qwen3-8B", loaded: true, contextLength: 40960 }),
      model({ name: "sql-lora", loaded: true }),
    ]);
  });

  test("vllm: says that it wants a key", async () => {
    const { state } = await read1("vllm/__fixtures__/vllm-0.32-locked.handwritten.json");
    expect(state).toMatchObject({ ready: false, reason: "it wants another API key than the one configured" });
  });

  test("sglang: although it answers as Ollama does", async () => {
    const { version, state } = await read1("sglang/__fixtures__/sglang-0.5.handwritten.json");
    expect(version).toBe("0.5.4");
    expect(state.models).toEqual([
      model({ name: "qwen/qwen2.5-0.5b-instruct", loaded: true, contextLength: 32768, capabilities: ["completion"] }),
    ]);
  });

  test("sglang: without running the generation that its health endpoint is", async () => {
    const engine = await serve(answerFrom(replies("sglang/__fixtures__/sglang-0.5.handwritten.json")));
    const probe = openProbe({ url: engine.url, host: "localhost", apiKey: null });
    await adapterOf("sglang").read(probe, { kind: "sglang", version: null });
    await probe.close();
    expect(engine.requests.map((request) => request.path)).not.toContain("/health");
  });

  test("lm-studio: loaded instances, of the current and the older list", async () => {
    const current = await read1("lm-studio/__fixtures__/lm-studio-0.4.handwritten.json");
    expect(current.state.models).toEqual([
      model({
        name: "gemma-3-270m-it-qat",
        loaded: true,
        contextLength: 4096,
        sizeBytes: 241410208,
        quantization: "Q4_0",
        capabilities: ["completion", "tools"],
      }),
      model({
        name: "text-embedding-nomic-embed-text-v1.5-embedding",
        loaded: false,
        contextLength: 2048,
        sizeBytes: 274290560,
        quantization: "F16",
        capabilities: ["embedding"],
      }),
    ]);
    const older = await read1("lm-studio/__fixtures__/lm-studio-0.3.handwritten.json");
    expect(older.state.models.map((one) => [one.name, one.loaded, one.contextLength, one.capabilities])).toEqual([
      ["qwen2-vl-7b-instruct", false, 32768, ["completion", "vision"]],
      ["meta-llama-3.1-8b-instruct", true, 4096, ["completion"]],
      ["text-embedding-nomic-embed-text-v1.5", false, 2048, ["embedding"]],
    ]);
  });

  test("openai and embedded: the plain list", async () => {
    const other = await read1("openai/__fixtures__/openai-compatible.handwritten.json");
    expect(other.state.models).toEqual([model({ name: "org/model-a" }), model({ name: "model-b" })]);
    const own = await read1("embedded/__fixtures__/embedded-node-llama-cpp-3.21.1.json");
    expect(own.state).toMatchObject({
      slots: 8,
      models: [{ name: "postern-demo", contextLength: 8192, capabilities: ["chat", "completion", "embedding"] }],
    });
  });
});
