import type { EngineKind } from "../tunnel/link.ts";
import { embeddedAdapter } from "./embedded/adapter.ts";
import type { EngineAdapter } from "./engine.ts";
import { llamaServerAdapter } from "./llama-server/adapter.ts";
import { lmStudioAdapter } from "./lm-studio/adapter.ts";
import { ollamaAdapter } from "./ollama/adapter.ts";
import { openaiAdapter } from "./openai/adapter.ts";
import { sglangAdapter } from "./sglang/adapter.ts";
import { vllmAdapter } from "./vllm/adapter.ts";

/** Every kind of engine that Postern knows, in order of detection: SGLang imitates Ollama, and all imitate OpenAI. */
export const ADAPTERS: readonly EngineAdapter[] = [
  embeddedAdapter,
  sglangAdapter,
  vllmAdapter,
  llamaServerAdapter,
  lmStudioAdapter,
  ollamaAdapter,
  openaiAdapter,
];

/** The adapter of a kind that the operator declared. */
export function adapterOf(kind: EngineKind): EngineAdapter {
  const adapter = ADAPTERS.find((one) => one.kind === kind);
  if (adapter === undefined) throw new TypeError(`no adapter for "${kind}"`);
  return adapter;
}
