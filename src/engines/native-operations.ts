import { isAtLeast } from "../lib/compare-versions.ts";
import type { EngineKind } from "../tunnel/link.ts";
import type { EngineIdentity } from "./engine.ts";
import { versionOf } from "./engine-version.ts";

/** One operation that an engine answers natively, since which version; without one: in every version that we know. */
type NativeOperation = readonly [id: string, since?: string];

const OPENAI: readonly NativeOperation[] = [["openai.chat"], ["openai.completions"], ["openai.embeddings"]];

/**
 * Which operations (ids of dialects/operations.ts) each kind of engine answers itself (reference: engine-apis §2). A bound that is
 * a little late costs a translation, one that is early costs an error, so builds are those after a change, not those with it.
 *
 * Left out where Postern's own translation is better: SGLang's part of Ollama's paths.
 */
const NATIVE: Readonly<Record<EngineKind, readonly NativeOperation[]>> = {
  ollama: [
    ...OPENAI,
    // Not `openai.responses` (since 0.13.3): its stream announces no part of reasoning and gives a text and a call the same index, so
    // that the openai package fails on it; a text before a call is lost in its last event, an error within the stream everywhere.
    ["openai.transcriptions", "0.20.0"],
    // Not `anthropic.count_tokens`, which answers 404.
    ["anthropic.messages", "0.14.0"],
    ["ollama.chat"],
    ["ollama.generate"],
    ["ollama.embed"],
    ["ollama.embeddings"],
  ],
  "llama-server": [
    ...OPENAI,
    // ggml-org/llama.cpp #17570, merged on 28 November 2025.
    ["anthropic.messages", "b7200"],
    ["anthropic.count_tokens", "b7200"],
    // Not `openai.responses` (#18486): as of b11549 its events have no `output_index`, no `sequence_number` and no `created_at`,
    // and the openai package, the AI SDK and LangChain fail on a stream of them.
    ["openai.rerank"],
    ["openai.transcriptions", "b10488"],
  ],
  vllm: [
    ...OPENAI,
    ["openai.responses", "0.10.0"],
    ["openai.rerank", "0.8.0"],
    ["openai.transcriptions", "0.8.0"],
    ["anthropic.messages", "0.11.1"],
    // vllm-project/vllm #35588, merged in March 2026.
    ["anthropic.count_tokens", "0.17.0"],
  ],
  sglang: [...OPENAI, ["openai.responses", "0.5.4"], ["openai.rerank", "0.5.4"], ["anthropic.messages", "0.5.10"]],
  "lm-studio": [...OPENAI, ["openai.responses", "0.3.29"], ["anthropic.messages", "0.4.1"]],
  openai: OPENAI,
  embedded: OPENAI,
};

/** The operations that this engine answers natively. One that does not say its version gets the oldest set. */
export function nativeOperations(identity: EngineIdentity): readonly string[] {
  const version = versionOf(identity);
  return NATIVE[identity.kind]
    .filter(([, since]) => since === undefined || isAtLeast(version, since))
    .map(([id]) => id);
}
