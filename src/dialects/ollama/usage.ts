import { PosternError } from "../../errors.ts";
import { type BodyScan, findMember, readInteger, readString, scanBody } from "../../lib/json-scan.ts";
import { tokensFromBytes } from "../../lib/token-estimate.ts";
import { believableUsage } from "../believable-usage.ts";
import type { Usage } from "../dialect.ts";
import { isJsonObject, type JsonObject } from "../request-member.ts";

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
 * What a finished answer says of its usage. Ollama leaves counts of zero out (`omitempty`), so that an absent one is zero; null
 * for an answer that had content and not one count: it was never counted.
 */
export function finalUsage(counts: Counts, hasContent: boolean): Usage | null {
  const { tokensIn, tokensInCached, tokensOut, isLoad } = counts;
  if (tokensIn === null && tokensOut === null && hasContent && !isLoad) return null;
  return {
    tokensIn: tokensIn ?? 0,
    tokensInCached: Math.min(tokensInCached ?? 0, tokensIn ?? 0),
    tokensOut: tokensOut ?? 0,
    tokensReasoning: null,
    isEstimated: false,
  };
}

/**
 * Usage of an answer, finished or not. To load a model is free; all else is counted, by us where the engine did not.
 *
 * @param counts Null where the last line has not come.
 * @param counted Output tokens as counted or estimated from what the answer held; 0 when it held nothing.
 */
export function tokensUsed(counts: Counts | null, requestBytes: number, counted: number): Usage {
  const told = counts === null ? null : finalUsage(counts, counted > 0);
  return counts?.isLoad && told !== null ? told : believableUsage(told, requestBytes, counted);
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
  const isCounted = isVector || (counts.tokensOut !== null && counts.tokensOut > 0);
  return tokensUsed(counts, requestBytes, isCounted ? 0 : tokensFromBytes(textLength(scan, carrier)));
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

/** Characters that a whole answer says: text, thought, calls. Looked at only where the engine did not count them. */
function textLength({ bytes, members }: BodyScan, carrier: Carrier): number {
  const said = [carrier, "thinking"].map((name) => {
    const member = findMember(members, name);
    return member === undefined ? null : JSON.parse(bytes.toString("utf8", member.valueStart, member.valueEnd));
  });
  let length = 0;
  for (const value of said.flatMap((one) =>
    isJsonObject(one) ? [one["content"], one["thinking"], one["tool_calls"]] : one,
  )) {
    if (typeof value === "string") length += value.length;
    else if (Array.isArray(value) && value.length > 0) length += JSON.stringify(value).length;
  }
  return length;
}

function numberOf({ bytes, members }: BodyScan, name: string): number | null {
  const member = findMember(members, name);
  return member === undefined ? null : count(readInteger(bytes, member));
}

function count(value: unknown): number | null {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;
}
