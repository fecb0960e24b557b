import type { ExchangeHeaders } from "../lib/exchange.ts";

/** Headers of an engine's answer that go on (reference: engine-apis §6). Everything else is dropped. */
const KEPT_HEADERS: ReadonlySet<string> = new Set([
  "content-type",
  // The HTTP client has checked it, and fails the answer that breaks it; the tunnel then needs no trailer.
  "content-length",
  "retry-after",
  "retry-after-ms",
  "x-should-retry",
  "openai-processing-ms",
  "x-ratelimit-limit-requests",
  "x-ratelimit-limit-tokens",
  "x-ratelimit-remaining-requests",
  "x-ratelimit-remaining-tokens",
  "x-ratelimit-reset-requests",
  "x-ratelimit-reset-tokens",
]);

const KEPT_PREFIX = "anthropic-ratelimit-";

/** Visible ASCII, spaces and tabs: anything else in a value would make the next hop's HTTP library throw. */
const PLAIN_VALUE = /^[\t\x20-\x7e]*$/;

/** A parsed head as the HTTP client gives it. */
type RawHeaders = Readonly<Record<string, string | string[] | undefined>>;

/**
 * Judges the head of an engine's answer and keeps what may go on.
 *
 * An engine is hostile until parsed: redirects, upgrades, pages for people and encodings that nobody asked for are not
 * answers of an inference server, but of something in front of it, or of somebody who took its place.
 *
 * @returns The allowlisted headers, or why the answer is not acceptable, in words for the log.
 */
export function readAnswerHead(status: number, headers: RawHeaders): ExchangeHeaders | string {
  if (status < 200 || status > 599) return `status ${status}`;
  if (status >= 300 && status < 400) return `redirect (${status})`;
  const encoding = headers["content-encoding"];
  if (encoding !== undefined && !isWord(encoding, "identity")) return "an encoding that was not asked for";
  const transfer = headers["transfer-encoding"];
  if (transfer !== undefined && !isWord(transfer, "chunked")) return "a transfer encoding other than chunked";
  const type = headers["content-type"];
  if (type !== undefined) {
    if (typeof type !== "string" || !PLAIN_VALUE.test(type)) return "more than one content type, or an odd one";
    if (/^\s*(text\/html|application\/xhtml)/i.test(type)) return `a page for people (status ${status})`;
  }
  const kept: Record<string, string> = {};
  for (const name in headers) {
    if (!KEPT_HEADERS.has(name) && !name.startsWith(KEPT_PREFIX)) continue;
    const value = headers[name];
    if (typeof value === "string" && PLAIN_VALUE.test(value)) kept[name] = value;
  }
  return kept;
}

function isWord(value: string | string[], word: string): boolean {
  return typeof value === "string" && value.trim().toLowerCase() === word;
}
