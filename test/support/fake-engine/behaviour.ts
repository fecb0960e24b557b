import type { ErrorType } from "./clothes.ts";

/** What a model's name makes the fake engine do. Other names answer as they should. */
export type Behaviour =
  | { kind: "answer" }
  /** A status and the engine's error body instead of an answer. */
  | { kind: "error"; status: number; type: ErrorType; message: string; headers: Record<string, string> }
  /** Within a stream, after half of its content. Whole answers: the status 500. */
  | { kind: "mid-error" }
  /** The connection is cut after half of the content. */
  | { kind: "cut" }
  /** Nothing more after half of the content, the connection stays. Whole answers: nothing at all. */
  | { kind: "stall" }
  /** A record that is framed well but is no JSON, then the rest. */
  | { kind: "broken-record" }
  /** The finish is there, `[DONE]` or `message_stop` is not; HTTP ends well. */
  | { kind: "no-end" }
  /** The content is there, no finish; HTTP ends well. */
  | { kind: "no-finish" }
  /** Nothing for `slowLoadMs`, not even a head; then the answer. */
  | { kind: "slow-load" }
  /** Content again and again until the caller leaves. */
  | { kind: "endless" }
  /** Every byte in a write of its own. */
  | { kind: "bytewise" };

/** Names that mean something, as they stand in the model lists. */
export const BEHAVIOURS: Readonly<Record<string, Behaviour>> = {
  "error-400": error(400, "invalid", "the fake engine does not like this request"),
  "error-404": error(404, "not_found", "the fake engine has lost this model"),
  "error-429": error(429, "rate_limit", "the fake engine is asked too often", { "retry-after": "2" }),
  "error-500": error(500, "internal", "the fake engine has broken down"),
  "error-503": error(503, "overloaded", "the fake engine is busy"),
  loading: error(503, "loading", "Loading model"),
  "context-overflow": error(400, "too_long", ""),
  "mid-error": { kind: "mid-error" },
  cut: { kind: "cut" },
  stall: { kind: "stall" },
  "broken-record": { kind: "broken-record" },
  "no-end": { kind: "no-end" },
  "no-finish": { kind: "no-finish" },
  "slow-load": { kind: "slow-load" },
  endless: { kind: "endless" },
  bytewise: { kind: "bytewise" },
};

/** What the model of this name does; `:latest` makes no difference. */
export function behaviourOf(model: string): Behaviour {
  return BEHAVIOURS[model.replace(/:latest$/, "")] ?? { kind: "answer" };
}

function error(status: number, type: ErrorType, message: string, headers: Record<string, string> = {}): Behaviour {
  return { kind: "error", status, type, message, headers };
}
