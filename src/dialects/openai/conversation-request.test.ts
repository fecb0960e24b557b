import { describe, expect, test } from "vitest";
import { PosternError } from "../../errors.ts";
import { scanBody } from "../../lib/json-scan.ts";
import { codecFor } from "../codecs.ts";
import type { Conversation } from "../conversation.ts";
import { openAiChatConversation as chat } from "./conversation.ts";

const LOCAL = { remoteMedia: false };
const PNG = "data:image/png;base64,iVBORw0KGgo=";

function read(body: Record<string, unknown>, options = LOCAL): Conversation {
  return chat.readRequest({ model: "m", messages: [], ...body }, options);
}

function refusal(body: Record<string, unknown>): [code: string, param: string | undefined] {
  try {
    read(body);
  } catch (error) {
    if (error instanceof PosternError) return [error.code, error.param];
    throw error;
  }
  throw new Error("was not refused");
}

function write(body: Record<string, unknown>, engineKind = "vllm"): Record<string, unknown> {
  return chat.writeRequest(read(body), { model: "own", engineKind });
}

describe("reading a request", () => {
  test("keeps system and developer messages where they stand", () => {
    const { messages } = read({
      messages: [
        { role: "system", content: "a" },
        { role: "user", content: "b" },
        {
          role: "developer",
          content: [
            { type: "text", text: "c" },
            { type: "text", text: "" },
          ],
        },
      ],
    });
    expect(messages.map(({ role }) => role)).toEqual(["system", "user", "system"]);
    expect(messages[2]?.parts).toEqual([{ type: "text", text: "c" }]);
  });

  test("reads parts of text and images in their order", () => {
    const { messages, droppedFields } = read({
      messages: [
        {
          role: "user",
          name: "joe",
          content: [
            { type: "text", text: "look" },
            { type: "image_url", image_url: { url: PNG, detail: "low" } },
          ],
        },
      ],
    });
    expect(messages[0]?.parts).toEqual([
      { type: "text", text: "look" },
      { type: "image", mediaType: "image/png", source: { kind: "base64", data: "iVBORw0KGgo=" } },
    ]);
    expect(droppedFields).toEqual(["messages.name", "image_url.detail"]);
  });

  test.each(["https://example.com/a.png", "file:///etc/passwd", "/etc/passwd", "HTTP://x/", ""])(
    "refuses the image %j, which the engine would have to fetch",
    (url) => {
      const messages = [{ role: "user", content: [{ type: "image_url", image_url: { url } }] }];
      expect(refusal({ messages })).toEqual(["field_refused", "messages[0].content[0].image_url.url"]);
    },
  );

  test("takes http images where the operator allows them, and nothing else", () => {
    const image = (url: string) => [{ role: "user", content: [{ type: "image_url", image_url: { url } }] }];
    expect(read({ messages: image("https://h/a") }, { remoteMedia: true }).messages[0]?.parts).toEqual([
      { type: "image", mediaType: null, source: { kind: "url", url: "https://h/a" } },
    ]);
    expect(() => read({ messages: image("file:///a") }, { remoteMedia: true })).toThrow(PosternError);
    expect(refusal({ messages: image("data:image/png,plain") })[0]).toBe("body_invalid");
  });

  test("joins results to calls, the older form by name", () => {
    const { messages } = read({
      messages: [
        {
          role: "assistant",
          content: null,
          reasoning_content: "hm",
          tool_calls: [{ id: "c1", type: "function", function: { name: "f", arguments: '{"a": 1}' } }],
        },
        { role: "tool", tool_call_id: "c1", content: [{ type: "text", text: "r" }] },
        { role: "assistant", content: "", function_call: { name: "g", arguments: "" } },
        { role: "function", name: "g", content: "s" },
      ],
    });
    expect(messages).toEqual([
      {
        role: "assistant",
        parts: [
          { type: "reasoning", text: "hm" },
          { type: "tool_call", id: "c1", name: "f", argumentsJson: '{"a": 1}' },
        ],
      },
      { role: "tool", callId: "c1", name: "f", parts: [{ type: "text", text: "r" }], isError: false },
      { role: "assistant", parts: [{ type: "tool_call", id: "call_function_1", name: "g", argumentsJson: "{}" }] },
      { role: "tool", callId: "call_function_1", name: "g", parts: [{ type: "text", text: "s" }], isError: false },
    ]);
  });

  test("reads every setting", () => {
    const conversation = read({
      tools: [{ type: "function", function: { name: "f", parameters: { type: "object" }, strict: true } }],
      tool_choice: { type: "function", function: { name: "f" } },
      parallel_tool_calls: false,
      max_tokens: 5,
      max_completion_tokens: 7,
      temperature: 0,
      top_p: 0.5,
      top_k: 4,
      seed: 3,
      repetition_penalty: 1.1,
      stop: "x",
      response_format: { type: "json_schema", json_schema: { name: "n", schema: { a: 1 }, strict: true } },
      reasoning_effort: "xhigh",
      logprobs: true,
      top_logprobs: 2,
      stream: true,
      stream_options: { include_usage: true },
      user: "u",
      metadata: null,
    });
    expect(conversation).toEqual({
      messages: [],
      tools: [{ name: "f", description: null, parameters: { type: "object" }, strict: true }],
      toolChoice: { name: "f" },
      parallelToolCalls: false,
      maxTokens: 7,
      sampling: { temperature: 0, topP: 0.5, topK: 4, seed: 3, repeatPenalty: 1.1 },
      stop: ["x"],
      format: { kind: "schema", name: "n", schema: { a: 1 }, strict: true },
      reasoning: { effort: "high", budgetTokens: null },
      topLogprobs: 2,
      isStream: true,
      droppedFields: ["user"],
    });
    expect(read({ response_format: { type: "json_object" } }).format).toEqual({ kind: "json" });
    expect(read({ reasoning: { max_tokens: 100 } }).reasoning).toEqual({ effort: null, budgetTokens: 100 });
    expect(read({ max_tokens: -1 }).maxTokens).toBeNull();
    expect(read({ mirostat: 0, logit_bias: {}, n: 1, modalities: ["text"] }).droppedFields).toContain("mirostat");
  });

  test.each([
    [{ n: 2 }, "n"],
    [{ logit_bias: { "5": 1 } }, "logit_bias"],
    [{ mirostat: 2 }, "mirostat"],
    [{ functions: [{ name: "f" }] }, "functions"],
    [{ modalities: ["text", "audio"] }, "modalities"],
    [{ tools: [{ type: "custom", custom: {} }] }, "tools[0].type"],
    [{ tool_choice: { type: "allowed_tools" } }, "tool_choice"],
    [{ response_format: { type: "grammar" } }, "response_format.type"],
    [{ messages: [{ role: "user", content: [{ type: "input_audio" }] }] }, "messages[0].content[0].type"],
    [{ messages: [{ role: "assistant", audio: { id: "a" } }] }, "messages[0].audio"],
  ])("says that %j cannot be translated", (body, param) => {
    expect(refusal(body)).toEqual(["untranslatable", param]);
  });

  test.each([
    [{ messages: "x" }, "messages"],
    [{ messages: [null] }, "messages[0]"],
    [{ messages: [{ role: "__proto__" }] }, "messages[0].role"],
    [{ messages: [{ role: "user", content: 7 }] }, "messages[0].content"],
    [{ messages: [{ role: "user", content: [null] }] }, "messages[0].content[0]"],
    [{ messages: [{ role: "tool", content: "x" }] }, "messages[0].tool_call_id"],
    [{ messages: [{ role: "assistant", tool_calls: [{ id: "", function: {} }] }] }, "messages[0].tool_calls[0].id"],
    [{ messages: [{ role: "assistant", tool_calls: {} }] }, "messages[0].tool_calls"],
    [{ tools: [{ type: "function" }] }, "tools[0].function"],
    [{ tools: [{ type: "function", function: { name: "f", parameters: [] } }] }, "tools[0].function.parameters"],
    [{ tool_choice: "any" }, "tool_choice"],
    [{ temperature: "hot" }, "temperature"],
    [{ temperature: Number.POSITIVE_INFINITY }, "temperature"],
    [{ max_tokens: 1.5 }, "max_tokens"],
    [{ max_tokens: 0 }, "max_tokens"],
    [{ stop: [1] }, "stop[0]"],
    [{ stream: "yes" }, "stream"],
    [{ reasoning_effort: "much" }, "reasoning_effort"],
    [{ logprobs: true, top_logprobs: -1 }, "top_logprobs"],
    [{ n: "2" }, "n"],
  ])("says that %j is no chat request", (body, param) => {
    expect(refusal(body)).toEqual(["body_invalid", param]);
  });
});

