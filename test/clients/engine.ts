import { rm } from "node:fs/promises";
import { basename } from "node:path";
import { LLMock } from "@copilotkit/aimock";
import type { AgentConfig } from "../../src/config/agent-config.ts";
import { DEMO_SENTENCE, ensureDemoModel } from "../../src/engines/embedded/demo-model.ts";
import type { EngineKind } from "../../src/tunnel/link.ts";
import type { FakeKind } from "../support/fake-engine/clothes.ts";
import { startFakeEngine } from "../support/fake-engine/start.ts";
import { FAKE_TEXT } from "../support/fake-engine/turn.ts";
import { temporaryFolder } from "../support/postern.ts";
import type { Ask } from "./client.ts";
import type { Behaviour } from "./compatibility.ts";

/** An engine of the matrix, running. What its row says that it cannot do has no model. */
export interface MatrixEngine {
  /** What the agent is told of it. */
  agent: Partial<AgentConfig>;
  isEmbedded: boolean;
  /** Names of the models that play each part. */
  models: {
    /** Answers, and where `tool` is set calls tools. */
    answer: string;
    embed: string;
    endless: string;
    /** Thinks before it answers. */
    thinks: string | null;
    /** Calls its tool twice at once. */
    callsTwice: string | null;
    /** Breaks down in the middle of a stream. */
    breaks: string | null;
  };
  /** Longest answer that is asked for. */
  maxTokens: number;
  /** What `answer` says to a question. */
  text: string | RegExp;
  /** What it says to a tool's result; null: it cannot use tools. */
  afterTool: ((result: string) => string) | null;
  /** What the tool is asked. */
  city: string;
  /** A question that it answers with the status 400, and what its words are then. */
  refused: { ask: Partial<Ask>; words: RegExp };
  /** Path of the latest request; null: nobody can tell. */
  lastPath(): string | null;
  /** Resolves when the latest request is over: whether its caller left it, or null where nobody can tell. */
  wasLeft(): Promise<boolean | null>;
  close(): Promise<void>;
}

export interface EngineRow {
  /** As on the page. */
  title: string;
  kind: EngineKind;
  /** Operations that an engine of its kind has and this one has not. */
  lacks: readonly string[];
  /** What its model cannot do. */
  cannot: readonly Behaviour[];
  start(): Promise<MatrixEngine>;
}

/** Columns of the matrix. */
export const ENGINES: readonly EngineRow[] = [
  {
    title: "llama.cpp (embedded)",
    kind: "embedded",
    lacks: [],
    cannot: ["thinking", "tools", "break"],
    start: startEmbedded,
  },
  { title: "aimock", kind: "openai", lacks: ["openai.completions"], cannot: [], start: startAimock },
  fake("Ollama", "ollama"),
  fake("llama-server", "llama-server"),
  fake("vLLM", "vllm"),
  fake("SGLang", "sglang"),
  fake("LM Studio", "lm-studio"),
];

const CITY = "Zürich";
/** More than any of the stand-ins says. */
const MAX_TOKENS = 40;
/** More than fit into the window of the demo model. */
const OVERLONG_WORDS = 4000;

function fake(title: string, kind: FakeKind): EngineRow {
  return {
    title,
    kind,
    lacks: [],
    cannot: [],
    async start() {
      const engine = await startFakeEngine({ kind });
      // The agent's own looks at the engine are not what is asked for here.
      const last = () => engine.requests.findLast((request) => request.method === "POST");
      return {
        agent: { engines: [address(kind, engine.url, null)] },
        isEmbedded: false,
        models: {
          answer: "fake-model",
          embed: "fake-embed",
          endless: "endless",
          breaks: "mid-error",
          thinks: "thinking-model",
          callsTwice: "two-tools-model",
        },
        maxTokens: MAX_TOKENS,
        text: FAKE_TEXT,
        afterTool: (result) => `The tool said: ${result}`,
        city: CITY,
        refused: { ask: { model: "error-400" }, words: /the fake engine does not like this request/ },
        lastPath: () => last()?.path ?? null,
        wasLeft: async () => (await last()?.done) === "left",
        close: () => engine.close(),
      };
    },
  };
}

