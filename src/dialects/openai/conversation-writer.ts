import type {
  Conversation,
  ImagePart,
  Message,
  Reasoning,
  Sampling,
  TextPart,
  ToolResult,
  WriteOptions,
} from "../conversation.ts";
import { imageMediaType } from "../image-type.ts";
import { untranslatable } from "../request-member.ts";

/**
 * The body of an OpenAI chat request for an engine.
 *
 * @throws PosternError `untranslatable` for sampling settings that the engine's kind has no field for.
 */
export function writeChatRequest(conversation: Conversation, options: WriteOptions): Record<string, unknown> {
  const { engineKind, model } = options;
  const body: Record<string, unknown> = { model, messages: writeMessages(conversation.messages, engineKind) };
  writeTools(body, conversation, engineKind);
  // OpenAI's newer models refuse the old name; everything else knows it, and Ollama knows no other (engine-apis §1.1).
  if (conversation.maxTokens !== null) {
    body[engineKind === "openai" ? "max_completion_tokens" : "max_tokens"] = conversation.maxTokens;
  }
  writeSampling(body, conversation.sampling, engineKind);
  if (conversation.stop.length > 0) body["stop"] = conversation.stop;
  const { format } = conversation;
  if (format?.kind === "json") body["response_format"] = { type: "json_object" };
  if (format?.kind === "schema") {
    const { name, schema, strict } = format;
    body["response_format"] = {
      type: "json_schema",
      json_schema: { name, schema, ...(strict === null ? {} : { strict }) },
    };
  }
  const effort = writeEffort(conversation.reasoning, engineKind);
  if (effort !== null) body["reasoning_effort"] = effort;
  if (conversation.topLogprobs !== null) {
    body["logprobs"] = true;
    if (conversation.topLogprobs > 0) body["top_logprobs"] = conversation.topLogprobs;
  }
  body["stream"] = conversation.isStream;
  if (conversation.isStream && options.asksUsage !== false) body["stream_options"] = { include_usage: true };
  return body;
}

function writeMessages(messages: readonly Message[], engineKind: string): Record<string, unknown>[] {
  const written: Record<string, unknown>[] = [];
  let images: ImagePart[] = [];
  for (const message of messages) {
    // The tool role takes text only: its images go to the user message behind the last result of the run, because results
    // must follow their calls without a gap (engine-apis §3.4, 16).
    if (message.role !== "tool" && images.length > 0) {
      if (message.role === "user") {
        written.push({ role: "user", content: writeContent([...images, ...message.parts]) });
        images = [];
        continue;
      }
      written.push({ role: "user", content: writeContent(images) });
      images = [];
    }
    switch (message.role) {
      case "system":
        written.push({ role: "system", content: joinText(message.parts) });
        break;
      case "user":
        written.push({ role: "user", content: writeContent(message.parts) });
        break;
      case "assistant":
        written.push(writeAssistant(message, engineKind));
        break;
      case "tool":
        written.push(writeToolResult(message));
        for (const part of message.parts) if (part.type === "image") images.push(part);
        break;
      default:
        message satisfies never;
    }
  }
  if (images.length > 0) written.push({ role: "user", content: writeContent(images) });
  return written;
}

/** Where an engine of this kind reads the thinking of earlier answers from. Others refuse or ignore it. */
const REASONING_MEMBER: ReadonlyMap<string, string> = new Map([
  ["ollama", "reasoning"],
  ["vllm", "reasoning"],
  ["llama-server", "reasoning_content"],
  ["sglang", "reasoning_content"],
]);

function writeAssistant(message: Message & { role: "assistant" }, engineKind: string): Record<string, unknown> {
  const calls: Record<string, unknown>[] = [];
  const texts: TextPart[] = [];
  let reasoning = "";
  for (const part of message.parts) {
    if (part.type === "text") texts.push(part);
    else if (part.type === "reasoning") reasoning += part.text;
    else calls.push({ id: part.id, type: "function", function: { name: part.name, arguments: part.argumentsJson } });
  }
  const written: Record<string, unknown> = { role: "assistant" };
  const member = REASONING_MEMBER.get(engineKind);
  if (reasoning !== "" && member !== undefined) written[member] = reasoning;
  written["content"] = texts.length === 0 && calls.length > 0 ? null : joinText(texts);
  if (calls.length > 0) written["tool_calls"] = calls;
  return written;
}

