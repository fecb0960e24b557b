import { isUtf8 } from "node:buffer";
import { PosternError } from "../../errors.ts";
import { findMember, scanBody } from "../../lib/json-scan.ts";
import { tokensFromBytes } from "../../lib/token-estimate.ts";
import { believableUsage } from "../believable-usage.ts";
import type { Usage } from "../dialect.ts";
import { isRecord, textInChoice } from "./choice-text.ts";

/** A `usage` object as the engine wrote it, or null when it is none. `prompt_tokens` includes the cached ones (reference: engine-apis §3.2). */
export function readUsage(value: unknown): Usage | null {
  if (!isRecord(value)) return null;
  const tokensIn = count(value["prompt_tokens"]);
  const tokensOut = count(value["completion_tokens"]);
  if (tokensIn === null && tokensOut === null) return null;
  const details = value["prompt_tokens_details"];
  const written = value["completion_tokens_details"];
  return {
    tokensIn: tokensIn ?? 0,
    tokensInCached: (isRecord(details) ? count(details["cached_tokens"]) : null) ?? 0,
    tokensOut: tokensOut ?? 0,
    tokensReasoning: isRecord(written) ? count(written["reasoning_tokens"]) : null,
    isEstimated: false,
  };
}

/**
 * llama-server's `timings` as usage, or null when it is none: on every chunk where the caller asked for them
 * (`timings_per_token`), and on the last one. Running counts of one choice; `prompt_n` leaves out what came from the cache.
 */
export function readTimings(value: unknown): Usage | null {
  if (!isRecord(value)) return null;
  const evaluated = count(value["prompt_n"]);
  const tokensOut = count(value["predicted_n"]);
  if (evaluated === null || tokensOut === null) return null;
  const tokensInCached = count(value["cache_n"]) ?? 0;
  return { tokensIn: evaluated + tokensInCached, tokensInCached, tokensOut, tokensReasoning: null, isEstimated: false };
}

/** Member of a whole answer that carries it: of chat and completions, of embeddings, of reranking. */
export type AnswerCarrier = "choices" | "data" | "results";

/**
 * Usage of a complete answer in one piece, estimated where the engine says none. Null when the body is not an
 * answer of this dialect: not one JSON object, an error with a good status, or without the member that carries the answer.
 */
export function readWholeAnswer(body: Buffer, requestBytes: number, carrier: AnswerCarrier): Usage | null {
  const answer = carrier === "choices" ? parseAnswer(body) : scanAnswer(body, carrier);
  if (answer === null) return null;
  const told = readUsage(answer.usage) ?? (carrier === "results" ? readTotal(answer.usage) : null);
  // Without a word of usage all of the body counts: content may stand where nobody here knows to look.
  const isSilent = told === null && carrier === "choices";
  return believableUsage(told, requestBytes, tokensFromBytes(isSilent ? body.length : answer.textLength));
}

/** vLLM says of reranking only what it read in all. */
function readTotal(usage: unknown): Usage | null {
  const tokensIn = isRecord(usage) ? count(usage["total_tokens"]) : null;
  if (tokensIn === null) return null;
  return { tokensIn, tokensInCached: 0, tokensOut: 0, tokensReasoning: null, isEstimated: false };
}

interface WholeAnswer {
  usage: unknown;
  /** Characters of text that it holds. */
  textLength: number;
}

/** The engine's own parser of a short text is several times faster than a scan. */
function parseAnswer(body: Buffer): WholeAnswer | null {
  if (!isUtf8(body)) return null;
  let answer: unknown;
  try {
    answer = JSON.parse(body.toString("utf8"));
  } catch {
    return null;
  }
  if (!isRecord(answer) || !Array.isArray(answer["choices"]) || (answer["error"] ?? null) !== null) return null;
  let textLength = 0;
  for (const choice of answer["choices"]) textLength += textInChoice(choice);
  return { usage: answer["usage"], textLength };
}

/** Embeddings are millions of numbers, of which none is needed here. */
function scanAnswer(body: Buffer, carrier: string): WholeAnswer | null {
  let scan: ReturnType<typeof scanBody>;
  try {
    scan = scanBody(body, ANSWER_LIMITS);
  } catch (error) {
    if (error instanceof PosternError) return null;
    throw error;
  }
  const { bytes, members } = scan;
  const error = findMember(members, "error");
  if (findMember(members, carrier)?.kind !== "array" || (error !== undefined && error.kind !== "null")) return null;
  const usage = findMember(members, "usage");
  const isShort = usage?.kind === "object" && usage.valueEnd - usage.valueStart <= MAX_USAGE_BYTES;
  return {
    usage: isShort ? JSON.parse(bytes.toString("utf8", usage.valueStart, usage.valueEnd)) : null,
    textLength: 0,
  };
}

/** The body's own size is bounded by who read it. */
const ANSWER_LIMITS = { maxDepth: 64, maxValues: 50_000_000 };
const MAX_USAGE_BYTES = 16 * 1024;

function count(value: unknown): number | null {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;
}
