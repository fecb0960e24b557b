import { isJsonObject, type JsonObject } from "../request-member.ts";
import { type Counts, readCounts } from "./usage.ts";

/** What one line of an Ollama stream says, as far as it matters here. */
export type StreamRecord =
  | { kind: "unreadable" }
  | { kind: "error" }
  | {
      kind: "chunk";
      hasContent: boolean;
      /** Characters of text in it: content, thinking, response. */
      textLength: number;
    }
  | { kind: "done"; counts: Counts; hasContent: boolean; textLength: number };

/** Reads one line. Tolerant: unknown members and kinds are no content. Does not throw. */
export function readRecord(line: string): StreamRecord {
  const value = parseLine(line);
  if (value === null) return { kind: "unreadable" };
  if (saysError(value)) return { kind: "error" };
  const message = value["message"];
  const said = isJsonObject(message) ? message : {};
  const textLength =
    lengthOf(said["content"]) + lengthOf(said["thinking"]) + lengthOf(value["response"]) + lengthOf(value["thinking"]);
  const hasContent =
    textLength > 0 || isFilled(said["tool_calls"]) || isFilled(value["tool_calls"]) || lengthOf(value["image"]) > 0;
  if (value["done"] === true) return { kind: "done", counts: readCounts(value), hasContent, textLength };
  return { kind: "chunk", hasContent, textLength };
}

/** The object on a line; null when there is none. */
export function parseLine(line: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(line);
    return isJsonObject(value) ? value : null;
  } catch {
    return null;
  }
}

/** Whether a line or body tells of trouble instead of an answer. */
export function saysError(value: JsonObject): boolean {
  const error = value["error"];
  return (typeof error === "string" && error !== "") || isJsonObject(error);
}

function lengthOf(value: unknown): number {
  return typeof value === "string" ? value.length : 0;
}

function isFilled(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0;
}
