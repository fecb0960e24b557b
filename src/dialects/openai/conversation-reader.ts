import type { AnswerShape, Conversation, ReadOptions, Reasoning, Sampling, ToolDefinition } from "../conversation.ts";
import {
  invalidMember,
  isAbsent,
  type JsonObject,
  listAt,
  nameAt,
  objectAt,
  optionalBoolean,
  optionalInteger,
  optionalNumber,
  optionalText,
  textAt,
  untranslatable,
} from "../request-member.ts";
import { readMessages } from "./conversation-messages.ts";

/**
 * The request of an OpenAI chat completion in neutral words.
 *
 * @throws PosternError `body_invalid`, `untranslatable`, `field_refused`, with `param`.
 */
export function readChatRequest(body: JsonObject, options: ReadOptions): Conversation {
  const dropped = new Set<string>();
  const wanted = optionalInteger(body["n"], "n");
  if (wanted !== null && wanted !== 1) throw untranslatable("n", "more than one answer has no counterpart there");
  refuseSettings(body);
  for (const name of Object.keys(body)) if (!READ.has(name) && !isAbsent(body[name])) dropped.add(name);
  return {
    messages: readMessages(body["messages"], options, dropped),
    tools: readTools(body),
    toolChoice: readToolChoice(body),
    parallelToolCalls: optionalBoolean(body["parallel_tool_calls"], "parallel_tool_calls"),
    maxTokens: readMaxTokens(body),
    sampling: readSampling(body),
    stop: readStop(body["stop"]),
    format: readFormat(body["response_format"]),
    reasoning: readReasoning(body),
    topLogprobs: readLogprobs(body),
    isStream: optionalBoolean(body["stream"], "stream") ?? false,
    droppedFields: [...dropped],
  };
}

/** Members that are read here; every other one that has a value is dropped and named. */
const READ: ReadonlySet<string> = new Set([
  "model",
  "messages",
  "n",
  "stream",
  "stream_options",
  "tools",
  "tool_choice",
  "functions",
  "function_call",
  "parallel_tool_calls",
  "max_tokens",
  "max_completion_tokens",
  "temperature",
  "top_p",
  "top_k",
  "min_p",
  "seed",
  "presence_penalty",
  "frequency_penalty",
  "repeat_penalty",
  "repetition_penalty",
  "stop",
  "response_format",
  "reasoning_effort",
  "reasoning",
  "logprobs",
  "top_logprobs",
]);

/** Settings that change the answer and have no neutral word, with the value at which they do nothing. Others are hints. */
const UNSPEAKABLE: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ["audio", null],
  ["typical_p", 1],
  ["top_a", 0],
  ["dry_multiplier", 0],
  ["xtc_probability", 0],
  ["mirostat", 0],
  ["min_tokens", 0],
  ["skip_special_tokens", true],
]);

function refuseSettings(body: JsonObject): void {
  for (const [name, neutral] of UNSPEAKABLE) {
    if (!isAbsent(body[name]) && body[name] !== neutral) throw untranslatable(name, "it has no counterpart there");
  }
  for (const name of ["logit_bias", "stop_token_ids"]) {
    const value = body[name];
    if (!isAbsent(value) && (typeof value !== "object" || Object.keys(value).length > 0)) {
      throw untranslatable(name, "tokens have other numbers there");
    }
  }
  if (!isAbsent(body["functions"]) && listAt(body["functions"], "functions").length > 0) {
    throw untranslatable("functions", "the older form of calls has no counterpart there; use tools");
  }
  const modalities = body["modalities"];
  if (!isAbsent(modalities) && listAt(modalities, "modalities").some((one) => one !== "text")) {
    throw untranslatable("modalities", "only text can be answered there");
  }
}

function readTools(body: JsonObject): ToolDefinition[] {
  const tools: ToolDefinition[] = [];
  if (!isAbsent(body["tools"])) {
    for (const [index, item] of listAt(body["tools"], "tools").entries()) {
      const at = `tools[${index}]`;
      const tool = objectAt(item, at);
      if (tool["type"] !== undefined && tool["type"] !== "function") {
        throw untranslatable(`${at}.type`, "only function tools have a counterpart there");
      }
      tools.push(readFunction(objectAt(tool["function"], `${at}.function`), `${at}.function`));
    }
  }
  return tools;
}

/** A function as it stands in `tools[].function` and, flat, in the tools of Responses. */
export function readFunction(tool: JsonObject, at: string): ToolDefinition {
  const parameters = tool["parameters"];
  return {
    name: nameAt(tool["name"], `${at}.name`),
    description: optionalText(tool["description"], `${at}.description`),
    parameters: isAbsent(parameters) ? { type: "object", properties: {} } : objectAt(parameters, `${at}.parameters`),
    strict: optionalBoolean(tool["strict"], `${at}.strict`),
  };
}

