import { PosternError } from "../../errors.ts";
import type {
  ImagePart,
  Message,
  ReadOptions,
  ReasoningPart,
  TextPart,
  ToolCallPart,
  ToolResult,
} from "../conversation.ts";
import {
  invalidMember,
  isAbsent,
  isJsonObject,
  type JsonObject,
  listAt,
  nameAt,
  objectAt,
  optionalBoolean,
  optionalText,
  textAt,
  untranslatable,
} from "../request-member.ts";
import { isAttribution } from "./attribution.ts";

/**
 * Reads `system` and `messages`, in their order: system messages among the others stay where they stand, because moving one
 * to the front breaks every prefix cache (reference: engine-apis §3.4, 10). Tool results become messages of their own, before
 * whatever else the same user message says.
 *
 * @param dropped Gets the names of members that were left out because they change nothing.
 * @throws PosternError `body_invalid`, `untranslatable`, `field_refused` (media to fetch), with `param`.
 */
export function readMessages(
  system: unknown,
  messages: unknown,
  options: ReadOptions,
  dropped: Set<string>,
): Message[] {
  return new MessageReader(options, dropped).read(system, listAt(messages, "messages"));
}

class MessageReader {
  readonly #options: ReadOptions;
  readonly #dropped: Set<string>;
  /** Names of the tools that were called, by the id of the call. */
  readonly #called = new Map<string, string>();

  constructor(options: ReadOptions, dropped: Set<string>) {
    this.#options = options;
    this.#dropped = dropped;
  }

  read(system: unknown, list: readonly unknown[]): Message[] {
    const messages: Message[] = [];
    const parts = isAbsent(system) ? [] : this.#systemParts(system);
    if (parts.length > 0) messages.push({ role: "system", parts });
    for (const [index, item] of list.entries()) {
      const at = `messages[${index}]`;
      this.#message(objectAt(item, at), at, messages);
    }
    return messages;
  }

