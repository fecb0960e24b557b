import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PosternError } from "../errors.ts";
import { anthropicConversation } from "./anthropic/conversation.ts";
import type { AnswerContext, ConversationDialect } from "./conversation.ts";
import { ollamaChatConversation, ollamaGenerateConversation } from "./ollama/conversation.ts";
import { openAiChatConversation } from "./openai/conversation.ts";
import { responsesConversation } from "./responses/conversation.ts";

// Whatever stands where something else was expected: a caller gets a clear 400, an engine's answer is none. Never a throw
// of something else. Bodies are valid ones with one value replaced.

const CONTEXT: AnswerContext = { id: "r", model: "m", createdAtMs: 0, wantsUsage: true, estimatedTokensIn: 1 };
const TARGETS = [openAiChatConversation, responsesConversation, anthropicConversation, ollamaChatConversation];
const DIALECTS: readonly ConversationDialect[] = [...TARGETS, ollamaGenerateConversation];

const IMAGE = "iVBORw0KGgo=";
const SCHEMA = { type: "object", properties: { at: { type: "string" } } };
const REQUESTS: Record<string, Record<string, unknown>> = {
  "openai-chat": {
    model: "m",
    messages: [
      { role: "system", content: "s" },
      {
        role: "user",
        content: [
          { type: "text", text: "t" },
          { type: "image_url", image_url: { url: `data:image/png;base64,${IMAGE}`, detail: "low" } },
        ],
      },
      {
        role: "assistant",
        content: "c",
        tool_calls: [{ id: "i", type: "function", function: { name: "f", arguments: "{}" } }],
      },
      { role: "tool", tool_call_id: "i", content: "r" },
    ],
    tools: [{ type: "function", function: { name: "f", parameters: SCHEMA, strict: true } }],
    tool_choice: { type: "function", function: { name: "f" } },
    response_format: { type: "json_schema", json_schema: { name: "n", schema: SCHEMA } },
    reasoning_effort: "low",
    stop: ["x"],
    max_tokens: 5,
    temperature: 1,
    logprobs: true,
    top_logprobs: 2,
    stream: true,
  },
  "openai-responses": {
    model: "m",
    instructions: "s",
    input: [
      {
        role: "user",
        content: [
          { type: "input_text", text: "t" },
          { type: "input_image", image_url: `data:image/png;base64,${IMAGE}` },
        ],
      },
      { type: "reasoning", summary: [{ type: "summary_text", text: "h" }] },
      { type: "function_call", call_id: "i", name: "f", arguments: "{}" },
      { type: "function_call_output", call_id: "i", output: [{ type: "input_text", text: "r" }] },
    ],
    tools: [
      { type: "function", name: "f", parameters: SCHEMA },
      { type: "namespace", name: "g", tools: [{ type: "function", name: "h" }] },
    ],
    tool_choice: { type: "allowed_tools", mode: "auto", tools: [{ type: "function", name: "f" }] },
    text: { format: { type: "json_schema", name: "n", schema: SCHEMA } },
    reasoning: { effort: "low" },
    max_output_tokens: 5,
    stream: true,
  },
  "anthropic-messages": {
    model: "m",
    system: [{ type: "text", text: "s", cache_control: { type: "ephemeral" } }],
    messages: [
      {
        role: "user",
        content: [
          { type: "text", text: "t" },
          { type: "image", source: { type: "base64", media_type: "image/png", data: IMAGE } },
        ],
      },
      {
        role: "assistant",
        content: [
          { type: "thinking", thinking: "h", signature: "s" },
          { type: "tool_use", id: "i", name: "f", input: { at: "x" } },
        ],
      },
      {
        role: "user",
        content: [{ type: "tool_result", tool_use_id: "i", is_error: true, content: [{ type: "text", text: "r" }] }],
      },
    ],
    tools: [{ name: "f", description: "d", input_schema: SCHEMA }],
    tool_choice: { type: "tool", name: "f", disable_parallel_tool_use: true },
    thinking: { type: "enabled", budget_tokens: 2000 },
    stop_sequences: ["x"],
    max_tokens: 5000,
    metadata: { user_id: "u" },
    stream: true,
  },
  "ollama-chat": {
    model: "m",
    messages: [
      { role: "system", content: "s" },
      { role: "user", content: "t", images: [IMAGE] },
      {
        role: "assistant",
        content: "c",
        thinking: "h",
        tool_calls: [{ function: { name: "f", arguments: { at: "x" } } }],
      },
      { role: "tool", tool_name: "f", content: "r" },
    ],
    tools: [{ type: "function", function: { name: "f", parameters: SCHEMA } }],
    options: { temperature: 1, num_predict: 5, stop: ["x"], seed: 3 },
    format: SCHEMA,
    think: "low",
    stream: true,
  },
  "ollama-generate": {
    model: "m",
    prompt: "t",
    system: "s",
    images: [IMAGE],
    options: { temperature: 1, num_predict: 5 },
    format: "json",
    think: true,
    stream: true,
  },
};

const HOSTILE = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    -1,
    0,
    1.5,
    1e308,
    Number.MAX_SAFE_INTEGER + 1,
    Number.POSITIVE_INFINITY,
    "",
    "x",
    "__proto__",
    "data:",
    [],
    [null],
    [[]],
    {},
    { type: "__proto__" },
    JSON.parse('{"__proto__":{"type":"text"},"constructor":1}'),
  ),
  fc.jsonValue({ maxDepth: 3 }),
);

