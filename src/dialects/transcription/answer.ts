import { isUtf8 } from "node:buffer";
import { tokensFromBytes, tokensFromSeconds } from "../../lib/token-estimate.ts";
import { believableUsage } from "../believable-usage.ts";
import type { Usage } from "../dialect.ts";
import { isJsonObject, type JsonObject } from "../request-member.ts";

/** Types of whole answers, and what we call them: `json` and `verbose_json`, `text`, `vtt`, `srt`. */
const TYPES: ReadonlyMap<string, string> = new Map([
  ["application/json", "application/json"],
  ["text/plain", "text/plain; charset=utf-8"],
  ["text/vtt", "text/vtt; charset=utf-8"],
  ["application/x-subrip", "application/x-subrip; charset=utf-8"],
  ["text/srt", "application/x-subrip; charset=utf-8"],
]);

/** The type under which a caller gets an engine's whole answer; null for one that is no transcript (a page, an archive). */
export function answerType(contentType: string): string | null {
  return TYPES.get((contentType.split(";", 1)[0] ?? "").trim().toLowerCase()) ?? null;
}

/**
 * Usage of a whole transcript. Null when the body is not one: not UTF-8; JSON without a text, or an error with a good status.
 *
 * @param textBytes What the request weighs as text (see `RequestFacts.textBytes`).
 */
export function readTranscript(body: Buffer, textBytes: number, contentType: string): Usage | null {
  if (!isUtf8(body)) return null;
  const text = body.toString("utf8");
  if (answerType(contentType) !== "application/json")
    return believableUsage(null, textBytes, tokensFromBytes(body.length));
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    return null;
  }
  // vLLM gives a JSON string where text was asked for.
  if (typeof answer === "string") return believableUsage(null, textBytes, tokensFromBytes(Buffer.byteLength(answer)));
  if (!isJsonObject(answer) || (answer["error"] ?? null) !== null || typeof answer["text"] !== "string") return null;
  const counted = tokensFromBytes(Buffer.byteLength(answer["text"]));
  return transcriptUsage(answer, textBytes, counted);
}

/** The engine's own count of tokens; else an estimate, flagged: from the length of the recording where it says that, from its bytes where not. */
export function transcriptUsage(answer: JsonObject, textBytes: number, counted: number): Usage {
  const told = readTokens(answer["usage"]);
  if (told !== null) return believableUsage(told, textBytes, counted);
  const seconds = secondsOf(answer["usage"]) ?? secondsIn(answer["duration"]);
  const guess = believableUsage(null, textBytes, counted);
  return seconds === null ? guess : { ...guess, tokensIn: tokensFromSeconds(seconds) };
}

function readTokens(usage: unknown): Usage | null {
  if (!isJsonObject(usage)) return null;
  const tokensIn = count(usage["input_tokens"]) ?? count(usage["prompt_tokens"]);
  const tokensOut = count(usage["output_tokens"]) ?? count(usage["completion_tokens"]);
  if (tokensIn === null && tokensOut === null) return null;
  const details = usage["input_tokens_details"] ?? usage["input_token_details"];
  const tokensInCached = (isJsonObject(details) ? count(details["cached_tokens"]) : null) ?? 0;
  return {
    tokensIn: tokensIn ?? 0,
    tokensInCached,
    tokensOut: tokensOut ?? 0,
    tokensReasoning: null,
    isEstimated: false,
  };
}

/** `{"type":"duration","seconds":9}`. */
function secondsOf(usage: unknown): number | null {
  return isJsonObject(usage) ? secondsIn(usage["seconds"]) : null;
}

/** Longest recording that is believed: a day. */
const MAX_SECONDS = 86_400;

/** vLLM writes a duration as text. */
function secondsIn(value: unknown): number | null {
  const seconds = typeof value === "string" && /^\d{1,6}(?:\.\d+)?$/.test(value) ? Number(value) : value;
  return typeof seconds === "number" && seconds > 0 && seconds <= MAX_SECONDS ? seconds : null;
}

function count(value: unknown): number | null {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;
}
