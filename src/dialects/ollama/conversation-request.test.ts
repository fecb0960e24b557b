import { describe, expect, test } from "vitest";
import { PosternError } from "../../errors.ts";
import type { Conversation } from "../conversation.ts";
import { ollamaChatConversation as chat, ollamaGenerateConversation as generate } from "./conversation.ts";

const READ = { remoteMedia: false };
const WRITE = { model: "qwen3:8b", engineKind: "ollama" };
const PNG = "iVBORw0KGgoAAAANSUhEUg==";
const WEATHER = {
  type: "function",
  function: {
    name: "get_weather",
    description: "Weather of a city",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

/** Code and field of a refusal. */
function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof PosternError) return `${error.code} ${error.param ?? ""}`.trim();
    throw error;
  }
  return "none";
}

function readChat(more: Record<string, unknown>, messages: unknown = [{ role: "user", content: "hi" }]): Conversation {
  return chat.readRequest({ model: "m", messages, ...more }, READ);
}

function readGenerate(more: Record<string, unknown>): Conversation {
  return generate.readRequest({ model: "m", ...more }, READ);
}

describe("a chat request in neutral words", () => {
  test("keeps every message where it stands, with its parts", () => {
    const { messages } = readChat({}, [
      { role: "system", content: "Be brief." },
      { role: "USER", content: "What is this?", images: [PNG] },
      {
        role: "assistant",
        content: "A pig.",
        thinking: "Pink.",
        tool_calls: [
          { id: "call_a", function: { index: 0, name: "get_weather", arguments: { city: "Paris", days: 3 } } },
        ],
      },
      { role: "tool", content: "sunny", tool_call_id: "call_a" },
      { role: "system", content: "Later." },
    ]);
    expect(messages).toEqual([
      { role: "system", parts: [{ type: "text", text: "Be brief." }] },
      {
        role: "user",
        parts: [
          { type: "text", text: "What is this?" },
          { type: "image", mediaType: null, source: { kind: "base64", data: PNG } },
        ],
      },
      {
        role: "assistant",
        parts: [
          { type: "reasoning", text: "Pink." },
          { type: "text", text: "A pig." },
          { type: "tool_call", id: "call_a", name: "get_weather", argumentsJson: '{"city":"Paris","days":3}' },
        ],
      },
      { role: "tool", callId: "call_a", name: "get_weather", parts: [{ type: "text", text: "sunny" }], isError: false },
      { role: "system", parts: [{ type: "text", text: "Later." }] },
    ]);
  });

  // Trap 8: ids are often missing, and callers of other dialects join results to calls by them.
  test("makes ids that are missing, the same ones every time, and joins results by name and order", () => {
    const call = (name: string): unknown => ({ function: { name, arguments: {} } });
    const history = [
      { role: "assistant", content: "", tool_calls: [call("a"), call("b"), call("a")] },
      { role: "tool", content: "1", tool_name: "b" },
      { role: "tool", content: "2", tool_name: "a" },
      { role: "tool", content: "3" },
      { role: "assistant", content: "", tool_calls: [call("a")] },
      { role: "tool", content: "4" },
      { role: "tool", content: "5", tool_name: "x" },
    ];
    const { messages } = readChat({}, history);
    const ids = messages.flatMap((message) =>
      message.role === "tool"
        ? [`${message.callId} ${message.name}`]
        : message.parts.flatMap((part) => (part.type === "tool_call" ? [part.id] : [])),
    );
    expect(ids).toEqual([
      "call_0_0",
      "call_0_1",
      "call_0_2",
      "call_0_1 b",
      "call_0_0 a",
      "call_0_2 a",
      "call_4_0",
      "call_4_0 a",
      "call_6 x",
    ]);
    expect(readChat({}, history)).toEqual(readChat({}, history));
  });

  // Trap 18: an object here, its text elsewhere.
  test("writes arguments as text", () => {
    const args = (value: unknown): unknown =>
      readChat({}, [{ role: "assistant", tool_calls: [{ function: { name: "f", arguments: value } }] }]).messages[0]
        ?.parts[0];
    expect(args({ a: { b: [1] } })).toMatchObject({ argumentsJson: '{"a":{"b":[1]}}' });
    expect(args('{"a": 1}')).toMatchObject({ argumentsJson: '{"a": 1}' });
    expect(args(null)).toMatchObject({ argumentsJson: "{}" });
    for (const wrong of ["nonsense", [1], 7, "[]"]) {
      expect(refusal(() => args(wrong))).toBe("body_invalid messages[0].tool_calls[0].function.arguments");
    }
  });

  test("reads what is to be sampled, and names what changes nothing", () => {
    const read = readChat({
      keep_alive: "5m",
      truncate: true,
      options: {
        temperature: 0.5,
        top_p: 0.9,
        top_k: 40,
        min_p: 0.05,
        seed: 101,
        presence_penalty: 1,
        frequency_penalty: 2,
        repeat_penalty: 1.1,
        num_predict: 100,
        stop: ["\n", "user:"],
        num_ctx: 8192,
        num_gpu: 1,
        mirostat: 2,
        repeat_last_n: 64,
        typical_p: null,
      },
    });
    expect(read.sampling).toEqual({
      temperature: 0.5,
      topP: 0.9,
      topK: 40,
      minP: 0.05,
      seed: 101,
      presencePenalty: 1,
      frequencyPenalty: 2,
      repeatPenalty: 1.1,
    });
    expect(read).toMatchObject({ maxTokens: 100, stop: ["\n", "user:"], isStream: true, toolChoice: null });
    expect(read.droppedFields.toSorted()).toEqual([
      "keep_alive",
      "options.mirostat",
      "options.num_ctx",
      "options.num_gpu",
      "truncate",
    ]);
  });

  test.each([
    [{ options: { num_predict: -1 } }, { maxTokens: null }],
    [{ options: { num_predict: 0 } }, { maxTokens: null }],
    [{ options: { stop: "x" } }, { stop: ["x"] }],
    [{ options: null }, { sampling: {} }],
    [{ stream: false }, { isStream: false }],
    [{ stream: null }, { isStream: true }],
    [{ format: "json" }, { format: { kind: "json" } }],
    [{ format: "" }, { format: null }],
    [
      { format: { type: "object" } },
      { format: { kind: "schema", name: "answer", schema: { type: "object" }, strict: null } },
    ],
    [{ think: true }, { reasoning: { effort: null, budgetTokens: null } }],
    [{ think: false }, { reasoning: { effort: "none", budgetTokens: null } }],
    [{ think: "high" }, { reasoning: { effort: "high", budgetTokens: null } }],
    [{ think: "max" }, { reasoning: { effort: "high", budgetTokens: null } }],
    [{ think: null }, { reasoning: null }],
    [{ logprobs: true }, { topLogprobs: 0 }],
    [{ logprobs: true, top_logprobs: 5 }, { topLogprobs: 5 }],
    [{ top_logprobs: 5 }, { topLogprobs: null }],
    [
      { tools: [WEATHER] },
      {
        tools: [
          {
            name: "get_weather",
            description: "Weather of a city",
            parameters: WEATHER.function.parameters,
            strict: null,
          },
        ],
      },
    ],
    [
      { tools: [{ function: { name: "f" } }] },
      { tools: [{ name: "f", description: null, parameters: { type: "object", properties: {} }, strict: null }] },
    ],
  ])("reads %j", (more, expected) => {
    expect(readChat(more)).toMatchObject(expected);
  });

  test.each([
    [{ options: { repeat_last_n: 0 } }, "untranslatable options.repeat_last_n"],
    [{ options: { typical_p: 0.5 } }, "untranslatable options.typical_p"],
    [{ _debug_render_only: true }, "untranslatable _debug_render_only"],
    [{ options: { temperature: "hot" } }, "body_invalid options.temperature"],
    [{ options: { num_predict: 1.5 } }, "body_invalid options.num_predict"],
    [{ options: [] }, "body_invalid options"],
    [{ format: 7 }, "body_invalid format"],
    [{ think: "very" }, "body_invalid think"],
    [{ think: {} }, "body_invalid think"],
    [{ top_logprobs: -1 }, "body_invalid top_logprobs"],
    [{ tools: [{ type: "web_search" }] }, "untranslatable tools[0].type"],
    [{ tools: [7] }, "body_invalid tools[0]"],
    [{ stream: "yes" }, "body_invalid stream"],
  ])("refuses %j", (more, expected) => {
    expect(refusal(() => readChat(more))).toBe(expected);
  });

  test.each([
    [undefined, "untranslatable messages"],
    [[], "untranslatable messages"],
    ["hi", "body_invalid messages"],
    [[7], "body_invalid messages[0]"],
    [[{}], "body_invalid messages[0].role"],
    [[{ role: "god", content: "" }], "body_invalid messages[0].role"],
    [[{ role: "user", content: [{ type: "text" }] }], "body_invalid messages[0].content"],
    [[{ role: "user", images: ["http://x"] }], "body_invalid messages[0].images[0]"],
    [[{ role: "user", images: [`data:image/png;base64,${PNG}`] }], "body_invalid messages[0].images[0]"],
    [[{ role: "assistant", images: [PNG] }], "body_invalid messages[0].images"],
    [[{ role: "assistant", tool_calls: [{}] }], "body_invalid messages[0].tool_calls[0].function"],
    [JSON.parse('[{"__proto__":{"role":"user"}}]'), "body_invalid messages[0].role"],
  ])("refuses messages that are wrong: %j", (messages, expected) => {
    expect(refusal(() => chat.readRequest({ model: "m", messages }, READ))).toBe(expected);
  });
});

