import { cachedOf } from "./chat-format.ts";
import type { Clothes } from "./clothes.ts";
import { event, type Format } from "./format.ts";
import { type Json, list, member, number, text } from "./json.ts";
import { allText, type Turn } from "./turn.ts";

/** Anthropic messages as the engines write them; also reads what `count_tokens` is asked. */
export const messagesFormat: Format = {
  name: "messages",
  streamType: "text/event-stream",

  read(body) {
    const messages = list(member(body, "messages"));
    if (messages.length === 0) return "messages: at least one message is required";
    const tool = list(member(body, "tools")).find((one) => member(one, "input_schema") !== undefined);
    const blocks = messages.flatMap((one) => list(member(one, "content")));
    const result = list(member(messages.at(-1), "content")).find((block) => member(block, "type") === "tool_result");
    return {
      model: text(member(body, "model")),
      isStream: member(body, "stream") === true,
      wantsUsage: true,
      prompt: allText(member(body, "system")) + allText(messages) + (tool === undefined ? "" : JSON.stringify(tool)),
      tool:
        tool === undefined || member(member(body, "tool_choice"), "type") === "none"
          ? null
          : { name: text(member(tool, "name")), schema: member(tool, "input_schema") },
      toolResult: result === undefined ? null : allText(member(result, "content")),
      maxTokens: number(member(body, "max_tokens")),
      stop: list(member(body, "stop_sequences")).map(text),
      images: blocks.filter((block) => member(block, "type") === "image").length,
      choices: 1,
    };
  },

  whole(turn, _ask, clothes) {
    const content: Json[] = [];
    if (turn.thinking.length > 0) {
      const signature = clothes.kind === "ollama" ? {} : { signature: "" };
      content.push({ type: "thinking", thinking: turn.thinking.join(""), ...signature });
    }
    if (turn.words.length > 0) content.push({ type: "text", text: turn.words.join("") });
    for (const call of turn.calls)
      content.push({ type: "tool_use", id: idOf(call.id), name: call.name, input: call.arguments });
    return {
      ...message(turn, clothes),
      content,
      ...ending(stopReason(turn, clothes), turn.stopSequence, clothes),
      usage: { ...inputUsage(turn, clothes), output_tokens: turn.tokensOut },
    };
  },

  stream(turn, _ask, clothes) {
    const usage = { ...startUsage(turn, clothes), output_tokens: 0 };
    const start = { ...message(turn, clothes), content: [], ...ending(null, null, clothes), usage };
    const content = [event({ type: "message_start", message: start })];
    let index = 0;
    const stops: string[] = [];
    const block = (first: Json, deltas: Json[]) => {
      content.push(event({ type: "content_block_start", index, content_block: first }));
      for (const delta of deltas) content.push(event({ type: "content_block_delta", index, delta }));
      // llama-server opens the next block before it closes the last one, and closes all of them at the end (recorded, b11549).
      (clothes.kind === "llama-server" ? stops : content).push(event({ type: "content_block_stop", index }));
      index += 1;
    };
    if (turn.thinking.length > 0) {
      const deltas: Json[] = turn.thinking.map((word) => ({ type: "thinking_delta", thinking: word }));
      if (clothes.kind === "llama-server") {
        stops.push(event({ type: "content_block_delta", index, delta: { type: "signature_delta", signature: "" } }));
      }
      block({ type: "thinking", thinking: "" }, deltas);
    }
    if (turn.words.length > 0) {
      block(
        { type: "text", text: "" },
        turn.words.map((word) => ({ type: "text_delta", text: word })),
      );
    }
    for (const call of turn.calls) {
      // llama-server leaves `input` out.
      const input = clothes.kind === "llama-server" ? {} : { input: {} };
      const written = JSON.stringify(call.arguments);
      const half = Math.ceil(written.length / 2);
      const parts = clothes.kind === "ollama" ? [written] : [written.slice(0, half), written.slice(half)];
      block(
        { type: "tool_use", id: idOf(call.id), name: call.name, ...input },
        parts.map((part) => ({ type: "input_json_delta", partial_json: part })),
      );
    }
    const said = clothes.kind === "llama-server" ? {} : inputUsage(turn, clothes);
    const delta = ending(stopReason(turn, clothes), turn.stopSequence, clothes);
    return {
      content: [...content, ...stops],
      finish: [event({ type: "message_delta", delta, usage: { ...said, output_tokens: turn.tokensOut } })],
      end: event({ type: "message_stop" }),
    };
  },

  midError(text, clothes) {
    // Ollama's stream just ends, without `message_stop`.
    if (clothes.kind === "ollama") return "";
    return event({ type: "error", error: { type: "api_error", message: text } });
  },

  brokenRecord: 'event: content_block_delta\ndata: {"type":"content_block_delta",\n\n',
};

function message(turn: Turn, clothes: Clothes): { [name: string]: Json } {
  const id = clothes.kind === "llama-server" ? `chatcmpl-${turn.id}` : `msg_${turn.id}`;
  return { id, type: "message", role: "assistant", model: turn.model };
}

function idOf(id: string): string {
  return `toolu_${id}`;
}

/** Ollama leaves out what is empty, and never says which sequence it was. */
function ending(reason: string | null, sequence: string | null, { kind }: Clothes): { [name: string]: Json } {
  if (kind === "ollama") return reason === null ? {} : { stop_reason: reason };
  return { stop_reason: reason, stop_sequence: sequence };
}

/** llama-server says `end_turn` for a stop sequence too. */
function stopReason(turn: Turn, clothes: Clothes): string {
  if (turn.finish === "tool") return "tool_use";
  if (turn.finish === "length") return "max_tokens";
  return turn.stopSequence !== null && clothes.kind !== "llama-server" && clothes.kind !== "ollama"
    ? "stop_sequence"
    : "end_turn";
}

function inputUsage(turn: Turn, clothes: Clothes): { [name: string]: Json } {
  if (clothes.kind !== "llama-server") return { input_tokens: turn.tokensIn };
  return { cache_read_input_tokens: cachedOf(turn), input_tokens: turn.tokensIn - cachedOf(turn) };
}

/** Ollama guesses before it knows, SGLang says nothing yet. */
function startUsage(turn: Turn, clothes: Clothes): { [name: string]: Json } {
  if (clothes.kind === "ollama") return { input_tokens: turn.tokensIn + 2 };
  if (clothes.kind === "sglang") return { input_tokens: 0 };
  return inputUsage(turn, clothes);
}
