import type { ImagePart, Message, TextPart, ToolResult } from "../conversation.ts";
import { imageMediaType } from "../image-type.ts";
import { isJsonObject } from "../request-member.ts";

/** `system` and `messages` of a request. */
export interface Turns {
  system: Record<string, unknown>[];
  messages: Record<string, unknown>[];
}

/** One message while it is put together. */
interface Turn {
  role: "user" | "assistant";
  /** Results come first in the message behind the calls, all of them together (reference: engine-apis §3.1). */
  results: Record<string, unknown>[];
  content: Record<string, unknown>[];
}

/**
 * Messages as Anthropic wants them: roles take turns, results stand first, no text is blank, no answer begins with white
 * space at its end.
 *
 * System messages before all others become `system`. Later ones stay in their place, as text of the user, because models
 * before Opus 4.8 refuse the role there (engine-apis §3.4, 10). Thinking is left out: its signatures hold only where they
 * were made (engine-apis §3.4, 7).
 */
export function writeTurns(messages: readonly Message[]): Turns {
  const ids = new ToolIds();
  const system: Record<string, unknown>[] = [];
  const turns: Turn[] = [];
  for (const message of messages) {
    switch (message.role) {
      case "system":
        if (turns.length === 0) system.push(...message.parts.flatMap(writeText));
        else {
          const text = message.parts.map((part) => part.text).join("\n");
          if (text.trim() !== "") turn("user").content.push({ type: "text", text: `<system>\n${text}\n</system>` });
        }
        break;
      case "user":
        turn("user").content.push(...message.parts.flatMap(writePart));
        break;
      case "tool":
        turn("user").results.push(writeResult(message, ids));
        break;
      case "assistant":
        turn("assistant").content.push(...message.parts.flatMap((part) => writeAnswered(part, ids)));
        break;
      default:
        message satisfies never;
    }
  }
  const written = turns
    .map(({ role, results, content }) => ({ role, content: [...results, ...content] }))
    .filter(({ content }) => content.length > 0);
  const last = written.at(-1);
  if (last?.role === "assistant") trimPrefill(last.content);
  return { system, messages: written };

  function turn(role: Turn["role"]): Turn {
    const current = turns.at(-1);
    if (current?.role === role) return current;
    const next: Turn = { role, results: [], content: [] };
    turns.push(next);
    return next;
  }
}

function writeAnswered(
  part: (Message & { role: "assistant" })["parts"][number],
  ids: ToolIds,
): Record<string, unknown>[] {
  switch (part.type) {
    case "text":
      return writeText(part);
    case "reasoning":
      return [];
    case "tool_call":
      return [{ type: "tool_use", id: ids.of(part.id), name: part.name, input: argumentsObject(part.argumentsJson) }];
    default:
      return part satisfies never;
  }
}

function writeResult({ callId, parts, isError }: ToolResult, ids: ToolIds): Record<string, unknown> {
  const content = parts.flatMap(writePart);
  return {
    type: "tool_result",
    tool_use_id: ids.of(callId),
    ...(content.length > 0 ? { content } : {}),
    ...(isError ? { is_error: true } : {}),
  };
}

function writePart(part: TextPart | ImagePart): Record<string, unknown>[] {
  if (part.type === "text") return writeText(part);
  const { source } = part;
  if (source.kind === "url") return [{ type: "image", source: { type: "url", url: source.url } }];
  return [{ type: "image", source: { type: "base64", media_type: imageMediaType(part), data: source.data } }];
}

/** Blank texts are refused (engine-apis §3.4, 17). */
function writeText({ text }: TextPart): Record<string, unknown>[] {
  return text.trim() === "" ? [] : [{ type: "text", text }];
}

/** The beginning of an answer that the model shall go on with must not end in white space. */
function trimPrefill(content: Record<string, unknown>[]): void {
  const last = content.at(-1);
  if (last?.["type"] === "text" && typeof last["text"] === "string") last["text"] = last["text"].trimEnd();
}

/**
 * Arguments as the object that the dialect wants. What a model wrote and is none is kept as text under a name that says so,
 * because the conversation has to go on.
 */
export function argumentsObject(json: string): Record<string, unknown> {
  if (json.trim() === "") return {};
  try {
    const value: unknown = JSON.parse(json);
    if (isJsonObject(value)) return value;
  } catch {
    // Falls through: models write arguments that are no JSON, and are cut off in the middle of them.
  }
  return { malformed_arguments: json };
}

/** Ids that Anthropic accepts, each for one id of the conversation. */
class ToolIds {
  readonly #written = new Map<string, string>();
  readonly #taken = new Set<string>();

  of(id: string): string {
    const known = this.#written.get(id);
    if (known !== undefined) return known;
    const plain = id.replace(/[^A-Za-z0-9_-]/g, "_") || "call";
    let written = plain;
    for (let count = 2; this.#taken.has(written); count++) written = `${plain}_${count}`;
    this.#written.set(id, written);
    this.#taken.add(written);
    return written;
  }
}
