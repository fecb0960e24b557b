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
const PAGE = /^(text\/html|application\/xhtml)/i;

/**
 * Judges the head of an engine's answer and keeps what may go on.
 *
 * An engine is hostile until parsed: redirects, upgrades, pages for people and encodings that nobody asked for are not
 * answers of an inference server, but of something in front of it, or of somebody who took its place.
 *
 * @param fields Names in lower case, each before its value. Of a repeated one nothing goes on.
 * @returns The allowlisted headers, or why the answer is not acceptable, in words for the log.
 */
export function readAnswerHead(status: number, fields: readonly string[]): ExchangeHeaders | string {
  if (status < 200 || status > 599) return `status ${status}`;
  if (status >= 300 && status < 400) return `redirect (${status})`;
  const kept: Record<string, string> = {};
  let repeated: string[] | null = null;
  for (let index = 0; index < fields.length; index += 2) {
    const name = fields[index] as string;
    const value = fields[index + 1] as string;
    if (name === "content-encoding" && value.toLowerCase() !== "identity") return "an encoding that was not asked for";
    if (!KEPT_HEADERS.has(name) && !name.startsWith(KEPT_PREFIX)) continue;
    const isPlain = PLAIN_VALUE.test(value);
    if (name === "content-type") {
      if (!isPlain || kept[name] !== undefined) return "more than one content type, or an odd one";
      if (PAGE.test(value)) return `a page for people (status ${status})`;
    }
    if (kept[name] !== undefined) {
      repeated ??= [];
      repeated.push(name);
    } else if (isPlain) {
      kept[name] = value;
    }
  }
  if (repeated !== null) for (const name of repeated) delete kept[name];
  return kept;
}
