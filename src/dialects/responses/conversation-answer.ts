import { randomUUID } from "node:crypto";
import type { Answer, AnswerContext, FinishReason, TokenLogprob } from "../conversation.ts";
import { readLogprobs } from "../openai/conversation-delta.ts";
import { isJsonObject, type JsonObject } from "../request-member.ts";
import { groupedName, splitName } from "./conversation-tools.ts";
import { isAnswer, readResponseUsage, writeResponseUsage } from "./usage.ts";

/** A whole answer of an engine; null when it is none. */
export function readResponsesAnswer(body: JsonObject): Answer | null {
  if (!isAnswer(body)) return null;
  const parts: Answer["parts"] = [];
  const logprobs: TokenLogprob[] = [];
  for (const item of body["output"] as readonly unknown[]) {
    if (!isJsonObject(item)) continue;
    if (item["type"] === "message") readMessage(item, parts, logprobs);
    else if (item["type"] === "reasoning") {
      const text = textsOf(item["content"]) || textsOf(item["summary"]);
      if (text !== "") parts.push({ type: "reasoning", text });
    } else if (item["type"] === "function_call") {
      const call = readCall(item);
      if (call !== null) parts.push({ type: "tool_call", ...call });
    }
  }
  const hasCalls = parts.some(({ type }) => type === "tool_call");
  return {
    parts,
    finish: readEnd(body, hasCalls),
    stopSequence: null,
    usage: readResponseUsage(body["usage"]),
    logprobs: logprobs.length === 0 ? null : logprobs,
  };
}

/** A call as an item says it; null without a name. */
export function readCall(item: JsonObject): { id: string; name: string; argumentsJson: string } | null {
  const name = item["name"];
  if (typeof name !== "string" || name === "") return null;
  const id = item["call_id"] ?? item["id"];
  const said = item["arguments"];
  return {
    id: typeof id === "string" && id !== "" ? id : `call_${randomUUID().replaceAll("-", "")}`,
    name: groupedName(item["namespace"], name),
    argumentsJson: typeof said === "string" && said.trim() !== "" ? said : "{}",
  };
}

/** Why an answer ended, from its status and what it holds. */
export function readEnd(response: JsonObject, hasCalls: boolean): FinishReason {
  const details = response["incomplete_details"];
  const reason = isJsonObject(details) ? details["reason"] : null;
  if (reason === "content_filter") return "content_filter";
  if (response["status"] === "incomplete" || reason === "max_output_tokens") return "length";
  return hasCalls ? "tool_calls" : "stop";
}

function readMessage(item: JsonObject, parts: Answer["parts"], logprobs: TokenLogprob[]): void {
  if (!Array.isArray(item["content"])) return;
  for (const part of item["content"]) {
    if (!isJsonObject(part)) continue;
    const text = part["type"] === "refusal" ? part["refusal"] : part["text"];
    if (typeof text === "string" && text !== "") parts.push({ type: "text", text });
    logprobs.push(...readLogprobs({ content: part["logprobs"] }));
  }
}

function textsOf(list: unknown): string {
  if (!Array.isArray(list)) return "";
  return list.map((part) => (isJsonObject(part) && typeof part["text"] === "string" ? part["text"] : "")).join("");
}

/** A whole answer for a caller. */
export function writeResponsesAnswer(answer: Answer, context: AnswerContext): Record<string, unknown> {
  const output: Record<string, unknown>[] = [];
  let text: string | null = null;
  for (const part of answer.parts) {
    if (part.type === "text") text = (text ?? "") + part.text;
    else {
      if (text !== null) output.push(messageItem(context, output.length, text, null));
      text = null;
      output.push(
        part.type === "reasoning"
          ? reasoningItem(context, output.length, part.text)
          : callItem(context, output.length, part.id, part.name, part.argumentsJson),
      );
    }
  }
  if (text !== null) output.push(messageItem(context, output.length, text, answer.logprobs));
  return responseObject(context, output, answer.finish, answer);
}

/** The id of an answer: our own of the request, because engines repeat theirs. */
export function responseId({ id }: AnswerContext): string {
  return `resp_${id.replaceAll("-", "")}`;
}

/** The id of an item of an answer. */
export function itemId(context: AnswerContext, kind: "msg" | "rs" | "fc", index: number): string {
  return `${kind}_${context.id.replaceAll("-", "")}_${index}`;
}

/** A message that is done. */
export function messageItem(
  context: AnswerContext,
  index: number,
  text: string,
  logprobs: readonly TokenLogprob[] | null,
): Record<string, unknown> {
  return {
    id: itemId(context, "msg", index),
    type: "message",
    status: "completed",
    role: "assistant",
    content: [textPart(text, logprobs)],
  };
}

/** The one part of a message. All of its members are always there: clients read them unguarded. */
export function textPart(text: string, logprobs: readonly TokenLogprob[] | null): Record<string, unknown> {
  const tokens = (logprobs ?? []).map(({ token, logprob, bytes, top }) => ({
    token,
    logprob,
    bytes,
    top_logprobs: top,
  }));
  return { type: "output_text", text, annotations: [], logprobs: tokens };
}

/** As a summary, because that is what clients show and send back. */
export function reasoningItem(context: AnswerContext, index: number, text: string): Record<string, unknown> {
  return { id: itemId(context, "rs", index), type: "reasoning", summary: [{ type: "summary_text", text }] };
}

/** A call that is done, by the names that the caller gave. */
export function callItem(
  context: AnswerContext,
  index: number,
  callId: string,
  name: string,
  argumentsJson: string,
): Record<string, unknown> {
  return {
    id: itemId(context, "fc", index),
    type: "function_call",
    status: "completed",
    call_id: callId,
    ...splitName(name),
    arguments: argumentsJson,
  };
}

/**
 * The answer as a whole. Members that only repeat the request say what is true of every request that got here.
 *
 * @param finish Null while it goes on.
 */
export function responseObject(
  context: AnswerContext,
  output: readonly unknown[],
  finish: FinishReason | null,
  { usage }: Pick<Answer, "usage">,
): Record<string, unknown> {
  const reason = finish === "length" ? "max_output_tokens" : finish === "content_filter" ? finish : null;
  return {
    id: responseId(context),
    object: "response",
    created_at: Math.floor(context.createdAtMs / 1000),
    status: finish === null ? "in_progress" : reason === null ? "completed" : "incomplete",
    background: false,
    error: null,
    incomplete_details: reason === null ? null : { reason },
    instructions: null,
    max_output_tokens: null,
    metadata: {},
    model: context.model,
    output,
    parallel_tool_calls: true,
    previous_response_id: null,
    reasoning: { effort: null, summary: null },
    store: false,
    temperature: null,
    text: { format: { type: "text" } },
    tool_choice: "auto",
    tools: [],
    top_p: null,
    truncation: "disabled",
    usage: usage === null ? null : writeResponseUsage(usage),
  };
}
