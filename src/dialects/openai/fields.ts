import { DANGEROUS_FIELDS } from "../dangerous-fields.ts";
import type { FieldRule, FieldTable } from "../field-policy.ts";

/** Engines that take sampling settings beyond OpenAI's own. `openai` is left out: strict providers answer 400 to them. */
const OWN_ENGINES = ["ollama", "llama-server", "vllm", "lm-studio", "sglang", "embedded"] as const;

const ANY: FieldRule = {};
const EXTRA: FieldRule = { only: OWN_ENGINES };
const TOKENS: FieldRule = { kinds: ["number", "null"], clamp: "maxTokens" };
const CHOICES: FieldRule = { kinds: ["number", "null"], clamp: "maxChoices" };

const COMMON: Record<string, FieldRule> = {
  model: { kinds: ["string"] },
  stream: { kinds: ["true", "false", "null"] },
  stream_options: { kinds: ["object", "null"] },
  n: CHOICES,
  max_tokens: TOKENS,
  temperature: ANY,
  top_p: ANY,
  stop: ANY,
  presence_penalty: ANY,
  frequency_penalty: ANY,
  logit_bias: ANY,
  logprobs: ANY,
  seed: ANY,
  user: ANY,
  response_format: ANY,
  top_k: EXTRA,
  min_p: EXTRA,
  typical_p: EXTRA,
  top_a: EXTRA,
  repeat_penalty: EXTRA,
  repeat_last_n: EXTRA,
  repetition_penalty: EXTRA,
  dry_multiplier: EXTRA,
  dry_base: EXTRA,
  dry_allowed_length: EXTRA,
  xtc_probability: EXTRA,
  xtc_threshold: EXTRA,
  mirostat: EXTRA,
  mirostat_tau: EXTRA,
  mirostat_eta: EXTRA,
  min_tokens: { only: ["vllm", "sglang"] },
  // Sent by the gateway, to go on with an answer that another target has begun.
  continue_final_message: { kinds: ["true", "false", "null"], only: ["vllm", "sglang"] },
  add_generation_prompt: { kinds: ["true", "false", "null"], only: ["vllm", "sglang"] },
  stop_token_ids: { only: ["vllm", "sglang"] },
  skip_special_tokens: { only: ["vllm", "sglang"] },
  timings_per_token: { only: ["llama-server", "embedded"] },
  return_progress: { only: ["llama-server", "embedded"] },
};

/** POST /v1/chat/completions. */
export const CHAT_FIELDS: FieldTable = table({
  ...COMMON,
  messages: { kinds: ["array"] },
  // Ollama reads max_tokens alone and would answer without a limit (reference: engine-apis §1.1); Mistral refuses the other name.
  max_completion_tokens: { ...TOKENS, renamed: { for: ["ollama", "mistral"], to: "max_tokens" } },
  tools: ANY,
  tool_choice: ANY,
  parallel_tool_calls: ANY,
  functions: ANY,
  function_call: ANY,
  top_logprobs: ANY,
  reasoning_effort: ANY,
  reasoning: EXTRA,
  reasoning_format: { only: ["llama-server", "embedded"] },
  include_reasoning: { only: ["vllm"] },
  separate_reasoning: { only: ["sglang"] },
  stream_reasoning: { only: ["sglang"] },
  verbosity: { only: ["openai"] },
  prediction: { only: ["openai"] },
  modalities: { only: ["openai"] },
  audio: { only: ["openai"] },
  safety_identifier: { only: ["openai"] },
  prompt_cache_key: { only: ["openai"] },
});

/** POST /v1/completions. */
export const COMPLETIONS_FIELDS: FieldTable = table({
  ...COMMON,
  prompt: { kinds: ["string", "array"] },
  suffix: ANY,
  echo: ANY,
  best_of: CHOICES,
});

/** POST /v1/embeddings. */
export const EMBEDDINGS_FIELDS: FieldTable = table({
  model: { kinds: ["string"] },
  input: { kinds: ["string", "array"] },
  encoding_format: ANY,
  dimensions: ANY,
  user: ANY,
  input_type: { only: ["vllm", "openai"] },
  truncate_prompt_tokens: { only: ["vllm"] },
});

/** POST /v1/rerank: what llama-server, vLLM and SGLang have in common, after Jina's and Cohere's. */
export const RERANK_FIELDS: FieldTable = table({
  model: { kinds: ["string"] },
  query: { kinds: ["string"] },
  documents: { kinds: ["array"] },
  top_n: ANY,
  return_documents: ANY,
  max_tokens_per_doc: { only: ["vllm"] },
  truncate_prompt_tokens: { only: ["vllm"] },
  user: ANY,
});

/** Members of `stream_options` that pass; the others are unknown. */
export const STREAM_OPTIONS: ReadonlySet<string> = new Set([
  "include_usage",
  "include_obfuscation",
  "continuous_usage_stats",
]);

function table(listed: Record<string, FieldRule>): FieldTable {
  return { listed: new Map(Object.entries(listed)), dangerous: DANGEROUS_FIELDS };
}
