import { PosternError } from "../../errors.ts";
import { findMember, readInteger, readString, scanBody } from "../../lib/json-scan.ts";
import { tokensFromBytes } from "../../lib/token-estimate.ts";
import type { Usage } from "../dialect.ts";
import { isJsonObject } from "../request-member.ts";

/** Numbers of `usage` objects as they came, each the last one that was not null. */
export interface SaidUsage {
  input: number | null;
  cacheRead: number | null;
  cacheCreation: number | null;
  output: number | null;
  thinking: number | null;
}

/** What is known before anything was said. */
export function nothingSaid(): SaidUsage {
  return { input: null, cacheRead: null, cacheCreation: null, output: null, thinking: null };
}

/**
 * Lays a `usage` object over what was said before, field by field: totals are cumulative, and `message_delta` leaves out or
 * nulls what it does not correct (reference: engine-apis §8, 2).
 *
 * @returns Whether it says anything of the output.
 */
export function overlayUsage(said: SaidUsage, value: unknown): boolean {
  if (!isJsonObject(value)) return false;
  const output = count(value["output_tokens"]);
  said.input = count(value["input_tokens"]) ?? said.input;
  said.cacheRead = count(value["cache_read_input_tokens"]) ?? said.cacheRead;
  said.cacheCreation = count(value["cache_creation_input_tokens"]) ?? said.cacheCreation;
  said.output = output ?? said.output;
  const details = value["output_tokens_details"];
  if (isJsonObject(details)) said.thinking = count(details["thinking_tokens"]) ?? said.thinking;
  return output !== null;
}

/** What usage is made of where the engine's word does not do. */
export interface UsageEvidence {
  requestBytes: number;
  /** Output tokens that were counted or estimated from what was passed on; 0 when nothing was. */
  counted: number;
  /** Whether the engine's output number is its last word. `message_start` only says a first guess. */
  isFinal: boolean;
}

/**
 * The engine's word where it gave one that can be true, else an estimate, flagged. No prompt has zero tokens, though SGLang
 * says so (reference: engine-apis §1.4); no answer with content has.
 */
export function usageOf(said: SaidUsage, { requestBytes, counted, isFinal }: UsageEvidence): Usage {
  // The prompt is the sum of three: `input_tokens` leaves out what came from or went to the cache (engine-apis §3.2).
  const told = (said.input ?? 0) + (said.cacheRead ?? 0) + (said.cacheCreation ?? 0);
  const isOutputTold = isFinal && said.output !== null && (said.output > 0 || counted === 0);
  return {
    tokensIn: told > 0 ? told : tokensFromBytes(requestBytes),
    tokensInCached: said.cacheRead ?? 0,
    tokensOut: isOutputTold ? (said.output ?? 0) : Math.max(counted, said.output ?? 0),
    tokensReasoning: said.thinking,
    isEstimated: told === 0 || !isOutputTold,
  };
}

/**
 * Usage of a whole message, estimated where the engine says none. Null when the body is not a message: not one JSON object,
 * an error with a good status, without content.
 */
export function readWholeMessage(body: Buffer, requestBytes: number): Usage | null {
  const scan = scanAnswer(body);
  if (scan === null) return null;
  const { bytes, members } = scan;
  const error = findMember(members, "error");
  const type = findMember(members, "type");
  const content = findMember(members, "content");
  if (content?.kind !== "array" || (error !== undefined && error.kind !== "null")) return null;
  if (type !== undefined && readString(bytes, type) !== "message") return null;
  const said = nothingSaid();
  const usage = findMember(members, "usage");
  if (usage?.kind === "object" && usage.valueEnd - usage.valueStart <= MAX_USAGE_BYTES) {
    overlayUsage(said, JSON.parse(bytes.toString("utf8", usage.valueStart, usage.valueEnd)));
  }
  const contentBytes = content.valueEnd - content.valueStart;
  const counted = contentBytes > EMPTY_CONTENT_BYTES ? tokensFromBytes(contentBytes) : 0;
  return usageOf(said, { requestBytes, counted, isFinal: true });
}

/** The number in an answer of count_tokens; null when the body is not one. */
export function readCount(body: Buffer): number | null {
  const scan = scanAnswer(body);
  const member = scan === null ? undefined : findMember(scan.members, "input_tokens");
  const value = scan === null || member === undefined ? null : readInteger(scan.bytes, member);
  return value !== null && value >= 0 ? value : null;
}

/** `[]`, perhaps with space. */
const EMPTY_CONTENT_BYTES = 4;
const MAX_USAGE_BYTES = 16 * 1024;
/** The body's own size is bounded by who read it. */
const ANSWER_LIMITS = { maxDepth: 64, maxValues: 50_000_000 };

function scanAnswer(body: Buffer): ReturnType<typeof scanBody> | null {
  try {
    return scanBody(body, ANSWER_LIMITS);
  } catch (error) {
    if (error instanceof PosternError) return null;
    throw error;
  }
}

function count(value: unknown): number | null {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;
}