describe("a generate request in neutral words", () => {
  test("is one message of the user behind the system prompt", () => {
    const read = readGenerate({ prompt: "What is this?", system: "Be brief.", images: [PNG], raw: false, context: [] });
    expect(read.messages).toEqual([
      { role: "system", parts: [{ type: "text", text: "Be brief." }] },
      {
        role: "user",
        parts: [
          { type: "text", text: "What is this?" },
          { type: "image", mediaType: null, source: { kind: "base64", data: PNG } },
        ],
      },
    ]);
    expect(read).toMatchObject({ isStream: true, tools: [], droppedFields: [] });
  });

  test.each([
    [{ prompt: "x", suffix: "y" }, "untranslatable suffix"],
    [{ prompt: "x", raw: true }, "untranslatable raw"],
    [{ prompt: "x", template: "y" }, "untranslatable template"],
    [{ prompt: "x", context: [1] }, "untranslatable context"],
    [{ prompt: "" }, "untranslatable prompt"],
    [{}, "untranslatable prompt"],
    [{ prompt: 7 }, "body_invalid prompt"],
    [{ prompt: "x", system: 7 }, "body_invalid system"],
  ])("refuses %j", (more, expected) => {
    expect(refusal(() => readGenerate(more))).toBe(expected);
  });

  test("is written back as it was read", () => {
    const body = {
      prompt: "p",
      system: "s",
      images: [PNG],
      stream: false,
      format: "json",
      think: false,
      options: { seed: 1 },
      truncate: false,
      shift: false,
    };
    expect(generate.writeRequest(readGenerate(body), WRITE)).toEqual({ model: "qwen3:8b", ...body });
  });

  test("has no room for a conversation", () => {
    const turns = readChat({}, [
      { role: "user", content: "a" },
      { role: "assistant", content: "b" },
      { role: "user", content: "c" },
    ]);
    expect(refusal(() => generate.writeRequest(turns, WRITE))).toBe("untranslatable messages");
    expect(refusal(() => generate.writeRequest(readChat({ tools: [WEATHER] }), WRITE))).toBe("untranslatable messages");
  });
});

