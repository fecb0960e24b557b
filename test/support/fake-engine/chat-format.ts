import type { Clothes } from "./clothes.ts";
import { data, type Format } from "./format.ts";
import { type Json, list, member, number, text } from "./json.ts";
import { type Ask, allText, type ToolCall, type Turn } from "./turn.ts";

/** OpenAI chat completions as the engines write them. */
export const chatFormat: Format = {
  name: "chat",
  streamType: "text/event-stream",

  read(body) {
    const messages = list(member(body, "messages"));
    if (messages.length === 0) return "messages must be a list with at least one message";
    const last = messages.at(-1);
    const tool = member(list(member(body, "tools"))[0], "function");
    const stop = member(body, "stop");
    return {
      model: text(member(body, "model")),
      isStream: member(body, "stream") === true,
      wantsUsage: member(member(body, "stream_options"), "include_usage") === true,
      prompt: allText(messages) + (tool === undefined ? "" : JSON.stringify(tool)),
      tool:
        tool === undefined || member(body, "tool_choice") === "none"
          ? null
          : { name: text(member(tool, "name")), schema: member(tool, "parameters") },
      toolResult: member(last, "role") === "tool" ? allText(member(last, "content")) : null,
      maxTokens: number(member(body, "max_completion_tokens")) ?? number(member(body, "max_tokens")),
      stop: typeof stop === "string" ? [stop] : list(stop).map(text),
      images: messages
        .flatMap((one) => list(member(one, "content")))
        .filter((part) => member(part, "type") === "image_url").length,
      choices: number(member(body, "n")) ?? 1,
    };
  },

  whole(turn, ask, clothes) {
    const choices = Array.from({ length: choicesOf(ask, clothes) }, (_, index) => ({
      index,
      message: {
        role: "assistant",
        content: turn.calls.length > 0 && clothes.kind !== "ollama" ? null : turn.words.join(""),
        ...(turn.thinking.length === 0 ? {} : { [thinkingField(clothes)]: turn.thinking.join("") }),
        ...(turn.calls.length > 0
          ? { tool_calls: turn.calls.map((call, at) => callOf(call, at, clothes)) }
          : clothes.kind === "vllm"
            ? { tool_calls: [] }
            : {}),
      },
      ...(clothes.kind === "vllm" || clothes.kind === "sglang" ? { logprobs: null } : {}),
      finish_reason: turn.finish === "tool" ? "tool_calls" : turn.finish,
      ...(clothes.kind === "vllm" ? { stop_reason: turn.stopSequence } : {}),
      ...(clothes.kind === "sglang" ? { matched_stop: turn.stopSequence } : {}),
    }));
    return { ...head(turn, clothes, "chat.completion"), choices, usage: usageOf(turn, choices.length, clothes) };
  },

  stream(turn, ask, clothes) {
    const base = head(turn, clothes, "chat.completion.chunk");
    const chunk = (index: number, delta: Json, finish: string | null = null): string =>
      data({ ...base, choices: [{ index, delta, ...extras(clothes), finish_reason: finish }] });
    const content: string[] = [];
    const finish: string[] = [];
    const count = choicesOf(ask, clothes);
    for (let index = 0; index < count; index += 1) {
      // llama-server begins with a null, vLLM and SGLang with an empty text, the others say the role in every chunk.
      const isOnce = clothes.kind === "llama-server" || clothes.kind === "vllm" || clothes.kind === "sglang";
      const role = isOnce ? {} : { role: "assistant" };
      if (isOnce)
        content.push(chunk(index, { role: "assistant", content: clothes.kind === "llama-server" ? null : "" }));
      for (const word of turn.thinking) {
        content.push(chunk(index, { ...role, ...(isOnce ? {} : { content: "" }), [thinkingField(clothes)]: word }));
      }
      for (const word of turn.words) {
        content.push(chunk(index, { ...role, content: word, ...(clothes.kind === "vllm" ? { tool_calls: [] } : {}) }));
      }
      for (const [at, call] of turn.calls.entries()) {
        for (const part of callParts(call, at, clothes)) content.push(chunk(index, { ...role, ...part }));
      }
      const reason = turn.finish === "tool" ? "tool_calls" : turn.finish;
      finish.push(chunk(index, isOnce ? {} : { ...role, content: "" }, reason));
    }
    if (ask.wantsUsage) finish.push(data({ ...base, choices: [], usage: usageOf(turn, count, clothes) }));
    return { content, finish, end: "data: [DONE]\n\n" };
  },

  midError(message, clothes) {
    // Ollama loses it: an empty chunk, then the end without a finish and without `[DONE]`.
    if (clothes.kind === "ollama") {
      return data({
        object: "chat.completion.chunk",
        choices: [{ index: 0, delta: { role: "assistant", content: "" } }],
      });
    }
    const record = data(asObject(clothes.error("chat", 500, message, "internal")));
    return clothes.kind === "vllm" ? `${record}data: [DONE]\n\n` : record;
  },

  brokenRecord: 'data: {"choices":[{"index":0,"delta":{"content":\n\n',
};

