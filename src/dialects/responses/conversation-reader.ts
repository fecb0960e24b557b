import type { AnswerShape, Conversation, Message, ReadOptions, Sampling } from "../conversation.ts";
import { readReasoningObject, readSchemaFormat } from "../openai/conversation-reader.ts";
import {
  invalidMember,
  isAbsent,
  type JsonObject,
  objectAt,
  optionalBoolean,
  optionalInteger,
  optionalNumber,
  optionalText,
  untranslatable,
} from "../request-member.ts";
import { readInput } from "./conversation-items.ts";
import { readToolChoice, readTools } from "./conversation-tools.ts";
import { STATEFUL_FIELDS } from "./fields.ts";

/**
 * The request of a Responses call in neutral words. Only whole conversations: nothing that a server keeps can be read here.
 *
 * @throws PosternError `body_invalid`, `untranslatable`, `field_refused`, with `param`.
 */
export function readResponsesRequest(body: JsonObject, options: ReadOptions): Conversation {
  const dropped = new Set<string>();
  for (const [name, reason] of STATEFUL_FIELDS) {
    if (!isAbsent(body[name]) && body[name] !== false) throw untranslatable(name, `it ${reason}`);
  }
  for (const name of Object.keys(body)) {
    if (!READ.has(name) && !isAbsent(body[name]) && body[name] !== false) dropped.add(name);
  }
  const messages: Message[] = [];
  const instructions = optionalText(body["instructions"], "instructions");
  if (instructions !== null && instructions !== "") {
    messages.push({ role: "system", parts: [{ type: "text", text: instructions }] });
  }
  if (isAbsent(body["input"])) throw invalidMember("input", "a string or a list", body["input"]);
  messages.push(...readInput(body["input"], options, dropped));
  const { tools, toolChoice } = readToolChoice(body["tool_choice"], readTools(body["tools"], dropped));
  return {
    messages,
    tools,
    toolChoice: tools.length === 0 && toolChoice === "auto" ? null : toolChoice,
    parallelToolCalls: optionalBoolean(body["parallel_tool_calls"], "parallel_tool_calls"),
    maxTokens: readMaxTokens(body["max_output_tokens"]),
    sampling: readSampling(body),
    stop: [],
    format: readFormat(body["text"], dropped),
    reasoning: readReasoning(body["reasoning"], dropped),
    topLogprobs: readLogprobs(body),
    isStream: optionalBoolean(body["stream"], "stream") ?? false,
    droppedFields: [...dropped],
  };
}

/** Members that are read here; every other one that has a value is dropped and named. */
const READ: ReadonlySet<string> = new Set([
  "model",
  "input",
  "instructions",
  "stream",
  "stream_options",
  "tools",
  "tool_choice",
  "parallel_tool_calls",
  "max_output_tokens",
  "temperature",
  "top_p",
  "top_k",
  "min_p",
  "seed",
  "presence_penalty",
  "frequency_penalty",
  "repeat_penalty",
  "repetition_penalty",
  "text",
  "reasoning",
  "include",
  "top_logprobs",
]);

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

function readMaxTokens(value: unknown): number | null {
  const bound = optionalInteger(value, "max_output_tokens");
  if (bound === 0) throw invalidMember("max_output_tokens", "at least 1", bound);
  return bound === null || bound < 0 ? null : bound;
}

function readFormat(value: unknown, dropped: Set<string>): AnswerShape | null {
  if (isAbsent(value)) return null;
  const text = objectAt(value, "text");
  if (!isAbsent(text["verbosity"])) dropped.add("text.verbosity");
  if (isAbsent(text["format"])) return null;
  const format = objectAt(text["format"], "text.format");
  switch (format["type"]) {
    case "text":
      return null;
    case "json_object":
      return { kind: "json" };
    case "json_schema":
      return readSchemaFormat(format, "text.format");
    default:
      throw untranslatable("text.format.type", "only text, json_object and json_schema have a counterpart there");
  }
}

function readReasoning(value: unknown, dropped: Set<string>): Conversation["reasoning"] {
  if (isAbsent(value)) return null;
  const reasoning = objectAt(value, "reasoning");
  for (const name of ["summary", "generate_summary"]) if (!isAbsent(reasoning[name])) dropped.add(`reasoning.${name}`);
  return readReasoningObject(reasoning);
}

/** Logprobs are asked for by name, in `include`; the number of alternatives alone asks for nothing. */
function readLogprobs(body: JsonObject): number | null {
  const include = body["include"];
  if (!Array.isArray(include) || !include.includes("message.output_text.logprobs")) return null;
  const top = optionalInteger(body["top_logprobs"], "top_logprobs") ?? 0;
  if (top < 0) throw invalidMember("top_logprobs", "at least 0", top);
  return top;
}
