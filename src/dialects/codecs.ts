import { anthropicMessagesCodec, countTokensCodec } from "./anthropic/codec.ts";
import type { DialectCodec } from "./dialect.ts";
import { DEFAULT_FIELD_POLICY, type FieldPolicy } from "./field-policy.ts";
import {
  CHAT as OLLAMA_CHAT,
  EMBED as OLLAMA_EMBED,
  EMBEDDINGS as OLLAMA_EMBEDDINGS,
  GENERATE as OLLAMA_GENERATE,
  ollamaCodec,
} from "./ollama/codec.ts";
import { CHAT } from "./openai/chat.ts";
import { openAiCodec } from "./openai/codec.ts";
import { COMPLETIONS } from "./openai/completions.ts";
import { EMBEDDINGS } from "./openai/embeddings.ts";
import { RERANK } from "./openai/rerank.ts";
import { responsesCodec } from "./responses/codec.ts";
import { transcriptionCodec } from "./transcription/codec.ts";

/** The codec of every operation that goes to targets, by its id, under one field policy. Made once per configuration, not per request. */
export function createCodecs(policy: FieldPolicy): ReadonlyMap<string, DialectCodec> {
  return new Map([
    ["openai.chat", openAiCodec(CHAT, policy)],
    ["openai.completions", openAiCodec(COMPLETIONS, policy)],
    ["openai.embeddings", openAiCodec(EMBEDDINGS, policy)],
    ["openai.responses", responsesCodec(policy)],
    ["openai.rerank", openAiCodec(RERANK, policy)],
    ["openai.transcriptions", transcriptionCodec(policy)],
    ["anthropic.messages", anthropicMessagesCodec(policy)],
    ["anthropic.count_tokens", countTokensCodec(policy)],
    ["ollama.chat", ollamaCodec(OLLAMA_CHAT, policy)],
    ["ollama.generate", ollamaCodec(OLLAMA_GENERATE, policy)],
    ["ollama.embed", ollamaCodec(OLLAMA_EMBED, policy)],
    ["ollama.embeddings", ollamaCodec(OLLAMA_EMBEDDINGS, policy)],
  ]);
}

const DEFAULT_CODECS = createCodecs(DEFAULT_FIELD_POLICY);

/**
 * The codec of an operation under the default field policy.
 *
 * @throws TypeError for an operation without one: those that the gateway answers itself.
 */
export function codecFor(operationId: string): DialectCodec {
  const codec = DEFAULT_CODECS.get(operationId);
  if (codec === undefined) throw new TypeError(`no codec for operation ${operationId}`);
  return codec;
}
