import type { PosternError } from "../../errors.ts";
import type { SaidError } from "../conversation.ts";
import { errorWords } from "../openai/conversation-error.ts";
import type { JsonObject } from "../request-member.ts";

/**
 * The last record of a stream that cannot be completed: `response.failed` with the id that the caller has seen. Codex acts on the codes
 * `context_length_exceeded`, `insufficient_quota` and `rate_limit_exceeded`, and on no `error` event (reference: engine-apis §4.3).
 *
 * @param response What `response.created` carried.
 */
export function failureRecord(error: PosternError | SaidError, response: JsonObject, sequenceNumber: number): string {
  const { message, code } = errorWords(error);
  const failed = { ...response, status: "failed", error: { code: code ?? "server_error", message }, usage: null };
  return record("response.failed", { sequence_number: sequenceNumber, response: failed });
}

/** A typed event: its name stands in front of the data and in it. */
export function record(type: string, members: JsonObject): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...members })}\n\n`;
}
