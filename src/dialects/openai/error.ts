import { isJsonObject, type JsonObject } from "../request-member.ts";
import { errorWords, readChatError } from "./conversation-error.ts";

/** Longest error body that is looked into; longer ones pass as they are. */
const MAX_ERROR_BYTES = 64 * 1024;

/**
 * An engine's error as clients of this dialect read it: `{"error":{"message":…}}` passes as it is, whatever else it holds. Only a
 * prompt that does not fit gets the `code` by which clients know it, where vLLM and llama-server say the number 400: Codex
 * starts to shorten the conversation then.
 *
 * SGLang and older vLLM answer with the inner object alone, FastAPI with `detail`, some with a text under `error`. Clients show
 * nothing of those: the openai package says "400 status code (no body)", the AI SDK "Bad Request". They get the dialect's shape
 * around the engine's message.
 */
export function adaptOpenAiError(status: number, body: Buffer): { status: number; body: Buffer } | null {
  if (body.length > MAX_ERROR_BYTES) return null;
  const parsed = parse(body);
  if (!isJsonObject(parsed)) return null;
  const error = parsed["error"];
  const said = readChatError(status, parsed);
  if (!isJsonObject(error) || typeof error["message"] !== "string") return reply(said.status, errorWords(said));
  const { code } = errorWords(said);
  return said.kind === "context_length" && error["code"] !== code ? reply(said.status, { ...error, code }) : null;
}

function reply(status: number, error: JsonObject): { status: number; body: Buffer } {
  return { status, body: Buffer.from(JSON.stringify({ error })) };
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    return undefined;
  }
}
