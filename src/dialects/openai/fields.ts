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
  stop_token_ids: { only: ["vllm", "sglang"] },
  skip_special_tokens: { only: ["vllm", "sglang"] },
  timings_per_token: { only: ["llama-server", "embedded"] },
  return_progress: { only: ["llama-server", "embedded"] },
};

/** Refused wherever they stand at the top level of a body (reference: engine-apis §1.1–1.5 and §5.1, with the CVE where there is one). */
const DANGEROUS = new Map<string, string>([
  ["n_discard", "writes out of bounds in llama.cpp (CVE-2026-21869)"],
  ["id_slot", "chooses another request's slot"],
  ["slot_id", "chooses another request's slot"],
  ["lora", "changes the model's adapters"],
  ["lora_path", "reads a file of the server"],
  ["lora_request", "reads a file of the server"],
  ["control_vectors", "reads a file of the server"],
  ["grammar", "runs a parser that has crashed servers; use response_format"],
  ["response_fields", "reshapes the answer so that it cannot be metered"],
  ["sse_ping_interval", "changes the server's keep-alive"],
  ["chat_template", "runs a template of the caller (vLLM)"],
  ["chat_template_kwargs", "is handed to the template unchecked (vLLM)"],
  ["prompt_embeds", "loads tensors (CVE-2025-62164)"],
  ["input_embeds", "loads tensors"],
  ["mm_processor_kwargs", "is handed to the media processor unchecked"],
  ["media_io_kwargs", "is handed to the media loader unchecked"],
  ["logits_processors", "names code to run"],
  ["custom_logit_processor", "runs code of the caller (CVE-2026-7304)"],
  ["custom_params", "is handed to code of the caller"],
  ["kv_transfer_params", "names hosts to connect to"],
  ["bootstrap_host", "names hosts to connect to"],
  ["bootstrap_port", "names hosts to connect to"],
  ["bootstrap_room", "names hosts to connect to"],
  ["session_params", "continues another request's session"],
  ["data_parallel_rank", "chooses the worker"],
  ["return_hidden_states", "gives out the model's internals"],
  ["request_id", "chooses the server's id of the request"],
  ["rid", "chooses the server's id of the request"],
  ["priority", "jumps the server's queue"],
  ["integrations", "calls tool servers of the machine's owner (LM Studio)"],
  ["previous_response_id", "continues another request's conversation"],
  ["_debug_render_only", "shows the server's template"],
  ["raw", "bypasses the server's template"],
  ["template", "runs a template of the caller"],
]);

/** POST /v1/chat/completions. */
export const CHAT_FIELDS: FieldTable = table({
  ...COMMON,
  messages: { kinds: ["array"] },
  // Ollama reads max_tokens alone and would answer without a limit (reference: engine-apis §1.1).
  max_completion_tokens: { ...TOKENS, renamed: { for: ["ollama"], to: "max_tokens" } },
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

/** Members of `stream_options` that pass; the others are unknown. */
export const STREAM_OPTIONS: ReadonlySet<string> = new Set([
  "include_usage",
  "include_obfuscation",
  "continuous_usage_stats",
]);

function table(listed: Record<string, FieldRule>): FieldTable {
  return { listed: new Map(Object.entries(listed)), dangerous: DANGEROUS };
}