/** aimock serves every path that any engine has; it is told to the agent as an engine of which only OpenAI's are known. */
async function startAimock(): Promise<MatrixEngine> {
  const mock = new LLMock({ port: 0, host: "127.0.0.1" });
  const text = "Hello from aimock: grüße, 你好, 👋.";
  const refusal = "aimock does not like this request";
  const call = { name: "get_weather", arguments: JSON.stringify({ city: CITY }) };
  for (const [model, toolCalls] of [
    ["mock-answers", [call]],
    ["mock-calls-twice", [call, call]],
  ] as const) {
    mock.on({ model, hasToolResult: true }, { content: "aimock has heard the tool." });
    mock.on({ model, predicate: ({ tools = [] }) => tools.length > 0 }, { toolCalls: [...toolCalls] });
  }
  mock.on({ model: "mock-thinks" }, { content: text, reasoning: "The caller wants a greeting." }, { chunkSize: 5 });
  mock.on({ model: "mock-answers" }, { content: text }, { chunkSize: 5 });
  mock.on({ model: "mock-endless" }, { content: "again and ".repeat(100_000) }, { chunkSize: 10, latency: 5 });
  mock.on({ model: "mock-refuses" }, { error: { message: refusal, type: "invalid_request_error" }, status: 400 });
  mock.on({ model: "mock-breaks" }, { content: text }, { chunkSize: 5, truncateAfterChunks: 4 });
  mock.on({ model: "mock-embeds", endpoint: "embedding" }, { embedding: [0.25, -0.5, 1] });
  await mock.start();
  return {
    agent: { engines: [address("aimock", new URL(mock.url), "openai")] },
    isEmbedded: false,
    models: {
      answer: "mock-answers",
      embed: "mock-embeds",
      endless: "mock-endless",
      breaks: "mock-breaks",
      thinks: "mock-thinks",
      callsTwice: "mock-calls-twice",
    },
    maxTokens: MAX_TOKENS,
    text,
    afterTool: () => "aimock has heard the tool.",
    city: CITY,
    refused: { ask: { model: "mock-refuses" }, words: new RegExp(refusal) },
    lastPath: () => mock.getRequests().findLast((request) => request.method === "POST")?.path ?? null,
    wasLeft: async () => null,
    close: () => mock.stop(),
  };
}

/** The real one, with the demo model that spells its sentence again and again. It can call no tool. */
async function startEmbedded(): Promise<MatrixEngine> {
  const folder = await temporaryFolder("matrix-model");
  const modelPath = await ensureDemoModel(folder, "endless");
  // A file is served under its own name.
  const model = basename(modelPath, ".gguf");
  return {
    agent: { embedded: { mode: "always", modelPath } },
    isEmbedded: true,
    models: {
      answer: model,
      embed: model,
      endless: model,
      breaks: null,
      thinks: null,
      callsTwice: null,
    },
    // It goes on for ever.
    maxTokens: 12,
    text: new RegExp(`^${DEMO_SENTENCE.slice(0, 40)}`),
    afterTool: null,
    city: CITY,
    // Longer than its window.
    refused: { ask: { prompt: "too long ".repeat(OVERLONG_WORDS) }, words: /context/ },
    lastPath: () => null,
    wasLeft: async () => null,
    close: () => rm(folder, { recursive: true, force: true }),
  };
}

function address(name: string, url: URL, kind: EngineKind | null): AgentConfig["engines"][number] {
  return {
    name,
    url: url.origin,
    kind,
    apiKey: null,
    host: null,
    caFile: null,
    serverName: null,
    exposureAccepted: false,
  };
}