function readToolChoice(body: JsonObject): Conversation["toolChoice"] {
  const choice = body["tool_choice"];
  if (isAbsent(choice)) return null;
  if (choice === "auto" || choice === "none" || choice === "required") return choice;
  if (typeof choice === "string") throw invalidMember("tool_choice", "auto, none, required or a function", choice);
  const named = objectAt(choice, "tool_choice");
  if (named["type"] !== "function") throw untranslatable("tool_choice", "only functions can be chosen there");
  return { name: nameAt(objectAt(named["function"], "tool_choice.function")["name"], "tool_choice.function.name") };
}

/** Engines read a negative number as "no limit". */
function readMaxTokens(body: JsonObject): number | null {
  for (const name of ["max_completion_tokens", "max_tokens"]) {
    const value = optionalInteger(body[name], name);
    if (value === 0) throw invalidMember(name, "at least 1", value);
    if (value !== null) return value < 0 ? null : value;
  }
  return null;
}

const SAMPLING = [
  ["temperature", "temperature"],
  ["top_p", "topP"],
  ["top_k", "topK"],
  ["min_p", "minP"],
  ["seed", "seed"],
  ["presence_penalty", "presencePenalty"],
  ["frequency_penalty", "frequencyPenalty"],
  ["repeat_penalty", "repeatPenalty"],
  ["repetition_penalty", "repeatPenalty"],
] as const;

function readSampling(body: JsonObject): Sampling {
  const sampling: Sampling = {};
  for (const [name, word] of SAMPLING) {
    const value = optionalNumber(body[name], name);
    if (value !== null) sampling[word] = value;
  }
  return sampling;
}

function readStop(value: unknown): string[] {
  if (isAbsent(value)) return [];
  if (typeof value === "string") return [value];
  return listAt(value, "stop").map((one, index) => textAt(one, `stop[${index}]`));
}

function readFormat(value: unknown): AnswerShape | null {
  if (isAbsent(value)) return null;
  const format = objectAt(value, "response_format");
  switch (format["type"]) {
    case "text":
      return null;
    case "json_object":
      return { kind: "json" };
    case "json_schema":
      return readSchemaFormat(
        objectAt(format["json_schema"], "response_format.json_schema"),
        "response_format.json_schema",
      );
    default:
      throw untranslatable("response_format.type", "only text, json_object and json_schema have a counterpart there");
  }
}

/** `{ name, schema, strict }`, as chat nests it and Responses writes it flat. */
export function readSchemaFormat(format: JsonObject, at: string): AnswerShape {
  return {
    kind: "schema",
    name: optionalText(format["name"], `${at}.name`) ?? "answer",
    schema: objectAt(format["schema"], `${at}.schema`),
    strict: optionalBoolean(format["strict"], `${at}.strict`),
  };
}

function readReasoning(body: JsonObject): Reasoning | null {
  const effort = optionalText(body["reasoning_effort"], "reasoning_effort");
  if (effort !== null) return { effort: readEffort(effort, "reasoning_effort"), budgetTokens: null };
  // The object of OpenRouter and newer vLLM.
  if (isAbsent(body["reasoning"])) return null;
  return readReasoningObject(objectAt(body["reasoning"], "reasoning"));
}

/** `{ effort, max_tokens, enabled }`; null when it says nothing of how much to think. */
export function readReasoningObject(reasoning: JsonObject): Reasoning | null {
  if (reasoning["enabled"] === false) return { effort: "none", budgetTokens: null };
  const effort = optionalText(reasoning["effort"], "reasoning.effort");
  const budgetTokens = optionalInteger(reasoning["max_tokens"], "reasoning.max_tokens");
  if (effort === null && budgetTokens === null && reasoning["enabled"] !== true) return null;
  return { effort: effort === null ? null : readEffort(effort, "reasoning.effort"), budgetTokens };
}

const EFFORTS = ["none", "minimal", "low", "medium", "high"] as const;

function readEffort(effort: string, param: string): Reasoning["effort"] {
  // Beyond `high` only some models know more; the highest that all know is meant.
  if (effort === "xhigh" || effort === "max") return "high";
  const known = EFFORTS.find((one) => one === effort);
  if (known === undefined) throw invalidMember(param, EFFORTS.join(", "), effort);
  return known;
}

function readLogprobs(body: JsonObject): number | null {
  if (optionalBoolean(body["logprobs"], "logprobs") !== true) return null;
  const top = optionalInteger(body["top_logprobs"], "top_logprobs") ?? 0;
  if (top < 0) throw invalidMember("top_logprobs", "at least 0", top);
  return top;
}
