import { ERRORS, type PosternError } from "../errors.ts";
import { contextMessage } from "./anthropic/error.ts";
import type { Operation } from "./operations.ts";

/** Whose error bodies a path answers with. Where no operation was found: `openai`. */
export type Family = Operation["family"];

/** Longest name list that a message carries. */
const MAX_NAMED_MODELS = 20;
/** Bounds of `Retry-After`: clients obey up to 60 s and give up or hang beyond it (reference: engine-apis §4.1). */
const MIN_RETRY_SECONDS = 1;
const MAX_RETRY_SECONDS = 60;

/** `Retry-After` of an overload where nobody knows better: clients without one come back at once, all of them. */
const OVERLOAD_RETRY_SECONDS = 2;

/** A refusal as it goes to the caller. */
export interface ErrorAnswer {
  status: number;
  /** Lower-case names. Framing and the request id are added by who writes it. */
  headers: Record<string, string>;
  body: Buffer;
}

/**
 * An error of ours as a whole answer in the words of the path's dialect.
 *
 * Says the public message and the dialect's own `type` and `code`; `hint`, `detail` and `cause` stay in the log, because
 * hints speak to the operator.
 *
 * @param requestId Anthropic's bodies carry it; left out where the answer has none.
 */
export function errorAnswer(family: Family, error: PosternError, requestId?: string): ErrorAnswer {
  const headers: Record<string, string> = {
    "content-type": "application/json",
    "x-postern-error": error.code,
    "x-should-retry": error.isRetryable ? "true" : "false",
  };
  const isOverload = error.status === 429 || error.status === 503;
  const retrySeconds =
    error.retryAfterSeconds ?? (isOverload && error.isRetryable ? OVERLOAD_RETRY_SECONDS : undefined);
  // What no retry can cure says when it will be different, however long that is: clients do not wait for it.
  if (retrySeconds !== undefined)
    headers["retry-after"] = String(error.isRetryable ? clampRetry(retrySeconds) : Math.ceil(retrySeconds));
  if (error.status === 401 && family === "openai") headers["www-authenticate"] = "Bearer";
  return { status: statusFor(family, error), headers, body: Buffer.from(errorBody(family, error, requestId)) };
}

/** The body alone, as one line of JSON. */
export function errorBody(family: Family, error: PosternError, requestId?: string): string {
  const entry = ERRORS[error.code];
  switch (family) {
    case "openai":
      return JSON.stringify({
        error: {
          message: error.message,
          type: entry.openai.type,
          param: error.param ?? null,
          code: entry.openai.code,
        },
      });
    case "anthropic": {
      const message = error.code === "context_length_exceeded" ? contextMessage(error.message) : error.message;
      // Without an id `request_id` is left out: JSON knows no undefined.
      return JSON.stringify({ type: "error", error: { type: entry.anthropic, message }, request_id: requestId });
    }
    case "ollama":
      return JSON.stringify({ error: error.message });
    default:
      return family satisfies never;
  }
}

/** Wording of `model_not_found` with the models that this key may use, sorted and bounded. */
export function modelNotFoundMessage(model: string, usable: readonly string[]): string {
  const start = `The model "${model.slice(0, 128)}" does not exist or this key may not use it`;
  if (usable.length === 0) return `${start}. This key may use no model that is known here`;
  const named = usable.toSorted().slice(0, MAX_NAMED_MODELS).join(", ");
  const more = usable.length > MAX_NAMED_MODELS ? ` and ${usable.length - MAX_NAMED_MODELS} more` : "";
  return `${start}. This key may use: ${named}${more}`;
}

/** The status of an error of ours. Anthropic's clients know 529 as "overloaded" where others know 503 (reference: engine-apis §3.2). */
export function statusFor(family: Family, error: PosternError): number {
  return family === "anthropic" && error.status === 503 ? 529 : error.status;
}

function clampRetry(seconds: number): number {
  return Math.min(MAX_RETRY_SECONDS, Math.max(MIN_RETRY_SECONDS, Math.ceil(seconds)));
}
