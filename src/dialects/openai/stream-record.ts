import type { Usage } from "../dialect.ts";
import { isRecord, TEXT_MEMBERS, textInChoice } from "./choice-text.ts";
import { readTimings, readUsage } from "./usage.ts";

/** What one event of an OpenAI stream says, as far as it matters here. */
export type StreamRecord =
  | { kind: "done" }
  | { kind: "error" }
  | { kind: "unreadable" }
  | {
      kind: "chunk";
      usage: Usage | null;
      /** llama-server's running counts, of one choice. */
      timings: Usage | null;
      /** The extra chunk of `include_usage`: usage and no choice. */
      isUsageOnly: boolean;
      hasContent: boolean;
      /** Characters of text in it: content, reasoning, arguments of calls. */
      textLength: number;
      choices: readonly { index: number; hasFinished: boolean }[];
    };

/** Most choices of one chunk that are looked at. */
const MAX_CHOICES = 1024;

/** Reads the data of one event. Tolerant: unknown members and kinds are no content. Does not throw. */
export function readRecord(data: string): StreamRecord {
  if (data.startsWith("[DONE]")) return { kind: "done" };
  let value: unknown;
  try {
    value = JSON.parse(data);
  } catch {
    return { kind: "unreadable" };
  }
  if (!isRecord(value)) return { kind: "unreadable" };
  if (isError(value["error"])) return { kind: "error" };
  const usage = readUsage(value["usage"]);
  const list = Array.isArray(value["choices"]) ? value["choices"].slice(0, MAX_CHOICES) : [];
  const choices: { index: number; hasFinished: boolean }[] = [];
  let hasContent = false;
  let textLength = 0;
  for (const choice of list) {
    if (!isRecord(choice)) continue;
    const index = typeof choice["index"] === "number" ? choice["index"] : 0;
    const finish = choice["finish_reason"];
    // OpenRouter tells errors of a provider as a finish reason.
    if (finish === "error") return { kind: "error" };
    choices.push({ index, hasFinished: typeof finish === "string" && finish !== "" });
    const delta = choice["delta"] ?? choice["message"];
    hasContent ||= isText(choice["text"]) || holdsContent(delta);
    textLength += textInChoice(choice);
  }
  const isUsageOnly = usage !== null && list.length === 0;
  const timings = readTimings(value["timings"]);
  return { kind: "chunk", usage, timings, isUsageOnly, hasContent, textLength, choices };
}

/** Other members of a delta that reach a reader: calls of tools, parts. */
const LIST_MEMBERS = ["content", "tool_calls", "reasoning_details"] as const;
const OBJECT_MEMBERS = ["function_call", "audio"] as const;

function holdsContent(delta: unknown): boolean {
  if (!isRecord(delta)) return false;
  for (const name of TEXT_MEMBERS) if (isText(delta[name])) return true;
  // vLLM sends `tool_calls: []` with plain text; an empty list is no content.
  for (const name of LIST_MEMBERS) {
    const list = delta[name];
    if (Array.isArray(list) && list.length > 0) return true;
  }
  for (const name of OBJECT_MEMBERS) if (isRecord(delta[name])) return true;
  return false;
}

function isText(value: unknown): boolean {
  return typeof value === "string" && value !== "";
}

function isError(value: unknown): boolean {
  return isText(value) || isRecord(value);
}
