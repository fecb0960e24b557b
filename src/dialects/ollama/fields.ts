import { DANGEROUS_FIELDS } from "../dangerous-fields.ts";
import type { FieldRule, FieldTable } from "../field-policy.ts";

/**
 * The windows that a model is loaded with, in tokens. Ollama loads a model anew for every other `num_ctx`, and some clients
 * compute one per request (Aider: 1.25 × the prompt + 8192), so that sizes are rounded up to one of these. The first is
 * Ollama's own smallest default, the last its largest.
 */
export const CONTEXT_STEPS: readonly number[] = [4096, 8192, 16_384, 32_768, 65_536, 131_072, 262_144];

const ANY: FieldRule = {};
const FLAG: FieldRule = { kinds: ["true", "false", "null"] };

/** How the sampler works on one request. What decides how the model is loaded is not here (reference: engine-apis §1.1). */
const OPTIONS: FieldTable = {
  listed: new Map<string, FieldRule>([
    ["temperature", ANY],
    ["top_p", ANY],
    ["top_k", ANY],
    ["min_p", ANY],
    ["typical_p", ANY],
    ["tfs_z", ANY],
    ["seed", ANY],
    ["stop", ANY],
    ["num_predict", { kinds: ["number", "null"], clamp: "maxTokens" }],
    ["num_ctx", { kinds: ["number", "null"], clamp: "maxContext", steps: CONTEXT_STEPS }],
    ["repeat_penalty", ANY],
    ["repeat_last_n", ANY],
    ["presence_penalty", ANY],
    ["frequency_penalty", ANY],
    ["penalize_newline", ANY],
    ["mirostat", ANY],
    ["mirostat_tau", ANY],
    ["mirostat_eta", ANY],
  ]),
  dangerous: new Map([["n_discard", "writes out of bounds in llama.cpp (CVE-2026-21869)"]]),
  // Where the model runs and how it is loaded: each change costs everybody a reload. They change how fast an answer comes,
  // never what it says, so that taking them out is no loss to the caller.
  removed: new Set([
    "num_gpu",
    "main_gpu",
    "num_thread",
    "num_batch",
    "num_keep",
    "use_mmap",
    "use_mlock",
    "numa",
    "low_vram",
    "f16_kv",
    "logits_all",
    "vocab_only",
    "embedding_only",
  ]),
};

const COMMON: Record<string, FieldRule> = {
  model: { kinds: ["string"] },
  options: { kinds: ["object", "null"], nested: OPTIONS },
  keep_alive: { kinds: ["number", "string", "null"], isKeepAlive: true },
};

const ANSWERING: Record<string, FieldRule> = {
  ...COMMON,
  stream: FLAG,
  format: ANY,
  think: { kinds: ["true", "false", "string", "null"] },
  // Whether a prompt that does not fit is shortened or refused.
  truncate: FLAG,
  shift: FLAG,
  logprobs: FLAG,
  top_logprobs: { kinds: ["number", "null"] },
};

/** Refused beyond what every dialect refuses. */
const DANGEROUS = new Map([
  ...DANGEROUS_FIELDS,
  // Numbers that the engine turns into text without looking; it also hides a conversation from whoever reads requests.
  ["context", "continues an answer by its tokens; send the conversation to /api/chat instead"],
]);

/** POST /api/chat. */
export const CHAT_FIELDS: FieldTable = table({
  ...ANSWERING,
  messages: { kinds: ["array", "null"] },
  tools: { kinds: ["array", "null"] },
});

/** POST /api/generate. `system` is a part of the caller's own prompt, as a system message is; `suffix` is for filling in code. */
export const GENERATE_FIELDS: FieldTable = table({
  ...ANSWERING,
  prompt: { kinds: ["string", "null"] },
  suffix: { kinds: ["string", "null"] },
  system: { kinds: ["string", "null"] },
  images: { kinds: ["array", "null"] },
});

/** POST /api/embed. */
export const EMBED_FIELDS: FieldTable = table({
  ...COMMON,
  input: { kinds: ["string", "array"] },
  truncate: FLAG,
  dimensions: { kinds: ["number", "null"] },
});

/** POST /api/embeddings, which Ollama keeps for older clients. */
export const EMBEDDINGS_FIELDS: FieldTable = table({
  ...COMMON,
  prompt: { kinds: ["string", "null"] },
});

function table(listed: Record<string, FieldRule>): FieldTable {
  return { listed: new Map(Object.entries(listed)), dangerous: DANGEROUS };
}