describe("writing a request", () => {
  test("always asks a stream for usage", () => {
    expect(write({ stream: true })).toMatchObject({ stream: true, stream_options: { include_usage: true } });
    expect(write({})).not.toHaveProperty("stream_options");
  });

  test("writes text as strings, images as parts", () => {
    const { messages } = write({
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "a" },
            { type: "text", text: "b" },
          ],
        },
        { role: "user", content: [{ type: "image_url", image_url: { url: PNG } }] },
      ],
    });
    expect(messages).toEqual([
      { role: "user", content: "a\nb" },
      { role: "user", content: [{ type: "image_url", image_url: { url: PNG } }] },
    ]);
  });

  test("names the type of an image that has none by its first bytes", () => {
    const conversation = read({});
    conversation.messages = [
      { role: "user", parts: [{ type: "image", mediaType: null, source: { kind: "base64", data: "/9j/4AAQ" } }] },
    ];
    const body = chat.writeRequest(conversation, { model: "m", engineKind: "vllm" });
    expect(JSON.stringify(body)).toContain("data:image/jpeg;base64,/9j/4AAQ");
  });

  test("moves images of tool results into the user message behind the last result", () => {
    const conversation = read({});
    const image = { type: "image", mediaType: "image/png", source: { kind: "base64", data: "AA" } } as const;
    const result = (callId: string) =>
      ({ role: "tool", callId, name: null, parts: [{ type: "text", text: callId }, image], isError: false }) as const;
    const part = { type: "image_url", image_url: { url: "data:image/png;base64,AA" } };
    conversation.messages = [
      result("a"),
      result("b"),
      { role: "user", parts: [{ type: "text", text: "so?" }] },
    ] as never;
    expect(chat.writeRequest(conversation, { model: "m", engineKind: "vllm" })["messages"]).toEqual([
      { role: "tool", tool_call_id: "a", content: "a" },
      { role: "tool", tool_call_id: "b", content: "b" },
      { role: "user", content: [part, part, { type: "text", text: "so?" }] },
    ]);
    conversation.messages = [result("a"), { role: "assistant", parts: [] }] as never;
    expect(chat.writeRequest(conversation, { model: "m", engineKind: "vllm" })["messages"]).toEqual([
      { role: "tool", tool_call_id: "a", content: "a" },
      { role: "user", content: [part] },
      { role: "assistant", content: "" },
    ]);
    conversation.messages = [{ ...result("a"), isError: true, parts: [{ type: "text", text: "no disk" }] }] as never;
    expect(chat.writeRequest(conversation, { model: "m", engineKind: "vllm" })["messages"]).toEqual([
      { role: "tool", tool_call_id: "a", content: "Error: no disk" },
    ]);
  });

  test("names the bound of tokens as the engine knows it", () => {
    expect(write({ max_tokens: 5 }, "openai")).toMatchObject({ max_completion_tokens: 5 });
    for (const kind of ["ollama", "vllm", "llama-server", "embedded"]) {
      expect(write({ max_completion_tokens: 5 }, kind)).toMatchObject({ max_tokens: 5 });
    }
  });

  test("knows the quirks of engine kinds", () => {
    const tools = [{ type: "function", function: { name: "f" } }];
    expect(write({ tools, tool_choice: "none" }, "ollama")).not.toHaveProperty("tools");
    expect(write({ tools, tool_choice: "none" }, "vllm")).toMatchObject({ tool_choice: "none" });
    expect(write({ repeat_penalty: 1.1 }, "vllm")).toMatchObject({ repetition_penalty: 1.1 });
    expect(write({ repeat_penalty: 1.1 }, "llama-server")).toMatchObject({ repeat_penalty: 1.1 });
    expect(() => write({ top_k: 3 }, "openai")).toThrow(
      expect.objectContaining({ code: "untranslatable", param: "top_k" }),
    );
    expect(write({ reasoning_effort: "minimal" }, "ollama")).toMatchObject({ reasoning_effort: "low" });
    // Codex names an effort with every request: to a model that cannot think, Ollama answered it with 400.
    expect(write({ reasoning_effort: "medium" }, "ollama")).not.toHaveProperty("reasoning_effort");
    expect(write({ reasoning_effort: "none" }, "openai")).not.toHaveProperty("reasoning_effort");
    expect(write({ reasoning: { max_tokens: 4000 } })).toMatchObject({ reasoning_effort: "medium" });
    const thinking = { messages: [{ role: "assistant", content: "a", reasoning: "hm" }] };
    expect(write(thinking, "ollama")["messages"]).toEqual([{ role: "assistant", reasoning: "hm", content: "a" }]);
    expect(write(thinking, "openai")["messages"]).toEqual([{ role: "assistant", content: "a" }]);
  });

  test("comes back as what was read, and satisfies the field policy", () => {
    const body = {
      messages: [
        { role: "system", content: "be brief" },
        {
          role: "user",
          content: [
            { type: "text", text: "x" },
            { type: "image_url", image_url: { url: PNG } },
          ],
        },
        {
          role: "assistant",
          content: null,
          tool_calls: [{ id: "c", type: "function", function: { name: "f", arguments: "{}" } }],
        },
        { role: "tool", tool_call_id: "c", content: "done" },
      ],
      tools: [
        { type: "function", function: { name: "f", description: "d", parameters: { type: "object" }, strict: false } },
      ],
      tool_choice: "required",
      parallel_tool_calls: true,
      max_tokens: 9,
      temperature: 0.5,
      top_k: 3,
      min_p: 0.1,
      repeat_penalty: 1.2,
      stop: ["a", "b"],
      response_format: { type: "json_object" },
      reasoning_effort: "high",
      logprobs: true,
      top_logprobs: 3,
      stream: true,
    };
    for (const engineKind of ["ollama", "llama-server", "vllm", "lm-studio", "sglang", "embedded"]) {
      const written = chat.writeRequest(read(body), { model: "own", engineKind });
      expect(read(written)).toEqual(read(body));
      const codec = codecFor("openai.chat");
      const scan = scanBody(Buffer.from(JSON.stringify(written)));
      const facts = codec.inspect(scan);
      expect(facts).toMatchObject({ model: "own", removedFields: [], clampedFields: [], wantsUsage: true });
      expect(codec.rewrite(scan, facts, { model: "own", forceUsage: true, engineKind })).toBe(scan.bytes);
    }
  });
});
