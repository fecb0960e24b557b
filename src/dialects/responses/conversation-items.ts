import { PosternError } from "../../errors.ts";
import type { ImagePart, Message, ReadOptions, TextPart, ToolResult } from "../conversation.ts";
import { readImageUrl } from "../openai/conversation-messages.ts";
import {
  invalidMember,
  isAbsent,
  isJsonObject,
  type JsonObject,
  listAt,
  nameAt,
  objectAt,
  textAt,
  untranslatable,
} from "../request-member.ts";
import { groupedName } from "./conversation-tools.ts";

type AssistantMessage = Extract<Message, { role: "assistant" }>;

/**
 * Reads `input`: a text, or the items of a conversation. Items that one answer consisted of become one message again.
 *
 * @param dropped Gets the names of items and members that were left out because they change nothing.
 * @throws PosternError `body_invalid`, `untranslatable`, `field_refused`, with `param`.
 */
export function readInput(value: unknown, options: ReadOptions, dropped: Set<string>): Message[] {
  if (typeof value === "string") return [{ role: "user", parts: value === "" ? [] : [{ type: "text", text: value }] }];
  const reader = new ItemReader(options, dropped);
  for (const [index, item] of listAt(value, "input").entries()) {
    reader.take(objectAt(item, `input[${index}]`), `input[${index}]`);
  }
  return reader.messages;
}

class ItemReader {
  readonly messages: Message[] = [];
  readonly #options: ReadOptions;
  readonly #dropped: Set<string>;
  /** Names of the tools that were called, by the id of the call. */
  readonly #called = new Map<string, string>();

  constructor(options: ReadOptions, dropped: Set<string>) {
    this.#options = options;
    this.#dropped = dropped;
  }

  take(item: JsonObject, at: string): void {
    const type = item["type"] ?? "message";
    switch (type) {
      case "message":
        return this.#message(item, at);
      case "reasoning":
        return this.#reasoning(item);
      case "function_call":
        return this.#call(item, at, nameAt(item["name"], `${at}.name`), readArguments(item["arguments"]));
      case "function_call_output":
      case "custom_tool_call_output":
      case "local_shell_call_output":
        return this.#result(item, at);
      // Calls of tools that only some servers have, from earlier in the conversation: as the functions that they were.
      case "custom_tool_call":
        return this.#call(
          item,
          at,
          nameAt(item["name"], `${at}.name`),
          JSON.stringify({ input: textAt(item["input"], `${at}.input`) }),
        );
      case "local_shell_call":
        return this.#call(item, at, "local_shell", JSON.stringify(objectAt(item["action"], `${at}.action`)));
      // What a server searched is not in the item: its findings are in the text behind it.
      case "web_search_call":
        this.#dropped.add("input.web_search_call");
        return;
      case "item_reference":
        throw new PosternError("field_refused", {
          message: "Earlier items are not kept here: send the whole conversation as input",
          param: `${at}.type`,
        });
      default:
        throw untranslatable(`${at}.type`, "items of this type have no counterpart there");
    }
  }

  #message(item: JsonObject, at: string): void {
    const role = item["role"];
    switch (role) {
      case "system":
      case "developer":
        this.messages.push({ role: "system", parts: this.#texts(item["content"], `${at}.content`) });
        return;
      case "user":
        this.messages.push({ role: "user", parts: this.#parts(item["content"], `${at}.content`) });
        return;
      case "assistant":
        this.#assistant().parts.push(...this.#texts(item["content"], `${at}.content`));
        return;
      default:
        throw invalidMember(`${at}.role`, "system, developer, user or assistant", role);
    }
  }

  /** What is encrypted only its maker can read. */
  #reasoning(item: JsonObject): void {
    const text = joined(item["content"]) || joined(item["summary"]);
    if (text !== "") this.#assistant().parts.push({ type: "reasoning", text });
  }

  #call(item: JsonObject, at: string, bareName: string, argumentsJson: string): void {
    const id = nameAt(item["call_id"] ?? item["id"], `${at}.call_id`);
    const name = groupedName(item["namespace"], bareName);
    this.#called.set(id, name);
    this.#assistant().parts.push({ type: "tool_call", id, name, argumentsJson });
  }

  #result(item: JsonObject, at: string): void {
    const callId = nameAt(item["call_id"] ?? item["id"], `${at}.call_id`);
    const output = item["output"];
    const result: ToolResult = {
      role: "tool",
      callId,
      name: this.#called.get(callId) ?? null,
      parts: isJsonObject(output)
        ? [{ type: "text", text: JSON.stringify(output) }]
        : this.#parts(output, `${at}.output`),
      isError: false,
    };
    this.messages.push(result);
  }

  /** The message of the answer that goes on, or a new one. */
  #assistant(): AssistantMessage {
    const last = this.messages.at(-1);
    if (last?.role === "assistant") return last;
    const message: AssistantMessage = { role: "assistant", parts: [] };
    this.messages.push(message);
    return message;
  }

  #texts(content: unknown, at: string): TextPart[] {
    return this.#parts(content, at).map((part) => {
      if (part.type !== "text") throw untranslatable(at, "only messages of the user and of tools may hold images");
      return part;
    });
  }

  #parts(content: unknown, at: string): (TextPart | ImagePart)[] {
    if (isAbsent(content)) return [];
    if (typeof content === "string") return content === "" ? [] : [{ type: "text", text: content }];
    return listAt(content, at).flatMap((item, index) => {
      const part = this.#part(objectAt(item, `${at}[${index}]`), `${at}[${index}]`);
      return part.type === "text" && part.text === "" ? [] : [part];
    });
  }

  #part(part: JsonObject, at: string): TextPart | ImagePart {
    switch (part["type"]) {
      case "input_text":
      case "output_text":
      case "text":
        return { type: "text", text: textAt(part["text"], `${at}.text`) };
      case "refusal":
        return { type: "text", text: textAt(part["refusal"], `${at}.refusal`) };
      case "input_image":
        if (!isAbsent(part["detail"]) && part["detail"] !== "auto") this.#dropped.add("input_image.detail");
        return readImageUrl(textAt(part["image_url"], `${at}.image_url`), `${at}.image_url`, this.#options);
      default:
        throw untranslatable(`${at}.type`, "only text and images have a counterpart there");
    }
  }
}

/** Texts of a list of parts, as paragraphs. */
function joined(list: unknown): string {
  if (!Array.isArray(list)) return "";
  return list
    .map((part) => (isJsonObject(part) && typeof part["text"] === "string" ? part["text"] : ""))
    .filter((text) => text !== "")
    .join("\n");
}

function readArguments(value: unknown): string {
  if (typeof value === "string") return value.trim() === "" ? "{}" : value;
  return isJsonObject(value) ? JSON.stringify(value) : "{}";
}
