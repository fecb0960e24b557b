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
  optionalText,
  textAt,
  untranslatable,
} from "../request-member.ts";

/**
 * Reads `messages` of a chat request, in their order; system messages stay where they stand.
 *
 * @param dropped Gets the names of members that were left out because they change nothing.
 * @throws PosternError `body_invalid`, `untranslatable`, `field_refused` (media to fetch), with `param`.
 */
export function readMessages(value: unknown, options: ReadOptions, dropped: Set<string>): Message[] {
  return new MessageReader(options, dropped).read(listAt(value, "messages"));
}

class MessageReader {
  readonly #options: ReadOptions;
  readonly #dropped: Set<string>;
  /** Names of the tools that were called, by the id of the call. */
  readonly #called = new Map<string, string>();
  /** Calls of the older format have no ids: those that wait for their result, in order. */
  readonly #legacyCalls: { id: string; name: string }[] = [];
  #legacyCount = 0;

  constructor(options: ReadOptions, dropped: Set<string>) {
    this.#options = options;
    this.#dropped = dropped;
  }

  read(list: readonly unknown[]): Message[] {
    return list.map((item, index) => this.#message(objectAt(item, `messages[${index}]`), `messages[${index}]`));
  }

  #message(message: JsonObject, at: string): Message {
    const role = message["role"];
    switch (role) {
      case "system":
      case "developer":
        this.#dropName(message);
        return { role: "system", parts: this.#textParts(message["content"], `${at}.content`) };
      case "user":
        this.#dropName(message);
        return { role: "user", parts: this.#userParts(message["content"], `${at}.content`) };
      case "assistant":
        this.#dropName(message);
        return { role: "assistant", parts: this.#assistantParts(message, at) };
      case "tool":
        return this.#toolResult(message, at);
      case "function":
        return this.#functionResult(message, at);
      default:
        throw invalidMember(`${at}.role`, "system, developer, user, assistant or tool", role);
    }
  }

  #toolResult(message: JsonObject, at: string): ToolResult {
    const callId = nameAt(message["tool_call_id"], `${at}.tool_call_id`);
    const name = optionalText(message["name"], `${at}.name`) ?? this.#called.get(callId) ?? null;
    return { role: "tool", callId, name, parts: this.#userParts(message["content"], `${at}.content`), isError: false };
  }

  #functionResult(message: JsonObject, at: string): ToolResult {
    const name = nameAt(message["name"], `${at}.name`);
    const waiting = this.#legacyCalls.findIndex((call) => call.name === name);
    const callId = waiting === -1 ? this.#legacyId() : (this.#legacyCalls.splice(waiting, 1)[0]?.id ?? "");
    return { role: "tool", callId, name, parts: this.#textParts(message["content"], `${at}.content`), isError: false };
  }

  #assistantParts(message: JsonObject, at: string): (TextPart | ReasoningPart | ToolCallPart)[] {
    const parts: (TextPart | ReasoningPart | ToolCallPart)[] = [];
    if (!isAbsent(message["audio"])) throw untranslatable(`${at}.audio`, "audio has no counterpart there");
    const reasoning = message["reasoning_content"] ?? message["reasoning"];
    if (typeof reasoning === "string" && reasoning !== "") parts.push({ type: "reasoning", text: reasoning });
    parts.push(...this.#textParts(message["content"], `${at}.content`));
    const refusal = optionalText(message["refusal"], `${at}.refusal`);
    if (refusal !== null && refusal !== "") parts.push({ type: "text", text: refusal });
    if (!isAbsent(message["tool_calls"])) {
      const calls = listAt(message["tool_calls"], `${at}.tool_calls`);
      for (const [index, call] of calls.entries()) parts.push(this.#call(call, `${at}.tool_calls[${index}]`));
    }
    if (!isAbsent(message["function_call"])) {
      const call = objectAt(message["function_call"], `${at}.function_call`);
      const name = nameAt(call["name"], `${at}.function_call.name`);
      const id = this.#legacyId();
      this.#legacyCalls.push({ id, name });
      parts.push({ type: "tool_call", id, name, argumentsJson: readArguments(call["arguments"]) });
    }
    return parts;
  }

  #call(value: unknown, at: string): ToolCallPart {
    const call = objectAt(value, at);
    if (call["type"] !== undefined && call["type"] !== "function") {
      throw untranslatable(`${at}.type`, "only function calls have a counterpart there");
    }
    const called = objectAt(call["function"], `${at}.function`);
    const id = nameAt(call["id"], `${at}.id`);
    const name = nameAt(called["name"], `${at}.function.name`);
    this.#called.set(id, name);
    return { type: "tool_call", id, name, argumentsJson: readArguments(called["arguments"]) };
  }

  #legacyId(): string {
    this.#legacyCount += 1;
    return `call_function_${this.#legacyCount}`;
  }

  #textParts(content: unknown, at: string): TextPart[] {
    return this.#userParts(content, at).map((part) => {
      if (part.type !== "text") throw untranslatable(at, "only messages of the user and of tools may hold images");
      return part;
    });
  }

  /** Empty texts say nothing, and some servers refuse them. */
  #userParts(content: unknown, at: string): (TextPart | ImagePart)[] {
    if (isAbsent(content)) return [];
    if (typeof content === "string") return content === "" ? [] : [{ type: "text", text: content }];
    return listAt(content, at).flatMap((item, index) => {
      const part = this.#part(objectAt(item, `${at}[${index}]`), `${at}[${index}]`);
      return part.type === "text" && part.text === "" ? [] : [part];
    });
  }

  #part(part: JsonObject, at: string): TextPart | ImagePart {
    switch (part["type"]) {
      case "text":
      case "input_text":
      case "output_text":
        return { type: "text", text: textAt(part["text"], `${at}.text`) };
      case "refusal":
        return { type: "text", text: textAt(part["refusal"], `${at}.refusal`) };
      case "image_url": {
        const image = part["image_url"];
        if (isJsonObject(image) && !isAbsent(image["detail"]) && image["detail"] !== "auto") {
          this.#dropped.add("image_url.detail");
        }
        const url = isJsonObject(image) ? image["url"] : image;
        return readImageUrl(textAt(url, `${at}.image_url.url`), `${at}.image_url.url`, this.#options);
      }
      default:
        throw untranslatable(`${at}.type`, "only text and images have a counterpart there");
    }
  }

  #dropName(message: JsonObject): void {
    if (!isAbsent(message["name"])) this.#dropped.add("messages.name");
  }
}

