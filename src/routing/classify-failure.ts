import type { ErrorCode } from "../errors.ts";
import type { ExchangeFailure } from "../lib/exchange.ts";

/** A failed attempt in our words, and whether another target could do better. */
export interface AttemptFailure {
  code: ErrorCode;
  isCurable: boolean;
}

/** What an exchange that failed means. Every kind is the target's or the way's trouble, never the request's, so all are curable. */
export function classifyFailure({ kind, phase }: Pick<ExchangeFailure, "kind" | "phase">): AttemptFailure {
  switch (kind) {
    case "unreachable":
      return curable("engine_unreachable");
    case "refused":
      return curable("engine_refused");
    case "reset":
      return curable(phase === "connect" ? "engine_unreachable" : "link_lost");
    case "cut":
      return curable("engine_cut");
    case "timeout":
      if (phase === "connect") return curable("engine_unreachable");
      return curable(phase === "request" ? "engine_timeout" : "engine_stalled");
    case "protocol":
      return curable("engine_bad_answer");
    // Agents may be stricter than the gateway, each in its own way.
    case "denied":
      return curable("agent_denied");
    default:
      return kind satisfies never;
  }
}

/**
 * What an engine's answer with a status other than 200 means (DESIGN §7, reference: faults §1).
 *
 * 401 and 403 are about the key that the agent sends, which the caller can neither see nor mend: they are the target's
 * trouble. Other 4xx are about the request: answered in the engine's words, tried nowhere else.
 */
export function classifyAnswer(status: number): AttemptFailure {
  switch (status) {
    case 401:
    case 403:
      return curable("engine_denied");
    case 408:
    case 504:
      return curable("engine_timeout");
    case 429:
    case 503:
    case 529:
      return curable("engine_refused");
    case 501:
      return { code: "engine_failed", isCurable: false };
    default:
      if (status >= 500 && status <= 599) return curable("engine_failed");
      if (status >= 400 && status <= 499) return { code: "engine_failed", isCurable: status === 499 };
      return curable("engine_bad_answer");
  }
}

function curable(code: ErrorCode): AttemptFailure {
  return { code, isCurable: true };
}
