import type { FaultKind } from "../continuity/drill/fault.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import type { Exchange, ExchangeFailure, ExchangeHandler } from "../lib/exchange.ts";

/** What a connection attempt waits for when no packet comes back: the default of `engines/dispatch.ts`. */
export const BLACKHOLE_MS = 5_000;

const FAILURES: Partial<Record<FaultKind, ExchangeFailure>> = {
  refused: { phase: "connect", kind: "unreachable", detail: "ECONNREFUSED (drill)" },
  "dns-failure": { phase: "connect", kind: "unreachable", detail: "ENOTFOUND (drill)" },
  blackhole: { phase: "connect", kind: "timeout", detail: "UND_ERR_CONNECT_TIMEOUT (drill)" },
  "tls-failure": { phase: "connect", kind: "unreachable", detail: "CERT_HAS_EXPIRED (drill)" },
  redirect: { phase: "request", kind: "protocol", detail: "redirect (302) (drill)" },
  "unasked-encoding": { phase: "request", kind: "protocol", detail: "an encoding that was not asked for (drill)" },
  "link-reset": { phase: "request", kind: "reset", detail: "link reset (drill)" },
};

const ANSWERS: Partial<Record<FaultKind, readonly [status: number, retryAfter: string | null, type: string]>> = {
  unauthorized: [401, null, "authentication_error"],
  "rate-limited": [429, null, "rate_limit_error"],
  "rate-limited-retry-after": [429, "2", "rate_limit_error"],
  "server-error": [500, null, "server_error"],
  unavailable: [503, null, "overloaded_error"],
};

/**
 * An exchange that gets nowhere: what a fault that blocks makes of an attempt. Nothing is sent to anybody. What neither fails
 * nor answers (`silent`) waits for its `cancel`, like the server that it plays.
 */
export function blockedExchange(kind: FaultKind, handler: ExchangeHandler, clock: Clock): Exchange {
  let isOver = false;
  let timer: Timer | null = null;

  function play(): void {
    if (isOver) return;
    const failure = FAILURES[kind];
    const answer = ANSWERS[kind];
    if (failure !== undefined) {
      isOver = true;
      handler.onFailure(failure);
    } else if (answer !== undefined) {
      const [status, retryAfter, type] = answer;
      const body = Buffer.from(JSON.stringify({ error: { message: "A drill plays this error", type, code: null } }));
      const headers = { "content-type": "application/json", "content-length": String(body.length) };
      handler.onHead(status, retryAfter === null ? headers : { ...headers, "retry-after": retryAfter });
      if (!isOver) handler.onData(body);
      if (!isOver) {
        isOver = true;
        handler.onEnd();
      }
    }
  }

  if (kind === "blackhole") timer = clock.after(BLACKHOLE_MS, play);
  else queueMicrotask(play);
  return {
    pause() {},
    resume() {},
    cancel() {
      isOver = true;
      timer?.cancel();
    },
  };
}
