import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { DEFAULT_FIELD_POLICY } from "../dialects/field-policy.ts";
import { PosternError } from "../errors.ts";
import { DEFAULT_LIMITS, DEFAULT_TIMEOUTS, defaultConfig } from "./defaults.ts";
import { type ConfigPart, loadConfig, publicUrlOf } from "./load.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "postern-config-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function load(yaml: string, env: Record<string, string> = {}, part: ConfigPart = "gateway") {
  writeFileSync(join(folder, "postern.yaml"), yaml);
  return loadConfig({ part, cwd: folder, env: { POSTERN_DATA: folder, ...env } });
}

function faultsOf(yaml: string, env: Record<string, string> = {}, part: ConfigPart = "gateway"): string[] {
  try {
    load(yaml, env, part);
  } catch (error) {
    if (error instanceof PosternError && error.code === "config_invalid") {
      const faults = error.detail["faults"] as Array<{
        line: number | null;
        path: string;
        rule: string;
        seen: string | null;
      }>;
      return faults.map((one) => `${one.line} ${one.path} ${one.rule}${one.seen === null ? "" : `, got ${one.seen}`}`);
    }
    throw error;
  }
  return [];
}

test("loadConfig() gives the documented defaults where the file says nothing", () => {
  const config = load("");
  expect(config).toEqual({ ...defaultConfig(folder), file: join(folder, "postern.yaml") });
  expect(config.gateway.timeouts).toEqual(DEFAULT_TIMEOUTS);
});

test("loadConfig() reads names that are only hidden, and opt-in operations", () => {
  const config = load("gateway: { optional: [rerank] }\nmodels: { secret: { hidden: true } }\n");
  expect(config.gateway.optional).toEqual(["openai.rerank"]);
  expect(config.models).toMatchObject([{ name: "secret", targets: [], isHidden: true }]);
});

test("loadConfig() reads how requests of a model are shared out, and who waits", () => {
  const config = load(`models:
  chat: { targets: [{ model: blue, weight: 9 }, { model: green }], required: true }
  big: { strategy: affinity }
gateway: { queue: { requests: 5, bytes: 2MiB, wait: 2m, wake: 0s, weights: { chat: 4 } } }
`);
  expect(config.models).toMatchObject([
    { name: "chat", strategy: null, isRequired: true, targets: [{ weight: 9 }, { weight: null }] },
    { name: "big", strategy: "affinity", isRequired: false, targets: [] },
  ]);
  expect(config.gateway.queue).toEqual({
    requests: 5,
    bytes: 2 * 1024 * 1024,
    waitMs: 120_000,
    wakeMs: 0,
    weights: new Map([["chat", 4]]),
  });
});

test("loadConfig() parses units into milliseconds and bytes", () => {
  const config = load(`
gateway:
  listen: "[::1]:9000"
  publicUrl: https://ai.example.org/
  trustedProxies: [10.0.0.0/8, "fd00::/8", 192.0.2.1]
  limits: { body: 8MiB, requests: 12 }
  timeouts: { total: 2h, hold: 0s }
storage: { requestRetention: forever, syncEvery: 250ms, capture: { retention: 12h, item: 64KiB } }
models:
  gpt-4o-mini: { targets: [{ model: "llama3.1:8b", node: forge }, { model: qwen3 }] }
`);
  expect(config.gateway.listen).toEqual({ host: "::1", port: 9000 });
  expect(config.gateway.publicUrl).toBe("https://ai.example.org");
  expect(config.gateway.limits).toEqual({ ...DEFAULT_LIMITS, bodyBytes: 8 * 1024 * 1024, requests: 12 });
  expect(config.gateway.timeouts).toEqual({ ...DEFAULT_TIMEOUTS, totalMs: 7_200_000, holdMs: 0 });
  expect(config.storage).toEqual({
    requestRetentionMs: null,
    auditRetentionMs: null,
    syncEveryMs: 250,
    capture: { maxRetentionMs: 12 * 3_600_000, itemBytes: 64 * 1024, totalBytes: 256 * 1024 ** 2 },
  });
  expect(config.models).toMatchObject([
    {
      name: "gpt-4o-mini",
      targets: [
        { model: "llama3.1:8b", node: "forge", provider: null },
        { model: "qwen3", node: null, provider: null },
      ],
      isHidden: false,
    },
  ]);
});