describe("a chat request for an engine", () => {
  const plain = readChat({});

  test("is the request that was read, in the engine's words", () => {
    const body = {
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "Look", images: [PNG] },
        {
          role: "assistant",
          content: "",
          thinking: "hm",
          tool_calls: [{ id: "call_a", function: { index: 0, name: "get_weather", arguments: { city: "Paris" } } }],
        },
        { role: "tool", content: "sunny", tool_name: "get_weather", tool_call_id: "call_a" },
      ],
      tools: [WEATHER],
      stream: true,
      truncate: false,
      shift: false,
      format: { type: "object" },
      think: "high",
      logprobs: true,
      top_logprobs: 2,
      options: { temperature: 0, num_predict: 5, stop: ["x"] },
    };
    expect(chat.writeRequest(readChat(body, body.messages), WRITE)).toEqual({ model: "qwen3:8b", ...body });
  });

  test("always says whether it is a stream, and that the prompt must fit, because Ollama decides otherwise", () => {
    expect(chat.writeRequest({ ...plain, isStream: false }, WRITE)).toEqual({
      model: "qwen3:8b",
      messages: [{ role: "user", content: "hi" }],
      stream: false,
      truncate: false,
      shift: false,
    });
  });

  test("offers no tools where none may be called, and refuses what it cannot force", () => {
    const withTools = readChat({ tools: [WEATHER] });
    expect(chat.writeRequest({ ...withTools, toolChoice: "none" }, WRITE)).not.toHaveProperty("tools");
    expect(chat.writeRequest({ ...withTools, toolChoice: "auto" }, WRITE)).toHaveProperty("tools");
    for (const toolChoice of ["required", { name: "get_weather" }] as const) {
      expect(refusal(() => chat.writeRequest({ ...withTools, toolChoice }, WRITE))).toBe("untranslatable tool_choice");
    }
    expect(refusal(() => chat.writeRequest({ ...withTools, parallelToolCalls: false }, WRITE))).toBe(
      "untranslatable parallel_tool_calls",
    );
    expect(chat.writeRequest({ ...plain, parallelToolCalls: false }, WRITE)).toHaveProperty("stream");
  });

  // Trap 16.
  test("moves images of tool results into a message of the user behind them", () => {
    const result = (callId: string): Conversation["messages"][number] => ({
      role: "tool",
      callId,
      name: null,
      parts: [
        { type: "text", text: "see" },
        { type: "image", mediaType: "image/png", source: { kind: "base64", data: PNG } },
      ],
      isError: false,
    });
    const { messages } = chat.writeRequest(
      { ...plain, messages: [result("a"), result("b"), { role: "user", parts: [{ type: "text", text: "?" }] }] },
      WRITE,
    );
    expect(messages).toEqual([
      { role: "tool", content: "see", tool_call_id: "a" },
      { role: "tool", content: "see", tool_call_id: "b" },
      { role: "user", content: "", images: [PNG, PNG] },
      { role: "user", content: "?" },
    ]);
  });

  test("refuses images to fetch, and arguments that are no object", () => {
    const image = { type: "image", mediaType: null, source: { kind: "url", url: "https://x" } } as const;
    expect(refusal(() => chat.writeRequest({ ...plain, messages: [{ role: "user", parts: [image] }] }, WRITE))).toBe(
      "untranslatable messages",
    );
    for (const argumentsJson of ["{", "[]", "7"]) {
      const call = { type: "tool_call", id: "a", name: "f", argumentsJson } as const;
      expect(
        refusal(() => chat.writeRequest({ ...plain, messages: [{ role: "assistant", parts: [call] }] }, WRITE)),
      ).toBe("untranslatable messages");
    }
  });

  test.each([
    [{ effort: "none", budgetTokens: null }, false],
    [{ effort: "minimal", budgetTokens: null }, "low"],
  ] as const)("thinks as %j says", (reasoning, think) => {
    expect(chat.writeRequest({ ...plain, reasoning }, WRITE)).toMatchObject({ think });
  });

  // Codex names an effort with every request: to a model that cannot think, Ollama answered it with 400.
  test.each([
    { effort: null, budgetTokens: 1000 },
    { effort: "medium", budgetTokens: null },
  ] as const)("does not ask for the ordinary thinking of %j, which is the default of models that can", (reasoning) => {
    expect(chat.writeRequest({ ...plain, reasoning }, WRITE)).not.toHaveProperty("think");
  });
});
