import { PosternError } from "../../errors.ts";
import type { Conversation, ImagePart, Message, Reasoning, Sampling, TextPart, WriteOptions } from "../conversation.ts";
import { isJsonObject, type JsonObject, untranslatable } from "../request-member.ts";

/**
 * The body of `/api/chat` for an engine.
 *
 * @throws PosternError `untranslatable` for a tool that must be called, calls that must not be parallel, images to fetch.
 */
export function writeChatRequest(conversation: Conversation, { model }: WriteOptions): Record<string, unknown> {
  const { tools, toolChoice, parallelToolCalls } = conversation;
  if (toolChoice === "required" || isJsonObject(toolChoice)) {
    throw untranslatable("tool_choice", "a call cannot be forced there");
  }
  // Without tools none can be called: Ollama's only way to say "none".
  const offered = toolChoice === "none" ? [] : tools;
  if (offered.length > 0 && parallelToolCalls === false) {
    throw untranslatable("parallel_tool_calls", "the number of calls cannot be limited there");
  }
  return {
    model,
    messages: writeMessages(conversation.messages),
    ...(offered.length === 0 ? {} : { tools: offered.map(writeTool) }),
    ...writeSettings(conversation),
  };
}

/**
 * The body of `/api/generate` for an engine.
 *
 * @throws PosternError `untranslatable` for anything but one message of the user behind system messages.
 */
export function writeGenerateRequest(conversation: Conversation, { model }: WriteOptions): Record<string, unknown> {
  const system = conversation.messages.slice(0, -1);
  const asked = conversation.messages.at(-1);
  if (
    asked?.role !== "user" ||
    !system.every((message) => message.role === "system") ||
    conversation.tools.length > 0
  ) {
    throw untranslatable("messages", "only a single prompt has a counterpart there");
  }
  const images = imagesOf(asked.parts);
  return {
    model,
    prompt: textOf(asked.parts),
    ...(system.length === 0 ? {} : { system: textOf(system.flatMap((message) => message.parts)) }),
    ...(images.length === 0 ? {} : { images }),
    ...writeSettings(conversation),
  };
}

/**
 * Ollama cuts a prompt that does not fit without a word, and forgets the beginning of an answer that grows too long; in other
 * dialects the one is a 400 and the other ends with `length` (ollama #3839, #17944). Versions that do not know these members ignore them.
 */
const NO_SHORTENING = { truncate: false, shift: false };

function writeSettings(conversation: Conversation): Record<string, unknown> {
  const { format, reasoning, topLogprobs, isStream } = conversation;
  const options = writeOptions(conversation);
  return {
    stream: isStream,
    ...NO_SHORTENING,
    ...(format === null ? {} : { format: format.kind === "json" ? "json" : format.schema }),
    ...writeThink(reasoning),
    ...(topLogprobs === null ? {} : { logprobs: true, top_logprobs: topLogprobs }),
    ...(Object.keys(options).length === 0 ? {} : { options }),
  };
}

const OPTION_NAMES: Record<keyof Sampling, string> = {
  temperature: "temperature",
  topP: "top_p",
  topK: "top_k",
  minP: "min_p",
  seed: "seed",
  presencePenalty: "presence_penalty",
  frequencyPenalty: "frequency_penalty",
  repeatPenalty: "repeat_penalty",
};

function writeOptions({ sampling, maxTokens, stop }: Conversation): Record<string, unknown> {
  const options: Record<string, unknown> = {};
  for (const [word, name] of Object.entries(OPTION_NAMES)) {
    const value = sampling[word as keyof Sampling];
    if (value !== undefined) options[name] = value;
  }
  if (maxTokens !== null) options["num_predict"] = maxTokens;
  if (stop.length > 0) options["stop"] = stop;
  return options;
}

/**
 * A model that can think does so unasked, and one that cannot answers 400 to being asked (ollama 0.17.4). Claude Code and Codex ask
 * always, so only what differs from the ordinary is said: not at all, or a level, which few models know.
 */
function writeThink(reasoning: Reasoning | null): { think?: boolean | string } {
  const effort = reasoning?.effort ?? null;
  switch (effort) {
    case null:
    case "medium":
      return {};
    case "none":
      return { think: false };
    case "minimal":
      return { think: "low" };
    default:
      return { think: effort };
  }
}

function writeTool({ name, description, parameters }: Conversation["tools"][number]): Record<string, unknown> {
  return { type: "function", function: { name, ...(description === null ? {} : { description }), parameters } };
}

function writeMessages(messages: readonly Message[]): Record<string, unknown>[] {
  const written: Record<string, unknown>[] = [];
  /** Images of tool results, which go into a message of the user behind the results (engine-apis §3.4, 16). */
  let shown: string[] = [];
  const called = new Map<string, string>();
  for (const message of messages) {
    if (message.role !== "tool" && shown.length > 0) {
      written.push({ role: "user", content: "", images: shown });
      shown = [];
    }
    if (message.role === "tool") shown.push(...imagesOf(message.parts));
    if (message.role === "assistant") {
      for (const part of message.parts) if (part.type === "tool_call") called.set(part.id, part.name);
    }
    written.push(writeMessage(message, called));
  }
  if (shown.length > 0) written.push({ role: "user", content: "", images: shown });
  return written;
}

function writeMessage(message: Message, called: ReadonlyMap<string, string>): Record<string, unknown> {
  switch (message.role) {
    case "system":
      return { role: "system", content: textOf(message.parts) };
    case "user": {
      const images = imagesOf(message.parts);
      return { role: "user", content: textOf(message.parts), ...(images.length === 0 ? {} : { images }) };
    }
    case "assistant": {
      const thinking = message.parts.flatMap((part) => (part.type === "reasoning" ? [part.text] : []));
      const calls = message.parts.flatMap((part) => (part.type === "tool_call" ? [part] : []));
      return {
        role: "assistant",
        content: textOf(message.parts),
        ...(thinking.length === 0 ? {} : { thinking: thinking.join("\n") }),
        ...(calls.length === 0
          ? {}
          : {
              tool_calls: calls.map(({ id, name, argumentsJson }, index) => ({
                id,
                function: { index, name, arguments: parseArguments(argumentsJson) },
              })),
            }),
      };
    }
    case "tool": {
      const name = message.name ?? called.get(message.callId);
      return {
        role: "tool",
        content: textOf(message.parts),
        ...(name === undefined ? {} : { tool_name: name }),
        tool_call_id: message.callId,
      };
    }
    default:
      return message satisfies never;
  }
}

/**
 * Arguments as the object that Ollama wants.
 *
 * @throws PosternError `untranslatable` for a text that is none.
 */
function parseArguments(json: string): JsonObject {
  if (json.trim() === "") return {};
  try {
    const value: unknown = JSON.parse(json);
    if (isJsonObject(value)) return value;
  } catch (cause) {
    throw new PosternError("untranslatable", {
      message: "The arguments of a call in the conversation are not valid JSON",
      param: "messages",
      cause,
    });
  }
  throw untranslatable("messages", "the arguments of a call must be an object there");
}

function textOf(parts: readonly { type: string; text?: string }[]): string {
  return parts.flatMap((part) => (part.type === "text" && part.text !== undefined ? [part.text] : [])).join("\n");
}

function imagesOf(parts: readonly (TextPart | ImagePart)[]): string[] {
  return parts.flatMap((part) => {
    if (part.type !== "image") return [];
    if (part.source.kind === "url") throw untranslatable("messages", "images must be inside the request there");
    return [part.source.data];
  });
}
