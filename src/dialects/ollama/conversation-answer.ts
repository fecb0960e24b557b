import { randomUUID } from "node:crypto";
import { PosternError } from "../../errors.ts";
import type { Answer, AnswerContext, FinishReason, TokenLogprob, ToolCallPart } from "../conversation.ts";
import type { Usage } from "../dialect.ts";
import { isJsonObject, type JsonObject } from "../request-member.ts";
import { type ChunkKind, timestamp } from "./chunk.ts";
import { saysError } from "./stream-record.ts";
import { finalUsage, readCounts } from "./usage.ts";

/** What one line, or a whole answer, says in this dialect. */
export interface SaidParts {
  thinking: string;
  text: string;
  calls: ToolCallPart[];
  tokens: TokenLogprob[];
}

/** Most calls of one line, and most alternatives of one token, that are read. */
const MAX_CALLS = 128;
const MAX_TOP = 64;

/** Reads what a line says. Tolerant: what is of another kind says nothing. */
export function readParts(line: JsonObject): SaidParts {
  const message = line["message"];
  const said = isJsonObject(message) ? message : line;
  return {
    thinking: textIn(said["thinking"]),
    text: textIn(isJsonObject(message) ? message["content"] : line["response"]),
    calls: readCalls(said["tool_calls"]),
    tokens: readTokens(line["logprobs"]),
  };
}

/**
 * Calls come whole, often without ids, and parallel ones all with index 0 (engine-apis §3.4, 8). A missing id is made here,
 * unique also between answers, because callers join results to calls by id across the whole conversation.
 */
function readCalls(value: unknown): ToolCallPart[] {
  if (!Array.isArray(value)) return [];
  return value.slice(0, MAX_CALLS).flatMap((call): ToolCallPart[] => {
    const called: unknown = isJsonObject(call) ? call["function"] : null;
    if (!isJsonObject(call) || !isJsonObject(called)) return [];
    const name = textIn(called["name"]);
    if (name === "") return [];
    const id = textIn(call["id"]);
    const given = called["arguments"];
    const argumentsJson = isJsonObject(given) ? JSON.stringify(given) : typeof given === "string" ? given : "{}";
    return [
      { type: "tool_call", id: id === "" ? `call_${randomUUID().replaceAll("-", "")}` : id, name, argumentsJson },
    ];
  });
}

function readTokens(value: unknown): TokenLogprob[] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((item) => {
    const token = readToken(item);
    if (token === null || !isJsonObject(item)) return [];
    const top = Array.isArray(item["top_logprobs"]) ? item["top_logprobs"].slice(0, MAX_TOP) : [];
    return [{ ...token, top: top.flatMap((one) => readToken(one) ?? []) }];
  });
}

function readToken(value: unknown): Omit<TokenLogprob, "top"> | null {
  if (!isJsonObject(value) || typeof value["token"] !== "string" || typeof value["logprob"] !== "number") return null;
  const bytes = value["bytes"];
  const isBytes = Array.isArray(bytes) && bytes.every((byte) => typeof byte === "number");
  return { token: value["token"], logprob: value["logprob"], bytes: isBytes ? bytes : null };
}

/** Why an answer ended. Ollama says `stop` behind calls too (engine-apis §3.4, 18). */
export function readFinish(reason: unknown, hasCalls: boolean): FinishReason {
  if (reason === "length") return "length";
  return hasCalls ? "tool_calls" : "stop";
}

/** A whole answer of an engine; null when it is none: an error with a good status, nothing said, or not done. */
export function readWholeAnswer(kind: ChunkKind, body: JsonObject): Answer | null {
  if (saysError(body) || body["done"] !== true) return null;
  const isOurs = kind === "chat" ? isJsonObject(body["message"]) : typeof body["response"] === "string";
  if (!isOurs) return null;
  const { thinking, text, calls, tokens } = readParts(body);
  const parts: Answer["parts"] = [];
  if (thinking !== "") parts.push({ type: "reasoning", text: thinking });
  if (text !== "") parts.push({ type: "text", text });
  parts.push(...calls);
  return {
    parts,
    finish: readFinish(body["done_reason"], calls.length > 0),
    stopSequence: null,
    usage: finalUsage(readCounts(body), parts.length > 0),
    logprobs: tokens.length === 0 ? null : tokens,
  };
}

/** A whole answer for a caller. */
export function writeWholeAnswer(kind: ChunkKind, answer: Answer, context: AnswerContext): Record<string, unknown> {
  let thinking = "";
  let text = "";
  const calls: Record<string, unknown>[] = [];
  for (const part of answer.parts) {
    if (part.type === "reasoning") thinking += part.text;
    else if (part.type === "text") text += part.text;
    else calls.push(writeCall(part, calls.length));
  }
  return {
    model: context.model,
    created_at: timestamp(context.createdAtMs),
    ...writeParts(kind, text, thinking, calls),
    ...writeEnd(answer.finish, answer.usage),
    ...(answer.logprobs === null ? {} : { logprobs: answer.logprobs.map(writeToken) }),
  };
}

/** What is said, in the members of the format. */
export function writeParts(
  kind: ChunkKind,
  text: string,
  thinking: string,
  calls: readonly Record<string, unknown>[],
): Record<string, unknown> {
  const more = {
    ...(thinking === "" ? {} : { thinking }),
    ...(calls.length === 0 ? {} : { tool_calls: calls }),
  };
  return kind === "chat" ? { message: { role: "assistant", content: text, ...more } } : { response: text, ...more };
}

/**
 * The members of a last line. Durations are left out, as Ollama leaves out those of zero: they are the engine's, and the
 * engine of a translated answer did not say them.
 */
export function writeEnd(finish: FinishReason, usage: Usage | null): Record<string, unknown> {
  return {
    done: true,
    done_reason: finish === "length" || finish === "content_filter" ? finish : "stop",
    ...(usage === null
      ? {}
      : {
          prompt_eval_count: usage.tokensIn,
          ...(usage.tokensInCached === 0 ? {} : { prompt_eval_cached_count: usage.tokensInCached }),
          eval_count: usage.tokensOut,
        }),
  };
}

/**
 * One call, with its arguments as an object.
 *
 * @throws PosternError `engine_bad_answer` where the model wrote something else: Ollama's clients cannot be told of it.
 */
export function writeCall(
  { id, name, argumentsJson }: Omit<ToolCallPart, "type">,
  index: number,
): Record<string, unknown> {
  let value: unknown = {};
  try {
    if (argumentsJson.trim() !== "") value = JSON.parse(argumentsJson);
  } catch {
    value = null;
  }
  if (!isJsonObject(value)) {
    throw new PosternError("engine_bad_answer", { detail: { reason: "arguments of a call are not an object" } });
  }
  return { id, function: { index, name, arguments: value } };
}

/** One token of `logprobs`. */
export function writeToken({ token, logprob, bytes, top }: TokenLogprob): Record<string, unknown> {
  return {
    ...writeBytes(token, logprob, bytes),
    ...(top.length === 0 ? {} : { top_logprobs: top.map((one) => writeBytes(one.token, one.logprob, one.bytes)) }),
  };
}

function writeBytes(token: string, logprob: number, bytes: number[] | null): Record<string, unknown> {
  return { token, logprob, ...(bytes === null ? {} : { bytes }) };
}

function textIn(value: unknown): string {
  return typeof value === "string" ? value : "";
}
