import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { operationById } from "../dialects/operations.ts";
import { modelReport } from "../tunnel/__fixtures__/node-report.ts";
import type { EngineKind, ModelReport } from "../tunnel/link.ts";
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
  "/metrics",
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

/** Adapters say all that there is to say of a model, be it null. */
function model({ name = "", ...report }: Partial<ModelReport>): ModelReport {
  return modelReport(name, { family: null, parameterSize: null, parent: null, ...report });
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
    if (state.ready) expect(state.models.length).toBeGreaterThan(0);
    if (state.isLoading) expect(state.ready).toBe(false);
    for (const request of engine.requests) {
      expect(request.method).toBe("GET");
      expect(HARMLESS_PATHS).toContain(request.path);
    }
  });

  test.each(ADAPTERS.map((adapter) => [adapter.kind, adapter] as const))("%s keeps the contract", (kind, adapter) => {
    expect(adapterOf(kind)).toBe(adapter);
    const operations = adapter.operations({ kind, version: null });
    expect(operations.length).toBeGreaterThan(0);
    for (const id of operations) expect(["infer", "count", undefined]).toContain(operationById(id)?.kind);
    expect(operations).toContain("openai.chat");
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
      expect(state.load).toBeNull();
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
        family: "qwen3",
        parameterSize: "8.2B",
      }),
      model({
        name: "nomic-embed-text:latest",
        loaded: false,
        sizeBytes: 274302450,
        quantization: "F16",
        family: "nomic-bert",
        parameterSize: "137M",
      }),
      model({
        name: "gpt-oss:120b-cloud",
        loaded: false,
        sizeBytes: 384,
        quantization: "MXFP4",
        remote: true,
        family: "gptoss",
        parameterSize: "116.8B",
      }),
      model({ name: "helper:latest", loaded: false, sizeBytes: 384, remote: true }),
    ]);
  });

  test("ollama: a real one", async () => {
    const { version, state } = await read1("ollama/__fixtures__/ollama-0.17.4.json");
    expect(version).toBe("0.17.4");
    const [tool, demo] = state.models;
    expect(tool).toMatchObject({ name: "postern-tool:latest", loaded: true, parameterSize: "485K" });
    expect(demo).toEqual(
      model({
        name: "postern-demo:latest",
        loaded: true,
        contextLength: 4096,
        sizeBytes: 1032466,
        quantization: "F16",
        family: "llama",
        parameterSize: "510K",
      }),
    );
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
      isLoading: false,
      slots: 4,
      load: null,
      models: [
        model({
          name: "Meta-Llama-3.1-8B-Instruct-Q4_K_M",
          loaded: true,
          contextLength: 8192,
          sizeBytes: 4912898304,
          parameterSize: "8.0B",
        }),
      ],
    });
  });

  test("llama-server: a real one", async () => {
    const engine = await serve(answerFrom(replies("llama-server/__fixtures__/llama-server-b11549.json")));
    const { version, state } = await read(engine);
    expect(version).toBe("b0-unknown");
    expect(state).toMatchObject({ ready: true, slots: 2, load: null });
    expect(state.models).toEqual([
      model({
        name: "postern-demo-r1",
        loaded: true,
        contextLength: 2048,
        sizeBytes: 1022720,
        quantization: "F16",
        capabilities: ["completion"],
        parameterSize: "510K",
      }),
    ]);
    // A packaged build says no number; it is known by what it says else.
    const found = await identify(engine);
    expect(found?.adapter.operations(found.identity)).toContain("anthropic.messages");
  });

  test("llama-server: its load only while it works for us, because asking would keep its model from sleeping", async () => {
    const file = replies("llama-server/__fixtures__/llama-server-b11549.json");
    const readBusy = async (changes: Record<string, unknown>, isBusy: boolean) => {
      const engine = await serve(answerFrom({ ...file, ...changes }));
      const probe = openProbe({ url: engine.url, host: "localhost", apiKey: null });
      const { load } = await adapterOf("llama-server").read(probe, { kind: "llama-server", version: null }, { isBusy });
      await probe.close();
      return { load, paths: engine.requests.map((request) => request.path) };
    };
    const idle = await readBusy({}, false);
    expect(idle.load).toBeNull();
    expect(idle.paths).not.toContain("/metrics");
    const metrics = "llamacpp:requests_processing 2\nllamacpp:requests_deferred 5\n";
    expect((await readBusy({ "/metrics": metrics }, true)).load).toEqual({ running: 2, queued: 5, kvUse: null });
    const off = {
      $status: 501,
      $json: { error: { code: 501, message: "not supported", type: "not_supported_error" } },
    };
    const slots = [
      { id: 0, is_processing: true, prompt: "secret" },
      { id: 1, is_processing: false },
    ];
    const bySlots = await readBusy({ "/metrics": off, "/slots": slots }, true);
    expect(bySlots.load).toEqual({ running: 1, queued: null, kvUse: null });
    expect((await readBusy({ "/metrics": off, "/slots": off }, true)).load).toBeNull();
  });

  test("llama-server: a router's models and which of them are loaded", async () => {
    const { state } = await read1("llama-server/__fixtures__/llama-server-2026-08-router.handwritten.json");
    expect(state.slots).toBeNull();
    expect(state.models.map((one) => [one.name, one.loaded])).toEqual([
      ["ggml-org/gemma-3-4b-it-GGUF:Q4_K_M", true],
      ["ggml-org/gpt-oss-20b-GGUF", false],
      ["ggml-org/qwen3-8b-GGUF", false],
    ]);
    expect(state.models.map((one) => one.contextLength)).toEqual([4096, null, null]);
  });

  test("llama-server: not ready while it loads", async () => {
    const { state } = await read1("llama-server/__fixtures__/llama-server-2026-08-loading.handwritten.json");
    expect(state).toMatchObject({
      ready: false,
      isLoading: true,
      reason: "it is loading its model",
      models: [{ name: "m", loaded: false }],
    });
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
      model({ name: "sql-lora", loaded: true, contextLength: 40960, parent: "Qwen/Qwen3-8B" }),
    ]);
    expect(state.load).toEqual({ running: 3, queued: 2, kvUse: 0.41 });
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
    expect(state.load).toEqual({ running: 7, queued: 1, kvUse: 0.28 });
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
        family: "gemma3",
        parameterSize: "270M",
      }),
      model({
        name: "small-and-long",
        loaded: true,
        contextLength: 32768,
        sizeBytes: 241410208,
        quantization: "Q4_0",
        capabilities: ["completion", "tools"],
        family: "gemma3",
        parameterSize: "270M",
        parent: "gemma-3-270m-it-qat",
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

describe("operations()", () => {
  const NEW = ["openai.responses", "anthropic.messages", "anthropic.count_tokens", "ollama.chat"];

  test.each<[EngineKind, string | null, string[]]>([
    ["ollama", "0.13.2", ["ollama.chat"]],
    ["ollama", "0.13.3", ["ollama.chat"]],
    ["ollama", "0.14.0", ["anthropic.messages", "ollama.chat"]],
    ["ollama", null, ["ollama.chat"]],
    ["llama-server", "b7000-abcdef0", []],
    ["llama-server", "b7200-abcdef0", ["anthropic.messages", "anthropic.count_tokens"]],
    ["llama-server", "b11549-abcdef0", ["anthropic.messages", "anthropic.count_tokens"]],
    ["llama-server", "b0-unknown", []],
    ["vllm", "0.9.2", []],
    ["vllm", "0.11.1", ["openai.responses", "anthropic.messages"]],
    ["vllm", "0.32.0", ["openai.responses", "anthropic.messages", "anthropic.count_tokens"]],
    ["sglang", "0.5.4", ["openai.responses"]],
    ["sglang", "0.5.12", ["openai.responses", "anthropic.messages"]],
    ["openai", null, []],
    ["embedded", null, []],
  ])("%s %s speaks natively: %j", (kind, version, expected) => {
    const operations = adapterOf(kind).operations({ kind, version });
    expect(NEW.filter((id) => operations.includes(id))).toEqual(expected);
  });

  test("goes by what LM Studio can do, because it does not say its version", async () => {
    const of = async (file: string) => {
      const found = await identify(await serve(answerFrom(replies(`lm-studio/__fixtures__/${file}`))));
      return NEW.filter((id) => found?.adapter.operations(found.identity).includes(id));
    };
    expect(await of("lm-studio-0.4.handwritten.json")).toEqual(["openai.responses", "anthropic.messages"]);
    expect(await of("lm-studio-0.3.handwritten.json")).toEqual([]);
  });
});
