import type { AnswerShape, Conversation, ReadOptions, Reasoning, Sampling, ToolDefinition } from "../conversation.ts";
import {
  invalidMember,
  isAbsent,
  isJsonObject,
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
 * A request to `/v1/messages` in neutral words.
 *
 * @throws PosternError `body_invalid`, `untranslatable`, `field_refused` (media to fetch), with `param`.
 */
export function readMessagesRequest(body: JsonObject, options: ReadOptions): Conversation {
  const dropped = new Set<string>();
  for (const name of UNSPEAKABLE) {
    if (!isEmpty(body[name])) throw untranslatable(name, "only Anthropic's own servers run it");
  }
  for (const name of Object.keys(body)) if (!READ.has(name) && !isAbsent(body[name])) dropped.add(name);
  const choice = readToolChoice(body["tool_choice"]);
  return {
    messages: readMessages(body["system"], body["messages"], options, dropped),
    tools: readTools(body["tools"], dropped),
    toolChoice: choice.toolChoice,
    parallelToolCalls: choice.parallelToolCalls,
    maxTokens: optionalInteger(body["max_tokens"], "max_tokens"),
    sampling: readSampling(body),
    stop: isAbsent(body["stop_sequences"])
      ? []
      : listAt(body["stop_sequences"], "stop_sequences").map((text, at) => textAt(text, `stop_sequences[${at}]`)),
    format: readFormat(body),
    reasoning: readReasoning(body, dropped),
    topLogprobs: null,
    isStream: optionalBoolean(body["stream"], "stream") ?? false,
    droppedFields: [...dropped],
  };
}

/** Members that are read here; every other one that has a value is dropped and named. */
const READ: ReadonlySet<string> = new Set([
  "model",
  "system",
  "messages",
  "tools",
  "tool_choice",
  "max_tokens",
  "temperature",
  "top_p",
  "top_k",
  "stop_sequences",
  "stream",
  "thinking",
  "output_config",
  "output_format",
  "mcp_servers",
  "container",
]);

/** What the answer cannot be had without, and no other server has. */
const UNSPEAKABLE = ["mcp_servers", "container"] as const;

function isEmpty(value: unknown): boolean {
  return isAbsent(value) || (Array.isArray(value) && value.length === 0);
}

function readSampling(body: JsonObject): Sampling {
  const sampling: Sampling = {};
  const temperature = optionalNumber(body["temperature"], "temperature");
  const topP = optionalNumber(body["top_p"], "top_p");
  const topK = optionalInteger(body["top_k"], "top_k");
  if (temperature !== null) sampling.temperature = temperature;
  if (topP !== null) sampling.topP = topP;
  if (topK !== null) sampling.topK = topK;
  return sampling;
}

/** Members of a tool that only say how the model gets to know of it, or what it costs. */
const TOOL_MEMBERS: ReadonlySet<string> = new Set(["type", "name", "description", "input_schema", "strict"]);

function readTools(value: unknown, dropped: Set<string>): ToolDefinition[] {
  if (isAbsent(value)) return [];
  return listAt(value, "tools").map((item, index) => {
    const at = `tools[${index}]`;
    const tool = objectAt(item, at);
    const type = optionalText(tool["type"], `${at}.type`);
    if (type !== null && type !== "custom") {
      throw untranslatable(at, `the tool "${type.slice(0, 64)}" is defined by Anthropic and known only there`);
    }
    for (const name of Object.keys(tool)) if (!TOOL_MEMBERS.has(name)) dropped.add(`tools.${name}`);
    return {
      name: nameAt(tool["name"], `${at}.name`),
      description: optionalText(tool["description"], `${at}.description`),
      parameters: objectAt(tool["input_schema"] ?? {}, `${at}.input_schema`),
      strict: optionalBoolean(tool["strict"], `${at}.strict`),
    };
  });
}

function readToolChoice(value: unknown): Pick<Conversation, "toolChoice" | "parallelToolCalls"> {
  if (isAbsent(value)) return { toolChoice: null, parallelToolCalls: null };
  const choice = objectAt(value, "tool_choice");
  const isSingle = optionalBoolean(choice["disable_parallel_tool_use"], "tool_choice.disable_parallel_tool_use");
  const parallelToolCalls = isSingle === null ? null : !isSingle;
  switch (choice["type"]) {
    case "auto":
      return { toolChoice: "auto", parallelToolCalls };
    case "none":
      return { toolChoice: "none", parallelToolCalls };
    case "any":
      return { toolChoice: "required", parallelToolCalls };
    case "tool":
      return { toolChoice: { name: nameAt(choice["name"], "tool_choice.name") }, parallelToolCalls };
    default:
      throw invalidMember("tool_choice.type", "auto, any, tool or none", choice["type"]);
  }
}

/** `output_format` is what `output_config.format` was called in its beta. */
function readFormat(body: JsonObject): AnswerShape | null {
  const config = body["output_config"];
  const value = (isAbsent(config) ? null : objectAt(config, "output_config")["format"]) ?? body["output_format"];
  if (isAbsent(value)) return null;
  const format = objectAt(value, "output_config.format");
  if (format["type"] !== "json_schema") throw untranslatable("output_config.format", "its type is not known");
  const schema = objectAt(format["schema"], "output_config.format.schema");
  return { kind: "schema", name: "answer", schema, strict: true };
}

const EFFORTS: ReadonlyMap<unknown, Reasoning["effort"]> = new Map([
  ["low", "low"],
  ["medium", "medium"],
  ["high", "high"],
  ["xhigh", "high"],
  ["max", "high"],
]);

/**
 * Thinking is what is asked for in `thinking`; how hard stands beside it, in `output_config.effort`. The effort alone is a
 * hint on length, and no reason to switch thinking on: models that cannot think answer 400 to that.
 */
function readReasoning(body: JsonObject, dropped: Set<string>): Reasoning | null {
  const config = body["output_config"];
  const said = isJsonObject(config) ? config["effort"] : undefined;
  const effort = EFFORTS.get(said) ?? null;
  if (!isAbsent(said) && effort === null) throw invalidMember("output_config.effort", "an effort", said);
  if (isAbsent(body["thinking"])) {
    if (effort !== null) dropped.add("output_config.effort");
    return null;
  }
  const thinking = objectAt(body["thinking"], "thinking");
  switch (thinking["type"]) {
    case "disabled":
      return { effort: "none", budgetTokens: null };
    case "enabled":
      return { effort, budgetTokens: optionalInteger(thinking["budget_tokens"], "thinking.budget_tokens") };
    case "adaptive":
    case "between_tools":
      return { effort, budgetTokens: null };
    default:
      throw invalidMember("thinking.type", "enabled, adaptive or disabled", thinking["type"]);
  }
}