test("loadConfig() reports every fault at once with its line, path, rule and value", () => {
  const faults = faultsOf(`# comment
gateway:
  listen: nonsense
  limits:
    body: 1B
    requests: many
  timeouts:
    total: 30
  cors: true
nodes:
  Forge:
    url: http://10.0.0.2:11434
  anvil:
    kind: vllm
  oven:
    url: http://user:hunter2@10.0.0.3:8000
    kind: nonsense
    apiKey: sk-not-a-reference
cluster: {}
provider: {}
`);
  expect(faults).toEqual([
    '3 gateway.listen must be an address and a port, like "127.0.0.1:8400", "[::1]:8400" or "0.0.0.0:443", got "nonsense"',
    '5 gateway.limits.body must be at least 1KiB, got "1B"',
    '6 gateway.limits.requests must be a number, got "many"',
    '8 gateway.timeouts.total must be text (in quotes where it looks like a number: "30s"), got 30',
    "9 gateway.cors must be a map, got true",
    '11 nodes.Forge has a name that must be lower-case letters, digits, ".", "_" and "-", at most 64',
    "13 nodes.anvil.url is missing",
    '16 nodes.oven.url must be the engine\'s address: http:// or https:// with a host, without credentials, query or fragment, got "http://***@10.0.0.3:8000"',
    '17 nodes.oven.kind must be one of ollama, llama-server, vllm, lm-studio, sglang, openai, got "nonsense"',
    "18 nodes.oven.apiKey must be env:NAME or file:PATH, never the secret itself, got ***",
    "19 cluster is not available yet in this version",
    "20 provider is not a key that exists",
  ]);
});

test("loadConfig() says of a quantity whether it is none, too small or too large", () => {
  const faults = faultsOf(
    "gateway: { timeouts: { total: soon, connect: 0ms, idle: 31d }, limits: { body: much, bodyMemory: 9TiB } }",
  );
  expect(faults).toEqual([
    '1 gateway.timeouts.total must be a whole number with a unit, like "30s", "5m", "1h" or "90d", got "soon"',
    '1 gateway.timeouts.connect must be at least 10ms, got "0ms"',
    '1 gateway.timeouts.idle must be at most 1h, got "31d"',
    '1 gateway.limits.body must be a whole number with a unit, like "64KiB", "8MiB" or "1GiB", got "much"',
    '1 gateway.limits.bodyMemory must be at most 64GiB, got "9TiB"',
  ]);
});

test("loadConfig() says where the YAML itself is broken, without quoting the file", () => {
  const faults = faultsOf('gateway:\n  listen: "127.0.0.1:1\nstorage: {apiKey: hunter2}\n');
  expect(faults.length).toBeGreaterThan(0);
  expect(faults.join()).toContain("is not valid YAML");
  expect(faults.join()).not.toContain("hunter2");
  expect(faultsOf("storage: {}\nstorage: {}\n")).toEqual(["2  is not valid YAML: Map keys must be unique"]);
});

test("loadConfig() reads secrets from the environment and from files, and never prints them", () => {
  writeFileSync(join(folder, "key.txt"), "from-file\n");
  const config = load(
    "nodes:\n  a: { url: http://10.0.0.2:1, apiKey: env:ENGINE_KEY }\n  b: { url: http://10.0.0.3:1, apiKey: file:key.txt }\n",
    { ENGINE_KEY: "from-env" },
  );
  expect(config.nodes.map((node) => node.apiKey?.reveal())).toEqual(["from-env", "from-file"]);
  expect(JSON.stringify(config)).not.toContain("from-");
});

test("loadConfig() names missing secrets and files with their lines", () => {
  const yaml = `nodes:
  a:
    url: http://10.0.0.2:1
    apiKey: env:NOT_SET
    ca: missing.pem
gateway:
  tls:
    cert: nowhere.pem
    key: nowhere.key
`;
  expect(faultsOf(yaml)).toEqual([
    "4 nodes.a.apiKey names the environment variable NOT_SET, which is not set",
    `5 nodes.a.ca names ${join(folder, "missing.pem")}, which does not exist`,
    `8 gateway.tls.cert names ${join(folder, "nowhere.pem")}, which does not exist`,
    `9 gateway.tls.key names ${join(folder, "nowhere.key")}, which does not exist`,
  ]);
});

test("loadConfig() does not open the other part's secrets", () => {
  const yaml = `agent:
  engines:
    local: { url: http://127.0.0.1:8000, apiKey: env:AGENT_ONLY }
nodes:
  far: { url: http://10.0.0.2:8000, apiKey: env:GATEWAY_ONLY }
`;
  expect(load(yaml, { GATEWAY_ONLY: "g" }, "gateway").agent.engines[0]?.apiKey).toBeNull();
  expect(load(yaml, { AGENT_ONLY: "a" }, "agent").nodes[0]?.apiKey).toBeNull();
  expect(faultsOf(yaml, {}, "check")).toHaveLength(2);
});

test("loadConfig() lets flags outrank the environment and the environment the file", () => {
  writeFileSync(join(folder, "postern.yaml"), 'gateway: { listen: "127.0.0.1:1", admin: { listen: "127.0.0.1:2" } }\n');
  const env = {
    POSTERN_DATA: folder,
    POSTERN_LISTEN: "127.0.0.1:3",
    POSTERN_ADMIN_LISTEN: "127.0.0.1:4",
    POSTERN_LOG: "debug",
  };
  const config = loadConfig({ part: "gateway", cwd: folder, env, flags: { listen: "127.0.0.1:5" } });
  expect(config.gateway.listen.port).toBe(5);
  expect(config.gateway.admin.listen.port).toBe(4);
  expect(config.logLevel).toBe("debug");
});

