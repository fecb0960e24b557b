import type { Clothes } from "./clothes.ts";
import { event, type Format } from "./format.ts";
import { type Json, list, member, number, text } from "./json.ts";
import { allText, type Turn } from "./turn.ts";

/** OpenAI responses as the engines write them. llama-server leaves out `sequence_number` and the indexes (recorded, b11549). */
export const responsesFormat: Format = {
  name: "responses",
  streamType: "text/event-stream",

  read(body) {
    const input = member(body, "input");
    if (typeof input !== "string" && list(input).length === 0) return "input must be a string or a list of items";
    const items = list(input);
    const last = items.at(-1);
    const tool = list(member(body, "tools")).find((one) => member(one, "type") === "function");
    return {
      model: text(member(body, "model")),
      isStream: member(body, "stream") === true,
      wantsUsage: true,
      prompt: text(member(body, "instructions")) + allText(input) + (tool === undefined ? "" : JSON.stringify(tool)),
      tool:
        tool === undefined || member(body, "tool_choice") === "none"
          ? null
          : { name: text(member(tool, "name")), schema: member(tool, "parameters") },
      toolResult: member(last, "type") === "function_call_output" ? allText(member(last, "output")) : null,
      maxTokens: number(member(body, "max_output_tokens")),
      stop: [],
      images: items
        .flatMap((one) => list(member(one, "content")))
        .filter((part) => member(part, "type") === "input_image").length,
      choices: 1,
    };
  },

  whole: (turn, _ask, clothes) => response(turn, clothes, outputOf(turn, clothes), statusOf(turn, clothes)),

  stream(turn, _ask, clothes) {
    const isPlain = clothes.kind === "llama-server";
    let sequence = 0;
    const say = (type: string, at: number | null, more: { [name: string]: Json }): string => {
      const place: { [name: string]: Json } = isPlain ? {} : { sequence_number: sequence };
      if (!isPlain && at !== null) place["output_index"] = at;
      sequence += 1;
      return event({ type, ...place, ...more });
    };
    const begun: { [name: string]: Json } = isPlain
      ? { id: `resp_${turn.id}`, object: "response", status: "in_progress" }
      : { ...response(turn, clothes, [], "in_progress"), usage: null };
    const content = [
      say("response.created", null, { response: begun }),
      say("response.in_progress", null, { response: begun }),
    ];
    for (const [at, item] of outputOf(turn, clothes).entries()) {
      const id = text(member(item, "id"));
      const part = (index: number): { [name: string]: Json } =>
        isPlain ? { item_id: id } : { item_id: id, content_index: index };
      switch (member(item, "type")) {
        case "reasoning": {
          const isSummary = clothes.kind === "ollama";
          const kind = isSummary ? "response.reasoning_summary_text" : "response.reasoning_text";
          const place = isSummary ? { item_id: id, summary_index: 0 } : part(0);
          const { encrypted_content: _end, ...rest } = item;
          const begun = { ...(isSummary ? rest : item), summary: [], ...(isSummary ? {} : { content: [] }) };
          content.push(say("response.output_item.added", at, { item: begun }));
          for (const delta of turn.thinking) content.push(say(`${kind}.delta`, at, { ...place, delta }));
          if (!isPlain) content.push(say(`${kind}.done`, at, { ...place, text: turn.thinking.join("") }));
          break;
        }
        case "message": {
          content.push(
            say("response.output_item.added", at, { item: { ...item, content: [], status: "in_progress" } }),
          );
          const empty = { type: "output_text", text: "", ...(isPlain ? {} : { annotations: [], logprobs: [] }) };
          content.push(say("response.content_part.added", at, { ...part(0), part: empty }));
          for (const delta of turn.words) {
            content.push(
              say("response.output_text.delta", at, { ...part(0), delta, ...(isPlain ? {} : { logprobs: [] }) }),
            );
          }
          const whole = turn.words.join("");
          const logprobs = isPlain ? {} : { logprobs: [] };
          content.push(say("response.output_text.done", at, { ...part(0), text: whole, ...logprobs }));
          const done = { type: "output_text", annotations: [], logprobs: [], text: whole };
          content.push(say("response.content_part.done", at, { ...part(0), part: done }));
          break;
        }
        default: {
          content.push(
            say("response.output_item.added", at, { item: { ...item, arguments: "", status: "in_progress" } }),
          );
          const written = text(member(item, "arguments"));
          const half = Math.ceil(written.length / 2);
          for (const delta of [written.slice(0, half), written.slice(half)]) {
            content.push(say("response.function_call_arguments.delta", at, { item_id: id, delta }));
          }
          if (!isPlain)
            content.push(say("response.function_call_arguments.done", at, { item_id: id, arguments: written }));
        }
      }
      content.push(say("response.output_item.done", at, { item }));
    }
    const status = statusOf(turn, clothes);
    const last = response(turn, clothes, outputOf(turn, clothes), status);
    const finish = say(status === "incomplete" ? "response.incomplete" : "response.completed", null, {
      response: last,
    });
    return { content, finish: [finish], end: "" };
  },

  midError(message, clothes) {
    if (clothes.kind === "ollama") return "";
    if (clothes.kind === "llama-server") {
      return `event: error\ndata: ${JSON.stringify({ error: { code: 500, message, type: "server_error" } })}\n\n`;
    }
    return event({ type: "error", code: "server_error", message, param: null });
  },

  brokenRecord: 'event: response.output_text.delta\ndata: {"type":"response.output_text.delta",\n\n',
};

