import { isJsonObject } from "../request-member.ts";
import { errorWords, readChatError } from "./conversation-error.ts";

/** Longest error body that is looked into; longer ones pass as they are. */
const MAX_ERROR_BYTES = 64 * 1024;

/**
 * An engine's error as clients of this dialect read it: `{"error":{"message":…}}` passes as it is, whatever else it holds.
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
  if (isJsonObject(error) && typeof error["message"] === "string") return null;
  const said = readChatError(status, parsed);
  return { status: said.status, body: Buffer.from(JSON.stringify({ error: errorWords(said) })) };
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    return undefined;
  }
}
