import type { Format } from "./format.ts";
import { type Json, list, member, number, text } from "./json.ts";
import { type Ask, allText, type Turn } from "./turn.ts";

/** Ollama's `/api/chat`: NDJSON, a stream unless told otherwise. An empty conversation loads the model. */
export const ollamaChatFormat: Format = {
  name: "ollama-chat",
  streamType: "application/x-ndjson",

  read(body) {
    const said = member(body, "messages") ?? [];
    if (!Array.isArray(said)) return "json: cannot unmarshal messages into Go struct field ChatRequest.messages";
    const messages = list(said);
    const tool = member(list(member(body, "tools"))[0], "function");
    const last = messages.at(-1);
    return {
      ...common(body),
      prompt: allText(messages) + (tool === undefined ? "" : JSON.stringify(tool)),
      tool: tool === undefined ? null : { name: text(member(tool, "name")), schema: member(tool, "parameters") },
      toolResult: member(last, "role") === "tool" ? text(member(last, "content")) : null,
      images: messages.flatMap((message) => list(member(message, "images"))).length,
    };
  },

  whole: (turn, ask) => ({
    ...head(turn),
    message: { role: "assistant", content: isLoad(ask) ? "" : turn.words.join(""), ...thoughts(turn), ...calls(turn) },
    ...ending(turn, ask),
  }),

  stream(turn, ask) {
    const say = (message: Json) => line({ ...head(turn), message, done: false });
    const content = isLoad(ask)
      ? []
      : [
          ...turn.thinking.map((word) => say({ role: "assistant", content: "", thinking: word })),
          ...turn.words.map((word) => say({ role: "assistant", content: word })),
          ...(turn.calls.length === 0 ? [] : [say({ role: "assistant", content: "", ...calls(turn) })]),
        ];
    const last = line({ ...head(turn), message: { role: "assistant", content: "" }, ...ending(turn, ask) });
    return { content, finish: [last], end: "" };
  },

  midError: (message) => line({ error: message }),
  brokenRecord: '{"model":"m","message":\n',
};

/** Ollama's `/api/generate`. An empty prompt loads the model. */
export const ollamaGenerateFormat: Format = {
  name: "ollama-generate",
  streamType: "application/x-ndjson",

  read: (body) => ({
    ...common(body),
    prompt: text(member(body, "system")) + text(member(body, "prompt")),
    tool: null,
    toolResult: null,
    images: list(member(body, "images")).length,
  }),

  whole: (turn, ask) => ({
    ...head(turn),
    response: isLoad(ask) ? "" : turn.words.join(""),
    ...thoughts(turn),
    ...ending(turn, ask),
    ...(isLoad(ask) ? {} : { context: [1, 2, 3] }),
  }),

  stream(turn, ask) {
    const say = (part: { [name: string]: Json }) => line({ ...head(turn), ...part, done: false });
    const content = isLoad(ask)
      ? []
      : [
          ...turn.thinking.map((word) => say({ response: "", thinking: word })),
          ...turn.words.map((word) => say({ response: word })),
        ];
    const context = isLoad(ask) ? {} : { context: [1, 2, 3] };
    return { content, finish: [line({ ...head(turn), response: "", ...ending(turn, ask), ...context })], end: "" };
  },

  midError: (message) => line({ error: message }),
  brokenRecord: '{"model":"m","response":\n',
};

function common(body: Json): Omit<Ask, "prompt" | "tool" | "toolResult" | "images"> {
  const options = member(body, "options");
  const limit = number(member(options, "num_predict"));
  return {
    model: text(member(body, "model")),
    isStream: member(body, "stream") !== false,
    wantsUsage: true,
    maxTokens: limit !== null && limit > 0 ? limit : null,
    stop: list(member(options, "stop")).map(text),
    choices: 1,
  };
}

function isLoad(ask: Ask): boolean {
  return ask.prompt === "" && ask.images === 0;
}

function head(turn: Turn): { [name: string]: Json } {
  return { model: turn.model, created_at: "2026-11-20T10:00:00.123456789Z" };
}

function thoughts(turn: Turn): { [name: string]: Json } {
  return turn.thinking.length === 0 ? {} : { thinking: turn.thinking.join("") };
}

function calls(turn: Turn): { [name: string]: Json } {
  if (turn.calls.length === 0) return {};
  return {
    tool_calls: turn.calls.map((call, index) => ({
      id: `call_${call.id}`,
      function: { index, name: call.name, arguments: call.arguments },
    })),
  };
}

/** With tool calls the reason is `stop` all the same; counts that are 0 are left out. */
function ending(turn: Turn, ask: Ask): { [name: string]: Json } {
  if (isLoad(ask)) return { done: true, done_reason: "load" };
  return {
    done: true,
    done_reason: turn.finish === "length" ? "length" : "stop",
    total_duration: 1_000_000_000,
    load_duration: 1_000_000,
    prompt_eval_count: turn.tokensIn,
    prompt_eval_duration: 1_000_000,
    eval_count: turn.tokensOut,
    eval_duration: 1_000_000,
  };
}

function line(value: Json): string {
  return `${JSON.stringify(value)}\n`;
}
