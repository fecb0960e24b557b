import { ERRORS, PosternError } from "../../errors.ts";
import type { SaidError } from "../conversation.ts";
import { isJsonObject } from "../request-member.ts";
import { saidError } from "../said-error.ts";

/** Status of an in-band error that names none. */
const DEFAULT_STATUS = 502;

/**
 * An error body of an engine that speaks OpenAI's dialect, in all the shapes that are about: an object under `error`, a
 * string there (vLLM's 401), the object itself (older vLLM), numbers as codes (llama-server, OpenRouter with status 200).
 *
 * @param status Of the answer; below 400 for errors that came in a stream or with a good status.
 */
export function readChatError(status: number, body: unknown): SaidError {
  const outer = isJsonObject(body) ? body : {};
  const told = outer["error"] ?? body;
  const error = isJsonObject(told) ? told : {};
  const code = error["code"];
  const message = firstText(error["message"], told, error["detail"], outer["message"], outer["detail"]);
  const marks = [error["type"], code].filter((mark) => typeof mark === "string");
  return saidError({ status: status >= 400 ? status : statusOf(code, marks), marks, message });
}

/** The status that a code or type stands for. */
function statusOf(code: unknown, marks: readonly string[]): number {
  const number = typeof code === "string" ? Number(code) : code;
  if (Number.isInteger(number) && (number as number) >= 400 && (number as number) <= 599) return number as number;
  for (const mark of marks) {
    if (/not_?found/i.test(mark)) return 404;
    if (/invalid|bad_?request/i.test(mark)) return 400;
    if (/authentication/i.test(mark)) return 401;
  }
  return DEFAULT_STATUS;
}

function firstText(...values: readonly unknown[]): string {
  for (const value of values) if (typeof value === "string" && value !== "") return value;
  return "";
}

const WORDS: Record<SaidError["kind"], { type: string; code: string | null }> = {
  context_length: { type: "invalid_request_error", code: "context_length_exceeded" },
  rate_limit: { type: "rate_limit_error", code: "rate_limit_exceeded" },
  quota: { type: "insufficient_quota", code: "insufficient_quota" },
  overloaded: { type: "server_error", code: "overloaded" },
  not_found: { type: "invalid_request_error", code: "model_not_found" },
  invalid: { type: "invalid_request_error", code: null },
  auth: { type: "server_error", code: "engine_failed" },
  other: { type: "server_error", code: "engine_failed" },
};

/** `type` and `code` of an error in OpenAI's dialect, ours or an engine's. */
export function errorWords(error: PosternError | SaidError): {
  message: string;
  type: string;
  param: string | null;
  code: string | null;
} {
  const isOurs = error instanceof PosternError;
  const { type, code } = isOurs ? ERRORS[error.code].openai : WORDS[error.kind];
  return { message: error.message, type, param: isOurs ? (error.param ?? null) : null, code };
}
