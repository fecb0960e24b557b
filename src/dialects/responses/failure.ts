import type { PosternError } from "../../errors.ts";
import type { SaidError } from "../conversation.ts";
import { errorWords } from "../openai/conversation-error.ts";
import type { JsonObject } from "../request-member.ts";

/**
 * The last records of a stream that cannot be completed: `error`, at which the openai package and what is built on it throw, and
 * `response.failed` with the id that the caller has seen. Codex acts on its codes `context_length_exceeded`,
 * `insufficient_quota` and `rate_limit_exceeded`, and on no `error` event (reference: engine-apis §4.3); LangChain takes an answer
 * that ends with it alone for complete.
 *
 * @param response What `response.created` carried.
 */
export function failureRecords(error: PosternError | SaidError, response: JsonObject, sequenceNumber: number): string {
  const { message, code } = errorWords(error);
  const said = { code: code ?? "server_error", message };
  const failed = { ...response, status: "failed", error: said, usage: null };
  return (
    errorRecord(said, sequenceNumber) +
    record("response.failed", { sequence_number: sequenceNumber + 1, response: failed })
  );
}

/** The event at which clients throw. */
export function errorRecord({ code, message }: { code: string; message: string }, sequenceNumber: number): string {
  return record("error", { code, message, param: null, sequence_number: sequenceNumber });
}

/** A typed event: its name stands in front of the data and in it. */
export function record(type: string, members: JsonObject): string {
  return `event: ${type}\ndata: ${JSON.stringify({ type, ...members })}\n\n`;
}