/** Every place of a value, as a path. */
function placesOf(value: unknown, path: (string | number)[] = []): (string | number)[][] {
  if (typeof value !== "object" || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([name, inner]) => placesOf(inner, [...path, name]))];
}

function replaced(value: unknown, path: readonly (string | number)[], by: unknown): unknown {
  const copy: unknown = structuredClone(value);
  if (path.length === 0) return by;
  let holder = copy as Record<string | number, unknown>;
  for (const step of path.slice(0, -1)) holder = holder[step] as Record<string | number, unknown>;
  holder[path.at(-1)!] = by;
  return copy;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

describe.each(DIALECTS)("$dialect", (words) => {
  test("reads hostile requests, or refuses them with a 400, and what it read can be written", () => {
    const valid = REQUESTS[words.dialect]!;
    const places = placesOf(valid);
    fc.assert(
      fc.property(fc.constantFrom(...places), HOSTILE, fc.constantFrom(...TARGETS), (place, value, target) => {
        const body = replaced(valid, place, value);
        if (!isObject(body)) return;
        try {
          const conversation = words.readRequest(body, { remoteMedia: false });
          const written = target.writeRequest(conversation, { model: "m", engineKind: "vllm" });
          expect(JSON.parse(JSON.stringify(written))).toBeTypeOf("object");
        } catch (error) {
          if (!(error instanceof PosternError)) throw error;
          expect(error.status).toBe(400);
        }
      }),
      { numRuns: 2000 },
    );
  });

  const answer = {
    parts: [
      { type: "reasoning" as const, text: "h" },
      { type: "text" as const, text: "t" },
      ...(words === ollamaGenerateConversation
        ? []
        : [{ type: "tool_call" as const, id: "i", name: "f", argumentsJson: '{"at":"x"}' }]),
    ],
    finish: "stop" as const,
    stopSequence: null,
    usage: { tokensIn: 1, tokensInCached: 1, tokensOut: 1, tokensReasoning: 1, isEstimated: false },
    logprobs: [{ token: "t", logprob: -1, bytes: [1], top: [] }],
  };

  test("reads hostile answers, or says that they are none", () => {
    const valid = words.writeAnswer(answer, CONTEXT);
    fc.assert(
      fc.property(
        fc.constantFrom(...placesOf(valid)),
        HOSTILE,
        fc.constantFrom(...DIALECTS),
        (place, value, caller) => {
          const body = replaced(valid, place, value);
          if (!isObject(body)) return;
          const read = words.readAnswer(body);
          if (read === null) return;
          if (caller === ollamaGenerateConversation && read.parts.some(({ type }) => type === "tool_call")) return;
          expect(written(() => caller.writeAnswer(read, CONTEXT))).toBeTypeOf("string");
        },
      ),
      { numRuns: 1000 },
    );
  });

  test("reads hostile errors", () => {
    const valid = words.writeError({ status: 400, kind: "invalid", message: "m" }, CONTEXT);
    fc.assert(
      fc.property(
        fc.constantFrom(...placesOf(valid)),
        HOSTILE,
        fc.integer({ min: 0, max: 599 }),
        (place, value, status) => {
          const error = words.readError(status, replaced(valid, place, value));
          expect(error.message).toBeTypeOf("string");
          expect(error.message.length).toBeGreaterThan(0);
          expect(error.status).toBeGreaterThanOrEqual(400);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("reads hostile streams, or gives up on them", () => {
    const writer = words.writer(CONTEXT);
    let text = writer.write({ type: "reasoning", text: "h" }) + writer.write({ type: "text", text: "t" });
    if (words !== ollamaGenerateConversation) {
      text += writer.write({ type: "tool_start", index: 0, id: "i", name: "f" });
      text += writer.write({ type: "tool_arguments", index: 0, json: '{"at":1}' });
    }
    text += writer.write({ type: "usage", usage: answer.usage });
    text += writer.write({ type: "finish", reason: "stop", stopSequence: null });
    text += writer.end();
    const lines = text.split("\n");
    const jsonLines = lines.flatMap((line, index) => (/^(?:data: )?\{/.test(line) ? [index] : []));
    fc.assert(
      fc.property(
        fc.constantFrom(...jsonLines),
        fc.nat(),
        HOSTILE,
        fc.integer({ min: 1, max: 200 }),
        (line, pick, value, cut) => {
          const changed = [...lines];
          const head = changed[line]!.startsWith("data: ") ? "data: " : "";
          const tree: unknown = JSON.parse(changed[line]!.slice(head.length));
          const places = placesOf(tree);
          changed[line] = head + JSON.stringify(replaced(tree, places[pick % places.length]!, value));
          const bytes = Buffer.from(changed.join("\n"));
          const reader = words.reader();
          try {
            for (let at = 0; at < bytes.length; at += cut) reader.push(bytes.subarray(at, at + cut));
            reader.end();
          } catch (error) {
            if (!(error instanceof PosternError)) throw error;
            expect(error.code).toBe("engine_bad_answer");
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});

/** What was written, or the code of the refusal where the caller's dialect has no way to say it (arguments that are no object). */
function written(write: () => object): string {
  try {
    return JSON.stringify(write());
  } catch (error) {
    if (error instanceof PosternError && error.code === "engine_bad_answer") return error.code;
    throw error;
  }
}
