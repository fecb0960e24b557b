import { type ErrorCode, PosternError } from "../errors.ts";
import type { SaidError } from "./conversation.ts";
import { readChatError } from "./openai/conversation-error.ts";

/** The code of ours whose `type` and `code` a caller's dialect has for each kind of engine error. */
const CODES: Record<SaidError["kind"], ErrorCode> = {
  context_length: "context_length_exceeded",
  rate_limit: "engine_refused",
  quota: "engine_refused",
  overloaded: "engine_refused",
  not_found: "engine_failed",
  invalid: "body_invalid",
  auth: "engine_failed",
  other: "engine_failed",
};

/** Whether an engine's error answer says that the prompt does not fit, in whatever words. */
export function isContextOverflow(status: number, body: Buffer): boolean {
  if (status !== 400 && status !== 413 && status !== 422 && status !== 500) return false;
  return toldError(status, body)?.code === "context_length_exceeded";
}

/**
 * An engine's error answer as an error of ours with the engine's message, for a stream that was committed before the engine
 * answered: its status can be told no more, but a client has to learn that its prompt is too long.
 *
 * @param status Of the engine's answer, from 400.
 * @returns null where the body says nothing that can be passed on.
 */
export function toldError(status: number, body: Buffer): PosternError | null {
  let tree: unknown;
  try {
    tree = JSON.parse(body.toString("utf8"));
  } catch {
    return null;
  }
  const { kind, message } = readChatError(status, tree);
  return new PosternError(CODES[kind], { message, detail: { status } });
}
