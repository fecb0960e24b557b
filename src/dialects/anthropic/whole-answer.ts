import type { Answer, AnswerContext, FinishReason } from "../conversation.ts";
import type { Usage } from "../dialect.ts";
import { isJsonObject, type JsonObject } from "../request-member.ts";
import { argumentsObject } from "./conversation-turns.ts";
import { ToolUseIds } from "./tool-use-ids.ts";
import { nothingSaid, overlayUsage, usageOf } from "./usage.ts";

/**
 * The signature of thinking that nobody signed: clients expect one before a thinking block ends (reference: engine-apis
 * §3.4, 6). It says whose it is, because no server accepts another's.
 */
export const UNSIGNED = "cG9zdGVybjp1bnNpZ25lZA==";

/** A whole message of an engine; null when it is none. Blocks of tools that a server ran itself are left out. */
export function readMessage(body: JsonObject): Answer | null {
  const content = body["content"];
  const error = body["error"];
  if (!Array.isArray(content) || (body["type"] ?? "message") !== "message") return null;
  if (isJsonObject(error) || (typeof error === "string" && error !== "")) return null;
  const parts: Answer["parts"] = [];
  const ids = new ToolUseIds();
  for (const block of content) if (isJsonObject(block)) readBlock(block, parts, ids);
  const said = nothingSaid();
  const isFinal = overlayUsage(said, body["usage"]);
  const usage = usageOf(said, { requestBytes: 0, counted: parts.length, isFinal });
  return {
    parts,
    ...readFinish(body, parts),
    // No prompt has zero tokens; whoever asks estimates then.
    usage: usage.isEstimated ? null : usage,
    logprobs: null,
  };
}

function readBlock(block: JsonObject, parts: Answer["parts"], ids: ToolUseIds): void {
  const { type, text, thinking, id, name, input } = block;
  if (type === "text" && typeof text === "string" && text !== "") parts.push({ type, text });
  if (type === "thinking" && typeof thinking === "string" && thinking !== "") {
    parts.push({ type: "reasoning", text: thinking });
  }
  if (type !== "tool_use") return;
  parts.push({
    type: "tool_call",
    id: ids.unique(id),
    name: typeof name === "string" ? name : "",
    argumentsJson: isJsonObject(input) ? JSON.stringify(input) : "{}",
  });
}

function readFinish(body: JsonObject, parts: Answer["parts"]): Pick<Answer, "finish" | "stopSequence"> {
  const hasCalls = parts.some(({ type }) => type === "tool_call");
  const { reason, stopSequence } = readStopReason(body["stop_reason"], body["stop_sequence"], hasCalls);
  return { finish: reason, stopSequence };
}

/**
 * Why an answer ended. What was sent decides about tools, not the engine's word (engine-apis §3.4, 4); llama-server tells a
 * stop string as `end_turn` with the string beside it (engine-apis §1.2).
 */
export function readStopReason(
  reason: unknown,
  sequence: unknown,
  hasCalls: boolean,
): { reason: FinishReason; stopSequence: string | null } {
  if (reason === "max_tokens" || reason === "model_context_window_exceeded") {
    return { reason: "length", stopSequence: null };
  }
  if (reason === "refusal") return { reason: "content_filter", stopSequence: null };
  if (hasCalls) return { reason: "tool_calls", stopSequence: null };
  if (typeof sequence === "string" && sequence !== "") return { reason: "stop_sequence", stopSequence: sequence };
  return { reason: reason === "stop_sequence" ? "stop_sequence" : "stop", stopSequence: null };
}

/** The word of this dialect for why an answer ended, derived from the blocks that were sent (engine-apis §3.4, 4). */
export function writeStopReason(reason: FinishReason, hasCalls: boolean): string {
  switch (reason) {
    case "length":
      return "max_tokens";
    case "content_filter":
      return "refusal";
    case "stop_sequence":
      return hasCalls ? "tool_use" : "stop_sequence";
    case "stop":
    case "tool_calls":
      return hasCalls ? "tool_use" : "end_turn";
    default:
      return reason satisfies never;
  }
}

/** A whole message for a caller. */
export function writeMessage(answer: Answer, context: AnswerContext): Record<string, unknown> {
  const content: Record<string, unknown>[] = [];
  let hasCalls = false;
  for (const part of answer.parts) {
    if (part.type === "tool_call") {
      hasCalls = true;
      content.push({ type: "tool_use", id: part.id, name: part.name, input: argumentsObject(part.argumentsJson) });
    } else if (part.text !== "") {
      content.push(
        part.type === "text"
          ? { type: "text", text: part.text }
          : { type: "thinking", thinking: part.text, signature: UNSIGNED },
      );
    }
  }
  return {
    id: messageId(context),
    type: "message",
    role: "assistant",
    model: context.model,
    content,
    stop_reason: writeStopReason(answer.finish, hasCalls),
    stop_sequence: hasCalls ? null : answer.stopSequence,
    usage: writeUsage(answer.usage, context),
  };
}

/** The id of a message: our own of the request, because engines repeat theirs. */
export function messageId({ id }: AnswerContext): string {
  return `msg_${id.replaceAll("-", "")}`;
}

/** `usage` as this dialect says it: the prompt without what was cached. Always an object: clients read it unguarded (engine-apis §3.4, 5). */
export function writeUsage(usage: Usage | null, { estimatedTokensIn }: AnswerContext): Record<string, unknown> {
  const tokensInCached = usage?.tokensInCached ?? 0;
  const tokensReasoning = usage?.tokensReasoning ?? null;
  return {
    input_tokens: Math.max(0, (usage?.tokensIn ?? estimatedTokensIn) - tokensInCached),
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: tokensInCached,
    output_tokens: usage?.tokensOut ?? 0,
    ...(tokensReasoning === null ? {} : { output_tokens_details: { thinking_tokens: tokensReasoning } }),
  };
}
