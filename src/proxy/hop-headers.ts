import type { ExchangeHeaders } from "../lib/exchange.ts";

/**
 * Headers of an answer that may reach the caller, in lower case. Everything else that an engine says stays here: cookies,
 * HSTS, locations, server names, CORS, hop-by-hop headers (reference: engine-apis §6).
 */
const ANSWER_HEADERS: ReadonlySet<string> = new Set([
  "retry-after",
  "retry-after-ms",
  "x-should-retry",
  "openai-processing-ms",
]);

/** Headers of a streamed answer: no proxy on the way may cache, transform or collect it. @param type Of the caller's dialect. */
export function streamHeaders(type: string): string[] {
  const named = type === "text/event-stream" ? "text/event-stream; charset=utf-8" : type;
  return ["Content-Type", named, "Cache-Control", "no-cache, no-transform", "X-Accel-Buffering", "no"];
}

/**
 * Builds the headers of the upstream request; framing is the carrier's. The caller's own headers are never copied.
 *
 * @param streamType What a streamed answer will declare; null where none is asked for.
 * @param contentType Of a body that is not JSON; its answer may be something else too.
 */
export function upstreamHeaders(streamType: string | null, contentType?: string): Record<string, string> {
  return {
    "content-type": contentType ?? "application/json",
    accept: streamType ?? (contentType === undefined ? "application/json" : "*/*"),
    "user-agent": "postern",
  };
}

/** Appends to `out` (name, value, name, value, …) what of an answer's headers the caller may see. */
export function passAnswerHeaders(headers: ExchangeHeaders, out: string[]): void {
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined && ANSWER_HEADERS.has(name)) out.push(name, value);
  }
}