const DATA_URL = /^data:([A-Za-z0-9.+-]+\/[A-Za-z0-9.+-]+)?((?:;[A-Za-z0-9_.+-]+=[A-Za-z0-9_.+-]*)*);base64,/;
/** Longest start of a URL in which the head of a `data:` URL is looked for. */
const MAX_DATA_HEAD = 256;

/**
 * An image from the URL in a request.
 *
 * @throws PosternError `field_refused` for a URL that the engine would have to fetch, unless remote media are allowed; `body_invalid`.
 */
export function readImageUrl(url: string, param: string, { remoteMedia }: ReadOptions): ImagePart {
  if (/^data:/i.test(url.slice(0, 5))) {
    const head = DATA_URL.exec(url.slice(0, MAX_DATA_HEAD));
    if (head === null) throw invalidMember(param, "a data: URL in base64", url);
    return {
      type: "image",
      mediaType: head[1]?.toLowerCase() ?? null,
      source: { kind: "base64", data: url.slice(head[0].length) },
    };
  }
  if (!remoteMedia) {
    throw new PosternError("field_refused", {
      message: "Media are not fetched from URLs here: send them inside the request as a data: URL",
      param,
    });
  }
  if (!/^https?:\/\//i.test(url)) throw invalidMember(param, "a data:, http: or https: URL", url);
  return { type: "image", mediaType: null, source: { kind: "url", url } };
}

/** Arguments as the model wrote them; what is no text at all becomes one. */
function readArguments(value: unknown): string {
  if (typeof value === "string") return value.trim() === "" ? "{}" : value;
  return isJsonObject(value) ? JSON.stringify(value) : "{}";
}
