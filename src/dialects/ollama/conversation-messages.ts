import type { ImagePart, Message, ReasoningPart, TextPart, ToolCallPart } from "../conversation.ts";
import {
  invalidMember,
  isAbsent,
  isJsonObject,
  type JsonObject,
  listAt,
  nameAt,
  objectAt,
  optionalText,
  textAt,
} from "../request-member.ts";
import { isPlainBase64 } from "./images.ts";

/**
 * Reads `messages` of a chat, in their order; system messages stay where they stand.
 *
 * Ollama's calls and results often have no ids: those that are missing are made from the call's place, so that the same
 * conversation gives the same ids again, and results are joined to calls by name and order.
 *
 * @param dropped Gets the names of members that were left out because they change nothing.
 * @throws PosternError `body_invalid` with `param`.
 */
export function readMessages(value: unknown, dropped: Set<string>): Message[] {
  const waiting: ToolCallPart[] = [];
  return listAt(value, "messages").map((item, index) => {
    const at = `messages[${index}]`;
    const message = objectAt(item, at);
    for (const name of Object.keys(message)) {
      if (!READ.has(name) && !isAbsent(message[name])) dropped.add(`messages.${name}`);
    }
    return readMessage(message, index, at, waiting);
  });
}

const READ: ReadonlySet<string> = new Set([
  "role",
  "content",
  "thinking",
  "images",
  "tool_calls",
  "tool_name",
  "tool_call_id",
]);

function readMessage(message: JsonObject, index: number, at: string, waiting: ToolCallPart[]): Message {
  const role = typeof message["role"] === "string" ? message["role"].toLowerCase() : message["role"];
  const text = readText(message["content"], `${at}.content`);
  const images = readImages(message["images"], `${at}.images`);
  switch (role) {
    case "user":
      return { role, parts: [...text, ...images] };
    case "tool":
      return { ...joinResult(message, index, at, waiting), role, parts: [...text, ...images], isError: false };
    case "system":
      refuseImages(images, at, role);
      return { role, parts: text };
    case "assistant": {
      refuseImages(images, at, role);
      const calls = readCalls(message["tool_calls"], index, `${at}.tool_calls`);
      waiting.push(...calls);
      return { role, parts: [...readThinking(message["thinking"], `${at}.thinking`), ...text, ...calls] };
    }
    default:
      throw invalidMember(`${at}.role`, "system, user, assistant or tool", message["role"]);
  }
}

/** Pictures inside a request, as Ollama takes them. @throws PosternError `body_invalid`. */
export function readImages(value: unknown, at: string): ImagePart[] {
  if (isAbsent(value)) return [];
  return listAt(value, at).map((item, index) => {
    const data = textAt(item, `${at}[${index}]`);
    if (data === "" || !isPlainBase64(data)) throw invalidMember(`${at}[${index}]`, "plain base64", item);
    return { type: "image", mediaType: null, source: { kind: "base64", data: data.replace(/[\r\n]/g, "") } };
  });
}

function readText(value: unknown, at: string): TextPart[] {
  const text = optionalText(value, at) ?? "";
  return text === "" ? [] : [{ type: "text", text }];
}

function readThinking(value: unknown, at: string): ReasoningPart[] {
  const text = optionalText(value, at) ?? "";
  return text === "" ? [] : [{ type: "reasoning", text }];
}

function readCalls(value: unknown, message: number, at: string): ToolCallPart[] {
  if (isAbsent(value)) return [];
  return listAt(value, at).map((item, index) => {
    const call = objectAt(item, `${at}[${index}]`);
    const called = objectAt(call["function"], `${at}[${index}].function`);
    const id = optionalText(call["id"], `${at}[${index}].id`) ?? "";
    return {
      type: "tool_call",
      id: id === "" ? `call_${message}_${index}` : id,
      name: nameAt(called["name"], `${at}[${index}].function.name`),
      argumentsJson: readArguments(called["arguments"], `${at}[${index}].function.arguments`),
    };
  });
}

/** An object here, its text elsewhere (engine-apis §3.4, 18). Text that is one already is taken as it is. */
function readArguments(value: unknown, at: string): string {
  if (isAbsent(value)) return "{}";
  if (isJsonObject(value)) return JSON.stringify(value);
  if (typeof value === "string" && isObjectText(value)) return value;
  throw invalidMember(at, "an object", value);
}

function isObjectText(text: string): boolean {
  try {
    return isJsonObject(JSON.parse(text));
  } catch {
    return false;
  }
}

/** The call that a result answers: by id, else the first one without a result of that name, else the first one at all. */
function joinResult(
  message: JsonObject,
  index: number,
  at: string,
  waiting: ToolCallPart[],
): { callId: string; name: string | null } {
  const id = optionalText(message["tool_call_id"], `${at}.tool_call_id`) ?? "";
  const name = optionalText(message["tool_name"], `${at}.tool_name`) ?? "";
  const place =
    id !== ""
      ? waiting.findIndex((call) => call.id === id)
      : name !== ""
        ? waiting.findIndex((call) => call.name === name)
        : waiting.length > 0
          ? 0
          : -1;
  const call = place === -1 ? undefined : waiting.splice(place, 1)[0];
  return { callId: call?.id ?? (id === "" ? `call_${index}` : id), name: name === "" ? (call?.name ?? null) : name };
}

function refuseImages(images: readonly ImagePart[], at: string, role: string): void {
  if (images.length > 0) throw invalidMember(`${at}.images`, `absent in a message of the ${role}`, []);
}