function writeToolResult({ callId, parts, isError }: ToolResult): Record<string, unknown> {
  const text = joinText(parts.filter((part) => part.type === "text"));
  // There is no member for it; the text has to say that the call failed.
  const content = isError && !/^\s*error/i.test(text) ? (text === "" ? "Error" : `Error: ${text}`) : text;
  return { role: "tool", tool_call_id: callId, content };
}

/** A string where there is only text: some templates take no lists, and Ollama makes several messages of one. */
function writeContent(parts: readonly (TextPart | ImagePart)[]): string | Record<string, unknown>[] {
  const texts = parts.filter((part) => part.type === "text");
  if (texts.length === parts.length) return joinText(texts);
  return parts.map((part) => {
    if (part.type === "text") return { type: "text", text: part.text };
    const { source } = part;
    const url = source.kind === "url" ? source.url : `data:${imageMediaType(part)};base64,${source.data}`;
    return { type: "image_url", image_url: { url } };
  });
}

/** Parts are paragraphs: what llama-server and vLLM make of lists themselves. */
function joinText(parts: readonly TextPart[]): string {
  return parts.length === 1 ? (parts[0]?.text ?? "") : parts.map(({ text }) => text).join("\n");
}

function writeTools(body: Record<string, unknown>, conversation: Conversation, engineKind: string): void {
  const { tools, toolChoice, parallelToolCalls } = conversation;
  // Ollama does not read tool_choice; without tools it cannot call any.
  if (tools.length === 0 || (engineKind === "ollama" && toolChoice === "none")) return;
  body["tools"] = tools.map(({ name, description, parameters, strict }) => ({
    type: "function",
    function: {
      name,
      ...(description === null ? {} : { description }),
      parameters,
      ...(strict === null ? {} : { strict }),
    },
  }));
  if (toolChoice !== null) {
    body["tool_choice"] =
      typeof toolChoice === "string" ? toolChoice : { type: "function", function: { name: toolChoice.name } };
  }
  if (parallelToolCalls !== null) body["parallel_tool_calls"] = parallelToolCalls;
}

function writeSampling(body: Record<string, unknown>, sampling: Sampling, engineKind: string): void {
  const { temperature, topP, topK, minP, seed, presencePenalty, frequencyPenalty, repeatPenalty } = sampling;
  if (temperature !== undefined) body["temperature"] = temperature;
  if (topP !== undefined) body["top_p"] = topP;
  if (seed !== undefined) body["seed"] = seed;
  if (presencePenalty !== undefined) body["presence_penalty"] = presencePenalty;
  if (frequencyPenalty !== undefined) body["frequency_penalty"] = frequencyPenalty;
  const repeat = engineKind === "vllm" || engineKind === "sglang" ? "repetition_penalty" : "repeat_penalty";
  for (const [name, value] of [
    ["top_k", topK],
    ["min_p", minP],
    [repeat, repeatPenalty],
  ] as const) {
    if (value === undefined) continue;
    // OpenAI's own API and its strict followers answer 400 to names that they do not know.
    if (engineKind === "openai") throw untranslatable(name, "an OpenAI server has no such setting");
    body[name] = value;
  }
}

/** Tokens of thinking that each effort stands for, where only a budget was given. */
const LOW_BUDGET_TOKENS = 2048;
const MEDIUM_BUDGET_TOKENS = 8192;

function writeEffort(reasoning: Reasoning | null, engineKind: string): string | null {
  if (reasoning === null) return null;
  const { effort, budgetTokens } = reasoning;
  // It answers 400 where a model cannot think or knows no levels; those that can think do so unasked (0.17.4).
  if (engineKind === "ollama" && (effort === "medium" || (effort === null && budgetTokens !== null))) return null;
  if (effort === null) {
    if (budgetTokens === null) return null;
    return budgetTokens <= LOW_BUDGET_TOKENS ? "low" : budgetTokens <= MEDIUM_BUDGET_TOKENS ? "medium" : "high";
  }
  // Models of OpenAI that do not think refuse the field, and those that do cannot always be told not to.
  if (engineKind === "openai") return effort === "none" ? null : effort;
  return effort === "minimal" ? "low" : effort;
}
