import type { IncomingMessage, ServerResponse } from "node:http";
import { type ChatCompletionRequest, LLMock } from "@copilotkit/aimock";
import type { EngineKind } from "../../src/tunnel/link.ts";

/** The model that the scripted engine plays. */
export const SCRIPTED_MODEL = "scripted-for-claude";

/** What it begins its last answer with; what the tool said follows. */
export const SCRIPTED_ANSWER = "The tool said:";

/** What it says when there is no tool to call. */
export const SCRIPTED_GREETING = "Hello from the scripted model: grüße, 你好, 👋.";

/** How aimock is dressed: what the agent takes it for decides which dialects pass through. */
export interface ScriptedClothes {
  title: string;
  kind: EngineKind;
  /** Answers of paths that aimock does not have. */
  paths: Readonly<Record<string, unknown>>;
}

/** The model that makes vectors. */
export const SCRIPTED_EMBED_MODEL = "scripted-embed";

const VLLM_MODELS = [SCRIPTED_MODEL, SCRIPTED_EMBED_MODEL].map((id) => ({
  id,
  object: "model",
  created: 1785571200,
  owned_by: "vllm",
  max_model_len: 200_000,
}));

/** In the words of either dialect; without it aimock says 0 in all but OpenAI's chat. Its Ollama always does. */
const USAGE = { prompt_tokens: 11, completion_tokens: 7, input_tokens: 11, output_tokens: 7 };

/** aimock answers `/api/embed` in the words of the older `/api/embeddings`. */
const EMBEDDED = {
  model: SCRIPTED_EMBED_MODEL,
  embeddings: [
    [0.25, -0.5, 1],
    [0.5, 1, -0.25],
  ],
  prompt_eval_count: 2,
};

/** aimock answers all of these dialects itself; what it is taken for decides which of them it is asked in. */
export const SCRIPTED_CLOTHES: readonly ScriptedClothes[] = [
  { title: "aimock, any OpenAI-compatible server", kind: "openai", paths: {} },
  {
    title: "aimock as vLLM 0.32",
    kind: "vllm",
    paths: {
      "/version": { version: "0.32.0" },
      "/v1/models": { object: "list", data: VLLM_MODELS },
      "/v1/messages/count_tokens": { input_tokens: 11 },
    },
  },
  {
    title: "aimock as Ollama 0.33",
    kind: "ollama",
    paths: { "/api/version": { version: "0.33.0" }, "/api/ps": { models: [] }, "/api/embed": EMBEDDED },
  },
];

export interface ScriptedEngine {
  readonly url: string;
  /** Every path that was asked, in order. */
  paths(): string[];
  stop(): Promise<void>;
}

/**
 * aimock playing a model for coding agents: its first answer calls the agent's own tool for reading a file, the next one
 * repeats what the tool said. Without tools it greets.
 *
 * It thinks before it calls, so that the thought is in the conversation that the agent sends next.
 *
 * @param file The file to read, absolute.
 */
export async function startScriptedEngine({ paths }: ScriptedClothes, file: string): Promise<ScriptedEngine> {
  const mock = new LLMock({ port: 0, host: "127.0.0.1" });
  for (const [path, body] of Object.entries(paths)) mock.mount(path, { handleRequest: answerWith(body) });
  mock.on({ model: SCRIPTED_MODEL, hasToolResult: true }, (request) => ({
    content: `${SCRIPTED_ANSWER} ${textOf(request.messages.at(-1)?.content)}`,
    usage: USAGE,
  }));
  mock.on({ model: SCRIPTED_MODEL }, (request) => {
    const call = readCall(request, file);
    const reasoning = "The note is in a file.";
    return call === null
      ? { content: SCRIPTED_GREETING, usage: USAGE }
      : { toolCalls: [call], reasoning, usage: USAGE };
  });
  mock.on({ model: SCRIPTED_EMBED_MODEL, endpoint: "embedding" }, { embedding: [0.25, -0.5, 1] });
  await mock.start();
  return {
    url: mock.url,
    paths: () => mock.getRequests().map(({ path }) => path),
    stop: () => mock.stop(),
  };
}

function answerWith(body: unknown) {
  return (_request: IncomingMessage, response: ServerResponse): Promise<boolean> => {
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
    return Promise.resolve(true);
  };
}

/** Tools by which coding agents read files, with what each of them wants to know. */
const READERS: Readonly<Record<string, (file: string, schema: string) => Record<string, unknown>>> = {
  // Claude Code's and Continue's.
  Read: (file, schema) => (schema.includes('"file_path"') ? { file_path: file } : { filepath: file }),
  // Codex's, as versions and models have it.
  exec_command: (file) => ({ cmd: `cat ${file}` }),
  shell_command: (file) => ({ command: `cat ${file}` }),
  shell: (file) => ({ command: ["cat", file] }),
  get_weather: () => ({ city: "Zürich" }),
};

function readCall({ tools = [] }: ChatCompletionRequest, file: string): { name: string; arguments: string } | null {
  for (const [name, argumentsFor] of Object.entries(READERS)) {
    const tool = tools.find((one) => one.function.name === name)?.function;
    if (tool === undefined) continue;
    return { name, arguments: JSON.stringify(argumentsFor(file, JSON.stringify(tool.parameters))) };
  }
  return null;
}

function textOf(content: ChatCompletionRequest["messages"][number]["content"] | undefined): string {
  if (typeof content === "string") return content;
  return (content ?? []).map(({ text }) => text ?? "").join("");
}