/** llama-server and Ollama say `completed` even where the answer was cut at its length. */
function statusOf(turn: Turn, { kind }: Clothes): "completed" | "incomplete" {
  return turn.finish === "length" && kind !== "llama-server" && kind !== "ollama" ? "incomplete" : "completed";
}

function outputOf(turn: Turn, { kind }: Clothes): Array<{ [name: string]: Json }> {
  const output: Array<{ [name: string]: Json }> = [];
  if (turn.thinking.length > 0) {
    const thought = turn.thinking.join("");
    // Ollama calls it a summary.
    output.push({
      type: "reasoning",
      id: `rs_${turn.id}`,
      ...(kind === "ollama"
        ? { summary: [{ type: "summary_text", text: thought }] }
        : { summary: [], content: [{ type: "reasoning_text", text: thought }] }),
      ...(kind === "ollama" || kind === "llama-server" ? { encrypted_content: "" } : {}),
    });
  }
  if (turn.words.length > 0) {
    output.push({
      type: "message",
      id: `msg_${turn.id}`,
      status: "completed",
      role: "assistant",
      content: [{ type: "output_text", annotations: [], logprobs: [], text: turn.words.join("") }],
    });
  }
  for (const call of turn.calls) {
    output.push({
      type: "function_call",
      id: `fc_${call.id}`,
      call_id: `call_${call.id}`,
      name: call.name,
      arguments: JSON.stringify(call.arguments),
      status: "completed",
    });
  }
  return output;
}

function response(turn: Turn, { kind }: Clothes, output: Json, status: string): { [name: string]: Json } {
  const isCut = status === "incomplete";
  return {
    id: `resp_${turn.id}`,
    object: "response",
    created_at: turn.createdSeconds,
    status,
    model: turn.model,
    output,
    ...(kind === "llama-server"
      ? {}
      : {
          error: null,
          incomplete_details: isCut ? { reason: "max_output_tokens" } : null,
          instructions: null,
          metadata: {},
          background: false,
          max_output_tokens: null,
          max_tool_calls: null,
          reasoning: null,
          service_tier: "default",
          temperature: 1,
          text: { format: { type: "text" } },
          top_logprobs: 0,
          top_p: 1,
          truncation: "disabled",
          parallel_tool_calls: true,
          previous_response_id: null,
          store: kind === "lm-studio",
          tool_choice: "auto",
          tools: [],
        }),
    usage: {
      input_tokens: turn.tokensIn,
      input_tokens_details: { cached_tokens: 0 },
      output_tokens: turn.tokensOut,
      ...(kind === "llama-server" ? {} : { output_tokens_details: { reasoning_tokens: turn.thinking.length } }),
      total_tokens: turn.tokensIn + turn.tokensOut,
    },
  };
}