test("loadConfig() reports faults of file, environment and flags together", () => {
  writeFileSync(join(folder, "postern.yaml"), "foo: 1\n");
  expect(() =>
    loadConfig({
      part: "gateway",
      cwd: folder,
      env: { POSTERN_DATA: folder, POSTERN_LOG: "loud" },
      flags: { listen: "8400" },
    }),
  ).toThrow(/3 faults[\s\S]*POSTERN_LOG[\s\S]*--listen[\s\S]*postern\.yaml:1:1/);
});

test("loadConfig() refuses a file that was named and does not exist", () => {
  expect(() => loadConfig({ part: "gateway", cwd: folder, env: {}, flags: { config: "other.yaml" } })).toThrow(
    /other\.yaml: does not exist/,
  );
});

test("loadConfig() answers any text with a configuration or with faults, never with another error", () => {
  const piece = fc.constantFrom(
    "gateway",
    ":",
    "\n",
    "  ",
    "- ",
    "{",
    "}",
    "[",
    "]",
    '"',
    "&a ",
    "*a",
    "nodes",
    "url",
    "__proto__",
    "1",
    "!!binary ",
    "<<",
    "|",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      try {
        load(pieces.join(""));
      } catch (error) {
        expect((error as PosternError).code).toBe("config_invalid");
      }
    }),
    { numRuns: 200 },
  );
});

test("publicUrlOf() is an address that a caller on this machine can use", () => {
  expect(publicUrlOf(load(""))).toBe("http://127.0.0.1:8400");
  expect(publicUrlOf(load('gateway: { listen: "[::1]:9" }'))).toBe("http://[::1]:9");
  expect(publicUrlOf(load('gateway: { listen: "0.0.0.0:9" }'))).toBe("http://127.0.0.1:9");
  expect(publicUrlOf(load("gateway: { publicUrl: https://ai.example.org }"))).toBe("https://ai.example.org");
});

test("loadConfig() reads what callers may put into requests, at the gateway and as the ceiling of the agent", () => {
  const config = load(`
gateway:
  fields: { unknown: refuse, maxChoices: 4, maxTokens: 32000, maxKeepAlive: 10m, remoteMedia: true }
agent:
  guard: { allow: [options.num_gpu], maxContext: 32768, remoteModels: ["gpt-oss:120b-cloud"] }
`);
  expect(config.gateway.fields).toEqual({
    ...DEFAULT_FIELD_POLICY,
    unknown: "refuse",
    maxChoices: 4,
    maxTokens: 32_000,
    maxKeepAliveSeconds: 600,
    remoteMedia: true,
  });
  expect(config.agent.guard).toEqual({
    fields: { ...DEFAULT_FIELD_POLICY, allow: ["options.num_gpu"], maxContext: 32_768 },
    remoteModels: ["gpt-oss:120b-cloud"],
  });
});

test("loadConfig() tells engines that the agent starts from those that it reaches", () => {
  const { agent } = load(`
agent:
  engines:
    box: { url: http://127.0.0.1:11434 }
    big: { kind: llama-server, start: { args: ["--model", "/models/qwen3-8b.gguf"], environment: { OMP_NUM_THREADS: "4" } } }
    fast: { kind: vllm, start: { program: /opt/vllm/bin/vllm, args: [Qwen/Qwen3-8B], port: 8123 } }
`);
  expect(agent.engines.map((engine) => engine.name)).toEqual(["box"]);
  expect(agent.started).toEqual([
    {
      name: "big",
      kind: "llama-server",
      program: "llama-server",
      args: ["--model", "/models/qwen3-8b.gguf"],
      port: null,
      environment: { OMP_NUM_THREADS: "4" },
    },
    {
      name: "fast",
      kind: "vllm",
      program: "/opt/vllm/bin/vllm",
      args: ["Qwen/Qwen3-8B"],
      port: 8123,
      environment: {},
    },
  ]);
});

test("loadConfig() refuses a started engine that it could not keep to loopback and a key, and one that is nowhere", () => {
  const faults = faultsOf(`
agent:
  engines:
    a: { kind: ollama, start: {} }
    b: { kind: vllm, start: { args: ["--host", "0.0.0.0", "--api-key=x"] } }
    c: { kind: vllm, url: http://127.0.0.1:1, start: {} }
    d: { kind: vllm }
    e: { start: {} }
`);
  expect(faults.map((fault) => fault.replace(/ must.* set by the agent/, " set by the agent"))).toEqual([
    '4 agent.engines.a.kind must be "llama-server" or "vllm": those can be started, got "ollama"',
    '5 agent.engines.b.start.args[0] set by the agent, got "--host"',
    '5 agent.engines.b.start.args[2] set by the agent, got "--api-key=x"',
    '6 agent.engines.c.url cannot stand beside `start`, got "http://127.0.0.1:1"',
    "7 agent.engines.d.url is missing",
    "8 agent.engines.e.kind is missing",
  ]);
});
