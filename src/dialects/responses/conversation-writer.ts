import type { Conversation, ImagePart, Message, TextPart, WriteOptions } from "../conversation.ts";
import { imageMediaType } from "../image-type.ts";
import { untranslatable } from "../request-member.ts";
import { KEEPING_ENGINES } from "./fields.ts";

/**
 * The body of a Responses request for an engine. Nothing is kept there.
 *
 * @throws PosternError `untranslatable` for what this dialect has no member for: stop strings, some sampling settings.
 */
export function writeResponsesRequest(
  conversation: Conversation,
  { model, engineKind }: WriteOptions,
): Record<string, unknown> {
  const { tools, toolChoice, parallelToolCalls, maxTokens, sampling, stop, format, reasoning } = conversation;
  if (stop.length > 0) throw untranslatable("stop", "the dialect has no stop strings");
  const body: Record<string, unknown> = { model, input: conversation.messages.flatMap(writeMessage) };
  if (tools.length > 0) {
    body["tools"] = tools.map((tool) => ({ type: "function", ...tool }));
    if (toolChoice !== null) {
      body["tool_choice"] = typeof toolChoice === "string" ? toolChoice : { type: "function", name: toolChoice.name };
    }
    if (parallelToolCalls !== null) body["parallel_tool_calls"] = parallelToolCalls;
  }
  if (maxTokens !== null) body["max_output_tokens"] = maxTokens;
  const { temperature, topP, ...others } = sampling;
  const unsaid = Object.keys(others)[0];
  if (unsaid !== undefined) throw untranslatable(unsaid, "the dialect has no such setting");
  if (temperature !== undefined) body["temperature"] = temperature;
  if (topP !== undefined) body["top_p"] = topP;
  if (format !== null) {
    body["text"] = {
      format:
        format.kind === "json"
          ? { type: "json_object" }
          : { type: "json_schema", name: format.name, schema: format.schema, strict: format.strict },
    };
  }
  if (reasoning?.effort) body["reasoning"] = { effort: reasoning.effort };
  if (conversation.topLogprobs !== null) {
    body["include"] = ["message.output_text.logprobs"];
    body["top_logprobs"] = conversation.topLogprobs;
  }
  body["stream"] = conversation.isStream;
  if (KEEPING_ENGINES.some((kind) => kind === engineKind)) body["store"] = false;
  return body;
}

function writeMessage(message: Message): Record<string, unknown>[] {
  switch (message.role) {
    case "system":
      return [{ type: "message", role: "system", content: writeParts(message.parts) }];
    case "user":
      return [{ type: "message", role: "user", content: writeParts(message.parts) }];
    case "assistant":
      return writeAssistant(message);
    case "tool": {
      const { callId, parts, isError } = message;
      const isText = parts.every((part) => part.type === "text");
      const text = parts.map((part) => (part.type === "text" ? part.text : "")).join("\n");
      const said = isError && !/^\s*error/i.test(text) ? (text === "" ? "Error" : `Error: ${text}`) : text;
      return [{ type: "function_call_output", call_id: callId, output: isText ? said : writeParts(parts) }];
    }
    default:
      return message satisfies never;
  }
}

/** Texts and calls in their order. Thinking is left out: only its maker could use it. */
function writeAssistant({ parts }: Message & { role: "assistant" }): Record<string, unknown>[] {
  const items: Record<string, unknown>[] = [];
  for (const part of parts) {
    if (part.type === "text") {
      items.push({ type: "message", role: "assistant", content: [{ type: "output_text", text: part.text }] });
    } else if (part.type === "tool_call") {
      items.push({ type: "function_call", call_id: part.id, name: part.name, arguments: part.argumentsJson });
    }
  }
  return items;
}

function writeParts(parts: readonly (TextPart | ImagePart)[]): Record<string, unknown>[] {
  return parts.map((part) => {
    if (part.type === "text") return { type: "input_text", text: part.text };
    const { source } = part;
    const url = source.kind === "url" ? source.url : `data:${imageMediaType(part)};base64,${source.data}`;
    return { type: "input_image", detail: "auto", image_url: url };
  });
}
