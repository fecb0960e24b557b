import type { Conversation, Reasoning, Sampling, ToolDefinition, WriteOptions } from "../conversation.ts";
import { isJsonObject, untranslatable } from "../request-member.ts";
import { writeTurns } from "./conversation-turns.ts";

/** Answer's bound where the caller set none: the dialect must have one, and every model that is offered today takes this. */
const DEFAULT_MAX_TOKENS = 8192;
/** Smallest budget of thinking that Anthropic accepts. */
const MIN_BUDGET_TOKENS = 1024;

/** Engines that speak the dialect beside their own, without Anthropic's rules for sampling. */
const OWN_ENGINES: ReadonlySet<string> = new Set(["ollama", "llama-server", "vllm", "lm-studio", "sglang", "embedded"]);

/**
 * The body of a request to `/v1/messages`. Built for the API's version 2023-06-01: the next one refuses sampling settings
 * (reference: engine-apis §3.4, 19).
 *
 * @throws PosternError `untranslatable` for what the dialect has no words for.
 */
export function writeMessagesRequest(conversation: Conversation, options: WriteOptions): Record<string, unknown> {
  const { tools, stop, format } = conversation;
  if (conversation.topLogprobs !== null) throw untranslatable("logprobs", "an Anthropic server gives none");
  const { system, messages } = writeTurns(conversation.messages);
  const maxTokens = conversation.maxTokens ?? DEFAULT_MAX_TOKENS;
  const body: Record<string, unknown> = { model: options.model, max_tokens: maxTokens };
  if (system.length > 0) body["system"] = system;
  body["messages"] = messages;
  if (tools.length > 0) {
    body["tools"] = tools.map(writeTool);
    const choice = writeToolChoice(conversation);
    if (choice !== null) body["tool_choice"] = choice;
  }
  const thinking = writeThinking(conversation.reasoning, maxTokens, isForced(conversation));
  if (thinking !== null) body["thinking"] = thinking;
  Object.assign(
    body,
    writeSampling(
      conversation.sampling,
      options.engineKind,
      thinking?.["type"] !== undefined && thinking["type"] !== "disabled",
    ),
  );
  if (stop.length > 0) {
    if (stop.some((text) => text.trim() === "")) {
      throw untranslatable("stop", "an Anthropic server takes no stop strings of nothing but white space");
    }
    body["stop_sequences"] = stop;
  }
  const config: Record<string, unknown> = {};
  if (thinking?.["type"] === "adaptive") config["effort"] = writeEffort(conversation.reasoning);
  if (format?.kind === "json") {
    throw untranslatable("response_format", "an Anthropic server answers in JSON only after a schema");
  }
  if (format?.kind === "schema") config["format"] = { type: "json_schema", schema: format.schema };
  if (Object.keys(config).length > 0) body["output_config"] = config;
  body["stream"] = conversation.isStream;
  return body;
}

function writeTool({ name, description, parameters, strict }: ToolDefinition): Record<string, unknown> {
  const schema = isJsonObject(parameters) ? parameters : {};
  return {
    name,
    ...(description === null ? {} : { description }),
    // A tool without parameters has a schema all the same.
    input_schema: schema["type"] === undefined ? { type: "object", properties: {}, ...schema } : schema,
    ...(strict === true ? { strict } : {}),
  };
}

function writeToolChoice({ toolChoice, parallelToolCalls }: Conversation): Record<string, unknown> | null {
  const single = parallelToolCalls === false ? { disable_parallel_tool_use: true } : {};
  if (toolChoice === "none") return { type: "none" };
  if (toolChoice === "required") return { type: "any", ...single };
  if (toolChoice !== null && toolChoice !== "auto") return { type: "tool", name: toolChoice.name, ...single };
  return toolChoice === "auto" || parallelToolCalls === false ? { type: "auto", ...single } : null;
}

function isForced({ tools, toolChoice }: Conversation): boolean {
  return tools.length > 0 && toolChoice !== null && toolChoice !== "auto" && toolChoice !== "none";
}

/** Thinking, where it can be had: not together with a forced call, and not without room beside its budget. */
function writeThinking(
  reasoning: Reasoning | null,
  maxTokens: number,
  isCallForced: boolean,
): Record<string, unknown> | null {
  if (reasoning === null) return null;
  const { effort, budgetTokens } = reasoning;
  if (effort === "none") return { type: "disabled" };
  if (isCallForced) return null;
  if (budgetTokens !== null) {
    const budget = Math.min(budgetTokens, maxTokens - 1);
    return budget < MIN_BUDGET_TOKENS ? null : { type: "enabled", budget_tokens: budget };
  }
  return effort === null ? null : { type: "adaptive" };
}

function writeEffort(reasoning: Reasoning | null): string {
  const effort = reasoning?.effort ?? "medium";
  return effort === "minimal" || effort === "none" ? "low" : effort;
}

/** Settings without a field there, by their name at most callers, and the value at which they do nothing. */
const FOREIGN = [
  ["seed", "seed", null],
  ["minP", "min_p", 0],
  ["presencePenalty", "presence_penalty", 0],
  ["frequencyPenalty", "frequency_penalty", 0],
  ["repeatPenalty", "repeat_penalty", 1],
] as const satisfies readonly (readonly [keyof Sampling, string, number | null])[];

function writeSampling(sampling: Sampling, engineKind: string, isThinking: boolean): Record<string, number> {
  for (const [key, name, neutral] of FOREIGN) {
    const value = sampling[key];
    if (value !== undefined && value !== neutral) throw untranslatable(name, "an Anthropic server has no such setting");
  }
  const { temperature, topP, topK } = sampling;
  const body: Record<string, number> = {};
  if (OWN_ENGINES.has(engineKind)) {
    if (temperature !== undefined) body["temperature"] = temperature;
    if (topP !== undefined) body["top_p"] = topP;
    if (topK !== undefined) body["top_k"] = topK;
    return body;
  }
  // Thinking is sampled in one way only.
  if (isThinking) return body;
  // Temperature ends at 1 there, and newer models take one of the two.
  if (temperature !== undefined) body["temperature"] = Math.min(1, Math.max(0, temperature));
  else if (topP !== undefined) body["top_p"] = topP;
  if (topK !== undefined) body["top_k"] = topK;
  return body;
}
