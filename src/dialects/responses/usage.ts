import { isUtf8 } from "node:buffer";
import { tokensFromBytes } from "../../lib/token-estimate.ts";
import { believableUsage } from "../believable-usage.ts";
import type { Usage } from "../dialect.ts";
import { isJsonObject, type JsonObject } from "../request-member.ts";

/** A `usage` object as the engine wrote it, or null when it is none. `input_tokens` includes the cached ones. */
export function readResponseUsage(value: unknown): Usage | null {
  if (!isJsonObject(value)) return null;
  const tokensIn = count(value["input_tokens"]);
  const tokensOut = count(value["output_tokens"]);
  if (tokensIn === null && tokensOut === null) return null;
  const read = value["input_tokens_details"];
  const written = value["output_tokens_details"];
  return {
    tokensIn: tokensIn ?? 0,
    tokensInCached: (isJsonObject(read) ? count(read["cached_tokens"]) : null) ?? 0,
    tokensOut: tokensOut ?? 0,
    tokensReasoning: isJsonObject(written) ? count(written["reasoning_tokens"]) : null,
    isEstimated: false,
  };
}

/** `usage` as this dialect says it. All of its members are always there: clients read them unguarded. */
export function writeResponseUsage({ tokensIn, tokensInCached, tokensOut, tokensReasoning }: Usage): JsonObject {
  return {
    input_tokens: tokensIn,
    input_tokens_details: { cached_tokens: tokensInCached },
    output_tokens: tokensOut,
    output_tokens_details: { reasoning_tokens: tokensReasoning ?? 0 },
    total_tokens: tokensIn + tokensOut,
  };
}

/** The parsed body of a whole answer; null when it is none: no output, or an error with a good status. */
export function parseWholeResponse(body: Buffer): JsonObject | null {
  if (!isUtf8(body)) return null;
  let answer: unknown;
  try {
    answer = JSON.parse(body.toString("utf8"));
  } catch {
    return null;
  }
  return isJsonObject(answer) && isAnswer(answer) ? answer : null;
}

/** Whether it is an answer that came to an end, be it by a bound. */
export function isAnswer(response: JsonObject): boolean {
  const status = response["status"] ?? "completed";
  return (
    Array.isArray(response["output"]) &&
    (response["error"] ?? null) === null &&
    (status === "completed" || status === "incomplete")
  );
}

/** Usage of a whole answer, estimated from bytes where the engine says none; null when the body is not one. */
export function readWholeResponse(body: Buffer, requestBytes: number): Usage | null {
  const answer = parseWholeResponse(body);
  if (answer === null) return null;
  const told = readResponseUsage(answer["usage"]);
  const isCounted = told !== null && told.tokensOut > 0;
  const output = answer["output"] as unknown[];
  const outputBytes = isCounted || output.length === 0 ? 0 : Buffer.byteLength(JSON.stringify(output));
  return believableUsage(told, requestBytes, tokensFromBytes(outputBytes));
}

function count(value: unknown): number | null {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;
}