  #message(message: JsonObject, at: string, messages: Message[]): void {
    const role = message["role"];
    const blocks = this.#blocks(message["content"], `${at}.content`);
    switch (role) {
      case "system":
        messages.push({ role, parts: blocks.flatMap(([block, where]) => this.#text(block, where)) });
        return;
      case "user":
        this.#user(blocks, messages);
        return;
      case "assistant": {
        const parts = blocks.flatMap(([block, where]) => this.#assistantPart(block, where));
        if (parts.length > 0) messages.push({ role, parts });
        return;
      }
      default:
        throw invalidMember(`${at}.role`, "user, assistant or system", role);
    }
  }

  /** The attribution block of Claude Code is for Anthropic's billing and no instruction (engine-apis §3.4, 11). */
  #systemParts(system: unknown): TextPart[] {
    const blocks = this.#blocks(system, "system");
    const first = blocks[0]?.[0]["text"];
    const isAttributed = Array.isArray(system) && typeof first === "string" && isAttribution(first);
    return (isAttributed ? blocks.slice(1) : blocks).flatMap(([block, where]) => this.#text(block, where));
  }

  #user(blocks: readonly Block[], messages: Message[]): void {
    const parts: (TextPart | ImagePart)[] = [];
    let hasResults = false;
    for (const [block, where] of blocks) {
      if (block["type"] === "tool_result") {
        hasResults = true;
        messages.push(this.#toolResult(block, where));
      } else parts.push(...this.#userPart(block, where));
    }
    if (parts.length > 0 || !hasResults) messages.push({ role: "user", parts });
  }

  #toolResult(block: JsonObject, at: string): ToolResult {
    const callId = nameAt(block["tool_use_id"], `${at}.tool_use_id`);
    const content = isAbsent(block["content"]) ? [] : this.#blocks(block["content"], `${at}.content`);
    return {
      role: "tool",
      callId,
      name: this.#called.get(callId) ?? null,
      parts: content.flatMap(([inner, where]) => this.#userPart(inner, where)),
      isError: optionalBoolean(block["is_error"], `${at}.is_error`) ?? false,
    };
  }

  #userPart(block: JsonObject, at: string): (TextPart | ImagePart)[] {
    switch (block["type"]) {
      case "text":
        return this.#text(block, at);
      case "image":
        return [this.#image(objectAt(block["source"], `${at}.source`), `${at}.source`)];
      case "document":
        return [readDocument(block, at)];
      default:
        throw unknownBlock(block, at);
    }
  }

  #assistantPart(block: JsonObject, at: string): (TextPart | ReasoningPart | ToolCallPart)[] {
    switch (block["type"]) {
      case "text":
        return this.#text(block, at);
      case "thinking": {
        // The signature holds only where it was made; a block may be nothing but a signature (engine-apis §3.4, 7).
        const text = optionalText(block["thinking"], `${at}.thinking`) ?? "";
        return text === "" ? [] : [{ type: "reasoning", text }];
      }
      case "redacted_thinking":
        return [];
      case "tool_use": {
        const id = nameAt(block["id"], `${at}.id`);
        const name = nameAt(block["name"], `${at}.name`);
        this.#called.set(id, name);
        const input = objectAt(block["input"] ?? {}, `${at}.input`);
        return [{ type: "tool_call", id, name, argumentsJson: JSON.stringify(input) }];
      }
      default:
        throw unknownBlock(block, at);
    }
  }

  /** Empty texts say nothing, and some servers refuse them. */
  #text(block: JsonObject, at: string): TextPart[] {
    if (block["type"] !== "text") throw unknownBlock(block, at);
    const text = textAt(block["text"], `${at}.text`);
    return text === "" ? [] : [{ type: "text", text }];
  }

  #image(source: JsonObject, at: string): ImagePart {
    switch (source["type"]) {
      case "base64": {
        const mediaType = optionalText(source["media_type"], `${at}.media_type`);
        return { type: "image", mediaType, source: { kind: "base64", data: textAt(source["data"], `${at}.data`) } };
      }
      case "url": {
        const url = textAt(source["url"], `${at}.url`);
        if (!this.#options.remoteMedia) {
          throw new PosternError("field_refused", {
            message: "Media are not fetched from URLs here: send them inside the request as base64",
            param: at,
          });
        }
        if (!/^https?:\/\//i.test(url)) throw invalidMember(`${at}.url`, "an http: or https: URL", url);
        return { type: "image", mediaType: null, source: { kind: "url", url } };
      }
      default:
        throw untranslatable(at, "only images inside the request have a counterpart there");
    }
  }

  /** Content as a list of blocks, each with where it stands; a string is one block of text. */
  #blocks(content: unknown, at: string): Block[] {
    if (typeof content === "string") return [[{ type: "text", text: content }, at]];
    return listAt(content, at).map((item, index) => {
      const where = `${at}[${index}]`;
      const block = objectAt(item, where);
      if (!isAbsent(block["cache_control"])) this.#dropped.add("cache_control");
      return [block, where];
    });
  }
}

type Block = readonly [block: JsonObject, at: string];

/** A document in plain text is its text, with its title before it. Others have no counterpart. */
function readDocument(block: JsonObject, at: string): TextPart {
  const source = objectAt(block["source"], `${at}.source`);
  const citations = block["citations"];
  if (isJsonObject(citations) && citations["enabled"] === true) {
    throw untranslatable(`${at}.citations`, "citations have no counterpart there");
  }
  if (source["type"] !== "text") throw untranslatable(at, "only documents in plain text have a counterpart there");
  const lines = [
    optionalText(block["title"], `${at}.title`),
    optionalText(block["context"], `${at}.context`),
    textAt(source["data"], `${at}.source.data`),
  ];
  return { type: "text", text: lines.filter((line) => line !== null && line !== "").join("\n") };
}

function unknownBlock(block: JsonObject, at: string): PosternError {
  const type = block["type"];
  if (typeof type !== "string") return invalidMember(`${at}.type`, "a string", type);
  return untranslatable(at, `blocks of type "${type.slice(0, 64)}" have no counterpart there`);
}
