import type { AnswerShape, Conversation, Message, Reasoning, Sampling, ToolDefinition } from "../conversation.ts";
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
import { readImages, readMessages } from "./conversation-messages.ts";

/**
 * The request of `/api/chat` in neutral words.
 *
 * @throws PosternError `body_invalid`, `untranslatable`, with `param`.
 */
export function readChatRequest(body: JsonObject): Conversation {
  const dropped = new Set<string>();
  const messages = isAbsent(body["messages"]) ? [] : readMessages(body["messages"], dropped);
  if (messages.length === 0) throw untranslatable("messages", "an empty list only loads a model");
  nameDropped(body, CHAT_MEMBERS, dropped);
  return { ...readSettings(body, dropped), messages, tools: readTools(body["tools"]), droppedFields: [...dropped] };
}

/**
 * The request of `/api/generate` in neutral words: one message of the user, behind the system prompt.
 *
 * @throws PosternError `body_invalid`, `untranslatable`, with `param`.
 */
export function readGenerateRequest(body: JsonObject): Conversation {
  const dropped = new Set<string>();
  for (const name of ["suffix", "template", "raw", "context"]) {
    if (!saysNothing(body[name]))
      throw untranslatable(name, "prompts without the model's own template have no counterpart there");
  }
  const prompt = optionalText(body["prompt"], "prompt") ?? "";
  const images = readImages(body["images"], "images");
  if (prompt === "" && images.length === 0) throw untranslatable("prompt", "an empty prompt only loads a model");
  const system = optionalText(body["system"], "system") ?? "";
  const messages: Message[] = [];
  if (system !== "") messages.push({ role: "system", parts: [{ type: "text", text: system }] });
  messages.push({ role: "user", parts: prompt === "" ? images : [{ type: "text", text: prompt }, ...images] });
  nameDropped(body, GENERATE_MEMBERS, dropped);
  return { ...readSettings(body, dropped), messages, tools: [], droppedFields: [...dropped] };
}

const COMMON_MEMBERS = ["model", "stream", "options", "format", "think", "logprobs", "top_logprobs"] as const;
const CHAT_MEMBERS: ReadonlySet<string> = new Set([...COMMON_MEMBERS, "messages", "tools"]);
const GENERATE_MEMBERS: ReadonlySet<string> = new Set([
  ...COMMON_MEMBERS,
  "prompt",
  "system",
  "images",
  "suffix",
  "template",
  "raw",
  "context",
]);

function nameDropped(body: JsonObject, known: ReadonlySet<string>, dropped: Set<string>): void {
  for (const name of Object.keys(body)) if (!known.has(name) && !isAbsent(body[name])) dropped.add(name);
}

type Settings = Omit<Conversation, "messages" | "tools" | "droppedFields">;

function readSettings(body: JsonObject, dropped: Set<string>): Settings {
  const options = isAbsent(body["options"]) ? {} : objectAt(body["options"], "options");
  if (body["_debug_render_only"] === true) throw untranslatable("_debug_render_only", "it has no counterpart there");
  for (const [name, neutral] of UNSPEAKABLE) {
    if (!isAbsent(options[name]) && options[name] !== neutral) {
      throw untranslatable(`options.${name}`, "it has no counterpart there");
    }
  }
  for (const name of Object.keys(options)) {
    if (!READ_OPTIONS.has(name) && !UNSPEAKABLE.has(name) && !isAbsent(options[name])) dropped.add(`options.${name}`);
  }
  const maxTokens = optionalInteger(options["num_predict"], "options.num_predict");
  return {
    toolChoice: null,
    parallelToolCalls: null,
    // Zero and below are Ollama's words for "no limit".
    maxTokens: maxTokens === null || maxTokens <= 0 ? null : maxTokens,
    sampling: readSampling(options),
    stop: readStop(options["stop"]),
    format: readFormat(body["format"]),
    reasoning: readThink(body["think"]),
    topLogprobs: readTopLogprobs(body),
    isStream: optionalBoolean(body["stream"], "stream") ?? true,
  };
}

/**
 * Options that change the answer and have no neutral word, with the value at which they do what every engine does. Those
 * that Ollama itself no longer reads (`mirostat`, `tfs_z`, …) are dropped, as are those about loading.
 */
const UNSPEAKABLE: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ["typical_p", 1],
  ["repeat_last_n", 64],
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
] as const;

const READ_OPTIONS: ReadonlySet<string> = new Set([...SAMPLING.map(([name]) => name), "num_predict", "stop"]);

function readSampling(options: JsonObject): Sampling {
  const sampling: Sampling = {};
  for (const [name, word] of SAMPLING) {
    const value = optionalNumber(options[name], `options.${name}`);
    if (value !== null) sampling[word] = value;
  }
  return sampling;
}

function readStop(value: unknown): string[] {
  if (isAbsent(value)) return [];
  if (typeof value === "string") return value === "" ? [] : [value];
  return listAt(value, "options.stop").map((one, index) => textAt(one, `options.stop[${index}]`));
}

/** `"json"`, or a JSON Schema. */
function readFormat(value: unknown): AnswerShape | null {
  if (isAbsent(value) || value === "") return null;
  if (value === "json") return { kind: "json" };
  if (!isJsonObject(value)) throw invalidMember("format", '"json" or a JSON schema', value);
  return { kind: "schema", name: "answer", schema: value, strict: null };
}

const EFFORTS = ["none", "minimal", "low", "medium", "high"] as const;

/** True, false, or how much. */
function readThink(value: unknown): Reasoning | null {
  if (isAbsent(value) || value === "") return null;
  if (typeof value === "boolean") return { effort: value ? null : "none", budgetTokens: null };
  // Beyond `high` only some models know more; the highest that all know is meant.
  const effort = value === "max" ? "high" : EFFORTS.find((one) => one === value);
  if (effort === undefined) throw invalidMember("think", `true, false or one of ${EFFORTS.join(", ")}`, value);
  return { effort, budgetTokens: null };
}

function readTopLogprobs(body: JsonObject): number | null {
  const top = optionalInteger(body["top_logprobs"], "top_logprobs") ?? 0;
  if (top < 0) throw invalidMember("top_logprobs", "at least 0", top);
  return optionalBoolean(body["logprobs"], "logprobs") === true ? top : null;
}

function readTools(value: unknown): ToolDefinition[] {
  if (isAbsent(value)) return [];
  return listAt(value, "tools").map((item, index) => {
    const at = `tools[${index}]`;
    const tool = objectAt(item, at);
    const type = tool["type"];
    if (!isAbsent(type) && type !== "" && type !== "function") {
      throw untranslatable(`${at}.type`, "only function tools have a counterpart there");
    }
    const called = objectAt(tool["function"], `${at}.function`);
    const parameters = called["parameters"];
    return {
      name: nameAt(called["name"], `${at}.function.name`),
      description: optionalText(called["description"], `${at}.function.description`),
      parameters: isAbsent(parameters)
        ? { type: "object", properties: {} }
        : objectAt(parameters, `${at}.function.parameters`),
      strict: null,
    };
  });
}

function saysNothing(value: unknown): boolean {
  return isAbsent(value) || value === "" || value === false || (Array.isArray(value) && value.length === 0);
}
