import { PosternError } from "../../errors.ts";
import { type BodyScan, findMember, readInteger, readString, scanBody } from "../../lib/json-scan.ts";
import { tokensFromBytes } from "../../lib/token-estimate.ts";
import type { Usage } from "../dialect.ts";
import type { JsonObject } from "../request-member.ts";

/** Member of a whole answer that carries it. */
export type Carrier = "message" | "response" | "embeddings" | "embedding";

/** Counts of a last line, or of a whole answer; null where the engine left one out. */
export interface Counts {
  /** Includes the cached ones, except in 0.30.0 (ollama #16428). */
  tokensIn: number | null;
  /** Said since 0.34 (ollama #17943). */
  tokensInCached: number | null;
  tokensOut: number | null;
  /** The model was loaded or unloaded, nothing was asked. */
  isLoad: boolean;
}

/** Reads the counts of a record that says `"done":true`. */
export function readCounts(record: JsonObject): Counts {
  const reason = record["done_reason"];
  return {
    tokensIn: count(record["prompt_eval_count"]),
    tokensInCached: count(record["prompt_eval_cached_count"]),
    tokensOut: count(record["eval_count"]),
    isLoad: reason === "load" || reason === "unload",
  };
}

/**
 * Usage of a finished answer. Ollama leaves counts of zero out (`omitempty`), so that an absent one is zero; but an answer
 * that had content and not one count was never counted: it gets the estimate instead of being free.
 */
export function finalUsage<T>(counts: Counts, estimate: T, hasContent: boolean): Usage | T {
  const { tokensIn, tokensInCached, tokensOut, isLoad } = counts;
  if (tokensIn === null && tokensOut === null && hasContent && !isLoad) return estimate;
  return {
    tokensIn: tokensIn ?? 0,
    tokensInCached: Math.min(tokensInCached ?? 0, tokensIn ?? 0),
    tokensOut: tokensOut ?? 0,
    tokensReasoning: null,
    isEstimated: false,
  };
}

/** Tokens that bytes stand for, flagged. */
export function estimatedUsage(requestBytes: number, tokensOut: number): Usage {
  return {
    tokensIn: tokensFromBytes(requestBytes),
    tokensInCached: 0,
    tokensOut,
    tokensReasoning: null,
    isEstimated: true,
  };
}

/**
 * Usage of a complete answer in one piece. Null when the body is not an answer of this dialect: not one JSON object, an error
 * with a good status, without the member that carries the answer, or not done.
 */
export function readWholeAnswer(body: Buffer, requestBytes: number, carrier: Carrier): Usage | null {
  const scan = scanAnswer(body);
  if (scan === null) return null;
  const { bytes, members } = scan;
  const error = findMember(members, "error");
  if (error !== undefined && error.kind !== "null") return null;
  if (findMember(members, carrier)?.kind !== CARRIER_KINDS[carrier]) return null;
  const isVector = carrier === "embeddings" || carrier === "embedding";
  if (!isVector && findMember(members, "done")?.kind !== "true") return null;
  const reasonMember = findMember(members, "done_reason");
  const reason = reasonMember === undefined ? null : readString(bytes, reasonMember);
  const counts = {
    tokensIn: numberOf(scan, "prompt_eval_count"),
    tokensInCached: numberOf(scan, "prompt_eval_cached_count"),
    tokensOut: numberOf(scan, "eval_count"),
    isLoad: reason === "load" || reason === "unload",
  };
  return finalUsage(counts, estimatedUsage(requestBytes, isVector ? 0 : tokensFromBytes(body.length)), true);
}

const CARRIER_KINDS = { message: "object", response: "string", embeddings: "array", embedding: "array" } as const;
/** Embeddings are long lists of numbers; the body's own size is bounded by who read it. */
const ANSWER_LIMITS = { maxDepth: 64, maxValues: 50_000_000 };

function scanAnswer(body: Buffer): BodyScan | null {
  try {
    return scanBody(body, ANSWER_LIMITS);
  } catch (error) {
    if (error instanceof PosternError) return null;
    throw error;
  }
}

function numberOf({ bytes, members }: BodyScan, name: string): number | null {
  const member = findMember(members, name);
  return member === undefined ? null : count(readInteger(bytes, member));
}

function count(value: unknown): number | null {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;
}
