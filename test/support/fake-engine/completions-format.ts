import { chatFormat, usageOf } from "./chat-format.ts";
import type { Clothes } from "./clothes.ts";
import { data, type Format } from "./format.ts";
import { type Json, list, member, number, text } from "./json.ts";
import { allText, type Turn } from "./turn.ts";

/** OpenAI completions, the older format of plain text. */
export const completionsFormat: Format = {
  name: "completions",
  streamType: "text/event-stream",

  read(body) {
    const prompt = member(body, "prompt");
    if (typeof prompt !== "string" && !Array.isArray(prompt)) return "prompt must be a string or a list";
    const stop = member(body, "stop");
    return {
      model: text(member(body, "model")),
      isStream: member(body, "stream") === true,
      wantsUsage: member(member(body, "stream_options"), "include_usage") === true,
      prompt: allText(prompt),
      tool: null,
      toolResult: null,
      maxTokens: number(member(body, "max_tokens")),
      stop: typeof stop === "string" ? [stop] : list(stop).map(text),
      images: 0,
      choices: 1,
    };
  },

  whole: (turn, _ask, clothes) => ({
    ...head(turn, clothes.kind),
    choices: [{ index: 0, text: turn.words.join(""), ...logprobs(clothes), finish_reason: turn.finish }],
    usage: usageOf(turn, 1, clothes),
  }),

  stream(turn, ask, clothes) {
    const base = head(turn, clothes.kind);
    // llama-server says the usage in the last chunk, asked or not.
    const unasked = clothes.kind === "llama-server" ? { usage: usageOf(turn, 1, clothes) } : {};
    const finish = [
      data({
        ...base,
        choices: [{ index: 0, text: "", ...logprobs(clothes), finish_reason: turn.finish }],
        ...unasked,
      }),
    ];
    if (ask.wantsUsage && clothes.kind !== "llama-server")
      finish.push(data({ ...base, choices: [], usage: usageOf(turn, 1, clothes) }));
    return {
      content: turn.words.map((word) =>
        data({ ...base, choices: [{ index: 0, text: word, ...logprobs(clothes), finish_reason: null }] }),
      ),
      finish,
      end: "data: [DONE]\n\n",
    };
  },

  midError: chatFormat.midError,
  brokenRecord: 'data: {"choices":[{"index":0,"text":\n\n',
};

function head(turn: Turn, kind: string): { [name: string]: Json } {
  return {
    id: kind === "ollama" ? "cmpl-42" : `cmpl-${turn.id}`,
    object: "text_completion",
    created: turn.createdSeconds,
    model: turn.model,
  };
}

/** Ollama's choices have none. */
function logprobs({ kind }: Clothes): { [name: string]: Json } {
  return kind === "ollama" ? {} : { logprobs: null };
}
