import type { Answer, AnswerContext, FinishReason, TokenLogprob } from "../conversation.ts";
import type { Usage } from "../dialect.ts";
import { isJsonObject, type JsonObject } from "../request-member.ts";
import { deltaReasoning, deltaText, readLogprobs } from "./conversation-delta.ts";
import { ToolCallIndex } from "./tool-call-index.ts";
import { readUsage } from "./usage.ts";

/** A whole chat completion of an engine; null when it is none: no choice, no message, or an error with a good status. */
export function readChatAnswer(body: JsonObject): Answer | null {
  const error = body["error"];
  if (isJsonObject(error) || (typeof error === "string" && error !== "")) return null;
  const choices = body["choices"];
  const choice: unknown = Array.isArray(choices) ? choices[0] : undefined;
  if (!isJsonObject(choice) || choice["finish_reason"] === "error") return null;
  const message = choice["message"];
  if (!isJsonObject(message)) return null;
  const parts: Answer["parts"] = [];
  const reasoning = deltaReasoning(message);
  if (reasoning !== "") parts.push({ type: "reasoning", text: reasoning });
  const text = deltaText(message);
  if (text !== "") parts.push({ type: "text", text });
  const calls = new ToolCallIndex();
  const pieces = new Map<number, { id: string; name: string; argumentsJson: string }>();
  for (const event of calls.read(message)) {
    if (event.type === "tool_start") pieces.set(event.index, { id: event.id, name: event.name, argumentsJson: "" });
    else {
      const piece = pieces.get(event.index);
      if (piece !== undefined) piece.argumentsJson += event.json;
    }
  }
  for (const piece of pieces.values()) {
    parts.push({
      type: "tool_call",
      ...piece,
      argumentsJson: piece.argumentsJson.trim() === "" ? "{}" : piece.argumentsJson,
    });
  }
  const finish = readFinish(choice["finish_reason"], choice["stop_reason"], pieces.size > 0);
  const logprobs = readLogprobs(choice["logprobs"]);
  return {
    parts,
    finish: finish.reason,
    stopSequence: finish.stopSequence,
    usage: readUsage(body["usage"]),
    logprobs: logprobs.length === 0 ? null : logprobs,
  };
}

/**
 * Why an answer ended. What was sent decides about tools, not the engine's word: `stop` behind a call would end an agent's
 * loop (engine-apis §3.4, 4).
 *
 * @param stopReason vLLM's member: the stop string that was hit.
 */
export function readFinish(
  reason: unknown,
  stopReason: unknown,
  hasCalls: boolean,
): { reason: FinishReason; stopSequence: string | null } {
  if (reason === "length" || reason === "content_filter") return { reason, stopSequence: null };
  if (hasCalls) return { reason: "tool_calls", stopSequence: null };
  if (typeof stopReason === "string" && stopReason !== "") return { reason: "stop_sequence", stopSequence: stopReason };
  return { reason: "stop", stopSequence: null };
}

/** The word of this dialect for why an answer ended. */
export function writeFinish(reason: FinishReason): string {
  return reason === "stop_sequence" ? "stop" : reason;
}

/** A whole chat completion for a caller. */
export function writeChatAnswer(answer: Answer, context: AnswerContext): Record<string, unknown> {
  let text = "";
  let reasoning = "";
  const calls: Record<string, unknown>[] = [];
  for (const part of answer.parts) {
    if (part.type === "text") text += part.text;
    else if (part.type === "reasoning") reasoning += part.text;
    else calls.push({ id: part.id, type: "function", function: { name: part.name, arguments: part.argumentsJson } });
  }
  const message: Record<string, unknown> = {
    role: "assistant",
    content: text === "" && calls.length > 0 ? null : text,
  };
  if (reasoning !== "") message["reasoning_content"] = reasoning;
  message["refusal"] = null;
  if (calls.length > 0) message["tool_calls"] = calls;
  return {
    id: chatId(context),
    object: "chat.completion",
    created: Math.floor(context.createdAtMs / 1000),
    model: context.model,
    choices: [
      {
        index: 0,
        message,
        logprobs: answer.logprobs === null ? null : { content: answer.logprobs.map(writeLogprob), refusal: null },
        finish_reason: writeFinish(calls.length > 0 && answer.finish === "stop" ? "tool_calls" : answer.finish),
      },
    ],
    ...(answer.usage === null ? {} : { usage: writeUsage(answer.usage) }),
  };
}

/** The id of an answer: our own of the request, because engines repeat theirs. */
export function chatId({ id }: AnswerContext): string {
  return `chatcmpl-${id.replaceAll("-", "")}`;
}

/** `usage` as OpenAI says it: the prompt includes what was cached, the completion what was thought. */
export function writeUsage(usage: Usage): Record<string, unknown> {
  const { tokensIn, tokensInCached, tokensOut, tokensReasoning } = usage;
  return {
    prompt_tokens: tokensIn,
    completion_tokens: tokensOut,
    total_tokens: tokensIn + tokensOut,
    prompt_tokens_details: { cached_tokens: tokensInCached },
    ...(tokensReasoning === null ? {} : { completion_tokens_details: { reasoning_tokens: tokensReasoning } }),
  };
}

/** One token of `logprobs.content`. */
export function writeLogprob({ token, logprob, bytes, top }: TokenLogprob): Record<string, unknown> {
  return { token, logprob, bytes, top_logprobs: top };
}