function head(turn: Turn, clothes: Clothes, object: string): { [name: string]: Json } {
  const id = clothes.kind === "ollama" ? "chatcmpl-42" : clothes.kind === "sglang" ? turn.id : `chatcmpl-${turn.id}`;
  const fingerprint: { [name: string]: Json } =
    clothes.kind === "ollama"
      ? { system_fingerprint: "fp_ollama" }
      : clothes.kind === "llama-server"
        ? { system_fingerprint: clothes.version }
        : clothes.kind === "lm-studio"
          ? { system_fingerprint: turn.model }
          : {};
  return { id, object, created: turn.createdSeconds, model: turn.model, ...fingerprint };
}

/** Ollama and LM Studio know one answer only. */
function choicesOf(ask: Ask, clothes: Clothes): number {
  return clothes.kind === "ollama" || clothes.kind === "lm-studio" ? 1 : Math.min(8, Math.max(1, ask.choices));
}

/** Of an answer below `/v1`; llama-server says too what it took from its cache. */
export function usageOf(turn: Turn, choices: number, clothes: Clothes): Json {
  const output = turn.tokensOut * choices;
  return {
    prompt_tokens: turn.tokensIn,
    completion_tokens: output,
    total_tokens: turn.tokensIn + output,
    ...(clothes.kind === "llama-server" ? { prompt_tokens_details: { cached_tokens: cachedOf(turn) } } : {}),
  };
}

/** Five tokens are in the cache, where there are so many. */
export function cachedOf(turn: Turn): number {
  return Math.min(5, turn.tokensIn - 1);
}

function thinkingField(clothes: Clothes): string {
  return clothes.kind === "llama-server" || clothes.kind === "sglang" ? "reasoning_content" : "reasoning";
}

function extras(clothes: Clothes): { [name: string]: Json } {
  return clothes.kind === "vllm" || clothes.kind === "sglang" || clothes.kind === "lm-studio" ? { logprobs: null } : {};
}

function callOf(call: ToolCall, index: number, clothes: Clothes): Json {
  return {
    ...(clothes.kind === "ollama" ? { index } : {}),
    id: idOf(call, clothes),
    type: "function",
    function: { name: call.name, arguments: JSON.stringify(call.arguments) },
  };
}

function idOf(call: ToolCall, clothes: Clothes): string {
  if (clothes.kind === "ollama" || clothes.kind === "sglang") return `call_${call.id}`;
  if (clothes.kind === "vllm") return `chatcmpl-tool-${call.id}`;
  return call.id;
}

/** Ollama sends a call at once; the others its name first and then its arguments in pieces. */
function callParts(call: ToolCall, index: number, clothes: Clothes): Array<{ [name: string]: Json }> {
  const written = JSON.stringify(call.arguments);
  if (clothes.kind === "ollama") {
    return [
      {
        content: "",
        tool_calls: [
          { id: idOf(call, clothes), index, type: "function", function: { name: call.name, arguments: written } },
        ],
      },
    ];
  }
  const half = Math.ceil(written.length / 2);
  // llama-server's first piece stands beside the name (recorded, b11549); the others begin with nothing.
  const begun = clothes.kind === "llama-server" ? "{" : "";
  const first = { index, id: idOf(call, clothes), type: "function", function: { name: call.name, arguments: begun } };
  return [
    { tool_calls: [first] },
    { tool_calls: [{ index, function: { arguments: written.slice(begun.length, half) } }] },
    { tool_calls: [{ index, function: { arguments: written.slice(half) } }] },
  ];
}

function asObject(value: Json): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) && typeof value["error"] !== "object"
    ? { error: value }
    : value;
}
