import { DANGEROUS_FIELDS } from "../dangerous-fields.ts";
import type { FieldPolicy, FieldRule, FieldTable } from "../field-policy.ts";

/** Engines that take sampling settings beyond OpenAI's own. */
const OWN_ENGINES = ["ollama", "llama-server", "vllm", "lm-studio", "sglang", "embedded"] as const;

/** Engine kinds that know `store`, and would keep answers unless they are told not to. */
export const KEEPING_ENGINES = ["openai", "vllm", "lm-studio", "sglang"] as const;

const ANY: FieldRule = {};
const EXTRA: FieldRule = { only: OWN_ENGINES };
const OPENAI: FieldRule = { only: ["openai"] };
/** Says nothing as long as it is null or false (`refuseState`); taken out then, because some servers refuse the name itself. */
const SILENT: FieldRule = { only: [] };

/**
 * Members that lean on state that a server keeps, with the reason. Engines keep none or keep it per machine: the next request
 * may reach another one, and a caller could name another's state.
 */
export const STATEFUL_FIELDS: ReadonlyMap<string, string> = new Map([
  ["previous_response_id", "continues an answer that no server here keeps; send the whole conversation as input"],
  ["conversation", "continues a conversation that no server here keeps; send the whole conversation as input"],
  ["background", "asks for an answer to be fetched later, which no server here keeps"],
  ["prompt", "names a template that is kept at OpenAI"],
]);

const LISTED: Record<string, FieldRule> = {
  model: { kinds: ["string"] },
  input: { kinds: ["string", "array"] },
  instructions: { kinds: ["string", "null"] },
  stream: { kinds: ["true", "false", "null"] },
  stream_options: { kinds: ["object", "null"] },
  max_output_tokens: { kinds: ["number", "null"], clamp: "maxTokens" },
  store: { kinds: ["true", "false", "null"], only: KEEPING_ENGINES },
  tools: { kinds: ["array", "null"] },
  tool_choice: { kinds: ["string", "object", "null"] },
  parallel_tool_calls: ANY,
  temperature: ANY,
  top_p: ANY,
  top_logprobs: ANY,
  reasoning: ANY,
  text: ANY,
  truncation: ANY,
  include: ANY,
  user: ANY,
  metadata: OPENAI,
  safety_identifier: OPENAI,
  prompt_cache_key: OPENAI,
  max_tool_calls: OPENAI,
  top_k: EXTRA,
  min_p: EXTRA,
  seed: EXTRA,
  stop: EXTRA,
  presence_penalty: EXTRA,
  frequency_penalty: EXTRA,
  repeat_penalty: EXTRA,
  repetition_penalty: EXTRA,
};

/** The table of POST /v1/responses. Stateful members that the operator allows pass as they are. */
export function responsesFields({ allow }: FieldPolicy): FieldTable {
  const listed = new Map(Object.entries(LISTED));
  const dangerous = new Map(DANGEROUS_FIELDS);
  for (const name of STATEFUL_FIELDS.keys()) {
    dangerous.delete(name);
    if (!allow.includes(name)) listed.set(name, SILENT);
  }
  return { listed, dangerous };
}
