import type { SaidError } from "../conversation.ts";
import { isJsonObject } from "../request-member.ts";
import { saidError } from "../said-error.ts";

/** Status of an in-band error: Ollama names none there. */
const DEFAULT_STATUS = 502;

/**
 * An error body of an engine that speaks Ollama's dialect: a text under `error`; other servers of the dialect put OpenAI's
 * object there.
 *
 * @param status Of the answer; below 400 for errors that came in a stream.
 */
export function readError(status: number, body: unknown): SaidError {
  const told = isJsonObject(body) ? body["error"] : body;
  const error = isJsonObject(told) ? told : {};
  const marks = [error["type"], error["code"]].filter((mark) => typeof mark === "string");
  const message = typeof told === "string" ? told : error["message"];
  return saidError({
    status: status >= 400 ? status : DEFAULT_STATUS,
    marks,
    message: typeof message === "string" ? message : "",
  });
}
