import { readContextOverflow } from "./context-overflow.ts";
import type { SaidError } from "./conversation.ts";

/** What an engine's error says of itself, whatever shape it came in. */
export interface ErrorWords {
  status: number;
  /** Every `type` and `code` that the body carries. */
  marks: readonly string[];
  message: string;
}

/** Longest message of an engine that is passed on. */
const MAX_MESSAGE_LENGTH = 2048;

const CONTEXT_MARKS = /context_length|exceed_context|prompt_too_long/;
const QUOTA_MARKS = /insufficient_quota|billing|credit/;
const LIMIT_MARKS = /rate_limit/;
const BUSY_MARKS = /overloaded|unavailable_error|service_unavailable/;

/** Puts an engine's error into the kinds that every dialect has words for. */
export function saidError({ status, marks, message }: ErrorWords): SaidError {
  const joined = marks.join(" ").toLowerCase();
  const said = message.trim() === "" ? "The inference server reported an error" : message.slice(0, MAX_MESSAGE_LENGTH);
  if (CONTEXT_MARKS.test(joined) || (status !== 429 && readContextOverflow(message) !== null)) {
    return { status: 400, kind: "context_length", message: said };
  }
  if (QUOTA_MARKS.test(joined) || status === 402) return { status: 429, kind: "quota", message: said };
  if (LIMIT_MARKS.test(joined) || status === 429) return { status: 429, kind: "rate_limit", message: said };
  if (BUSY_MARKS.test(joined) || status === 503 || status === 529) {
    return { status: 503, kind: "overloaded", message: said };
  }
  if (status === 401 || status === 403) return { status, kind: "auth", message: said };
  if (status === 404) return { status, kind: "not_found", message: said };
  if (status >= 400 && status < 500) return { status, kind: "invalid", message: said };
  return { status, kind: "other", message: said };
}
