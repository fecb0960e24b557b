import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PosternError } from "../../errors.ts";
import type { Conversation } from "../conversation.ts";
import { anthropicConversation as messages } from "./conversation.ts";

const LOCAL = { remoteMedia: false };

function read(body: Record<string, unknown>, options = LOCAL): Conversation {
  return messages.readRequest({ model: "m", max_tokens: 100, messages: [], ...body }, options);
}

function readTurn(role: string, content: unknown): Conversation["messages"] {
  return read({ messages: [{ role, content }] }).messages;
}

function code(run: () => unknown): string {
  try {
    run();
    return "accepted";
  } catch (error) {
    if (error instanceof PosternError) return `${error.code} ${error.param ?? ""}`;
    throw error;
  }
}

const EMPTY: Conversation = {
  messages: [],
  tools: [],
  toolChoice: null,
  parallelToolCalls: null,
  maxTokens: null,
  sampling: {},
  stop: [],
  format: null,
  reasoning: null,
  topLogprobs: null,
  isStream: false,
  droppedFields: [],
};

function write(conversation: Partial<Conversation>, engineKind = "anthropic"): Record<string, unknown> {
  return messages.writeRequest({ ...EMPTY, ...conversation }, { model: "own", engineKind });
}

const TOOL = { name: "f", description: null, parameters: { type: "object" }, strict: null };
const CALL = { type: "tool_call", id: "t1", name: "f", argumentsJson: '{"a":1}' } as const;

describe("reading a request", () => {
  test("takes every setting that has a neutral word", () => {
    const conversation = read({
      temperature: 0.5,
      top_p: 0.9,
      top_k: 40,
      stop_sequences: ["END"],
      stream: true,
      tools: [{ name: "f", description: "d", input_schema: { type: "object" }, strict: true }],
      tool_choice: { type: "tool", name: "f", disable_parallel_tool_use: true },
      thinking: { type: "enabled", budget_tokens: 2000 },
      output_config: { effort: "max", format: { type: "json_schema", schema: { type: "object" } } },
    });
    expect(conversation).toEqual({
      ...EMPTY,
      maxTokens: 100,
      sampling: { temperature: 0.5, topP: 0.9, topK: 40 },
      stop: ["END"],
      isStream: true,
      tools: [{ name: "f", description: "d", parameters: { type: "object" }, strict: true }],
      toolChoice: { name: "f" },
      parallelToolCalls: false,
      reasoning: { effort: "high", budgetTokens: 2000 },
      format: { kind: "schema", name: "answer", schema: { type: "object" }, strict: true },
    });
  });

  test.each([
    [{ type: "auto" }, "auto", null],
    [{ type: "any", disable_parallel_tool_use: false }, "required", true],
    [{ type: "none" }, "none", null],
  ])("reads the tool choice %j", (tool_choice, toolChoice, parallelToolCalls) => {
    expect(read({ tool_choice })).toMatchObject({ toolChoice, parallelToolCalls });
  });

  test("takes an effort for thinking only where thinking was asked for", () => {
    expect(read({ thinking: { type: "disabled" } }).reasoning).toEqual({ effort: "none", budgetTokens: null });
    const adaptive = read({ thinking: { type: "adaptive" }, output_config: { effort: "low" } });
    expect(adaptive.reasoning).toEqual({ effort: "low", budgetTokens: null });
    expect(read({ output_config: { effort: "low" } })).toMatchObject({
      reasoning: null,
      droppedFields: ["output_config.effort"],
    });
  });

  test("trap 10: a system message among the others stays in its place", () => {
    const conversation = read({
      system: [{ type: "text", text: "first" }],
      messages: [
        { role: "user", content: "a" },
        { role: "system", content: "later" },
        { role: "assistant", content: "b" },
      ],
    });
    expect(conversation.messages).toEqual([
      { role: "system", parts: [{ type: "text", text: "first" }] },
      { role: "user", parts: [{ type: "text", text: "a" }] },
      { role: "system", parts: [{ type: "text", text: "later" }] },
      { role: "assistant", parts: [{ type: "text", text: "b" }] },
    ]);
  });

  test("trap 11: Claude Code's attribution block is no instruction", () => {
    const attribution = { type: "text", text: "x-anthropic-billing-header: cc_version=2.1.228" };
    expect(read({ system: [attribution, { type: "text", text: "s" }] }).messages).toEqual([
      { role: "system", parts: [{ type: "text", text: "s" }] },
    ]);
    expect(read({ system: [attribution] }).messages).toEqual([]);
    expect(read({ system: "x-anthropic-billing-header" }).messages).toHaveLength(1);
  });

  test("trap 12: what has no counterpart and changes nothing is dropped by name", () => {
    const conversation = read({
      metadata: { user_id: "u" },
      context_management: { edits: [] },
      service_tier: null,
      system: [{ type: "text", text: "s", cache_control: { type: "ephemeral" } }],
      tools: [{ name: "f", input_schema: {}, defer_loading: true }],
    });
    expect(conversation.droppedFields).toEqual([
      "metadata",
      "context_management",
      "cache_control",
      "tools.defer_loading",
    ]);
  });

  test("trap 16: a tool's result may hold images, and stands before what the same message says", () => {
    const [, ...rest] = read({
      messages: [
        { role: "assistant", content: [{ type: "tool_use", id: "t1", name: "shot", input: { a: [1, { b: null }] } }] },
        {
          role: "user",
          content: [
            { type: "text", text: "look" },
            {
              type: "tool_result",
              tool_use_id: "t1",
              is_error: true,
              content: [
                { type: "text", text: "here" },
                { type: "image", source: { type: "base64", media_type: "image/png", data: "iVBOR" } },
              ],
            },
            { type: "tool_result", tool_use_id: "unknown" },
          ],
        },
      ],
    }).messages;
    expect(rest).toEqual([
      {
        role: "tool",
        callId: "t1",
        name: "shot",
        isError: true,
        parts: [
          { type: "text", text: "here" },
          { type: "image", mediaType: "image/png", source: { kind: "base64", data: "iVBOR" } },
        ],
      },
      { role: "tool", callId: "unknown", name: null, isError: false, parts: [] },
      { role: "user", parts: [{ type: "text", text: "look" }] },
    ]);
  });

  test("trap 7: thinking keeps its text and loses its signature; what is only a signature goes, the call behind it stays", () => {
    expect(
      readTurn("assistant", [
        { type: "thinking", thinking: "hm", signature: "abc" },
        { type: "thinking", thinking: "", signature: "abc" },
        { type: "redacted_thinking", data: "x" },
        { type: "tool_use", id: "t", name: "f", input: {} },
      ]),
    ).toEqual([
      {
        role: "assistant",
        parts: [
          { type: "reasoning", text: "hm" },
          { type: "tool_call", id: "t", name: "f", argumentsJson: "{}" },
        ],
      },
    ]);
    expect(readTurn("assistant", [{ type: "redacted_thinking", data: "x" }])).toEqual([]);
  });

  test("takes a document in plain text as text", () => {
    const source = { type: "text", media_type: "text/plain", data: "body" };
    expect(readTurn("user", [{ type: "document", title: "t", source }])).toEqual([
      { role: "user", parts: [{ type: "text", text: "t\nbody" }] },
    ]);
  });

  test("images by URL need the operator's word", () => {
    const body = {
      messages: [{ role: "user", content: [{ type: "image", source: { type: "url", url: "https://x/y" } }] }],
    };
    expect(code(() => read(body))).toBe("field_refused messages[0].content[0].source");
    expect(read(body, { remoteMedia: true }).messages).toMatchObject([
      { parts: [{ type: "image", source: { kind: "url", url: "https://x/y" } }] },
    ]);
  });

  test.each([
    ["server tools", { tools: [{ type: "web_search_20250305", name: "w" }] }, "untranslatable tools[0]"],
    ["tools without a schema here", { tools: [{ type: "bash_20250124", name: "bash" }] }, "untranslatable tools[0]"],
    ["tool servers", { mcp_servers: [{ url: "x" }] }, "untranslatable mcp_servers"],
    [
      "a search result",
      { messages: [{ role: "user", content: [{ type: "search_result" }] }] },
      "untranslatable messages[0].content[0]",
    ],
    [
      "a PDF",
      { messages: [{ role: "user", content: [{ type: "document", source: { type: "base64" } }] }] },
      "untranslatable messages[0].content[0]",
    ],
    [
      "citations",
      {
        messages: [
          {
            role: "user",
            content: [{ type: "document", citations: { enabled: true }, source: { type: "text", data: "" } }],
          },
        ],
      },
      "untranslatable messages[0].content[0].citations",
    ],
    [
      "a tool that the server ran",
      { messages: [{ role: "assistant", content: [{ type: "server_tool_use" }] }] },
      "untranslatable messages[0].content[0]",
    ],
    [
      "a file",
      { messages: [{ role: "user", content: [{ type: "image", source: { type: "file" } }] }] },
      "untranslatable messages[0].content[0].source",
    ],
    ["another output format", { output_config: { format: { type: "xml" } } }, "untranslatable output_config.format"],
  ])("refuses %s instead of dropping it", (_, body, expected) => {
    expect(code(() => read(body))).toBe(expected);
  });

  test.each([
    [{ messages: 5 }, "body_invalid messages"],
    [{ messages: [null] }, "body_invalid messages[0]"],
    [{ messages: [{ role: "tool", content: "x" }] }, "body_invalid messages[0].role"],
    [{ messages: [{ role: "user" }] }, "body_invalid messages[0].content"],
    [{ messages: [{ role: "user", content: [{ type: 5 }] }] }, "body_invalid messages[0].content[0].type"],
    [
      { messages: [{ role: "user", content: [{ type: "text", text: {} }] }] },
      "body_invalid messages[0].content[0].text",
    ],
    [
      { messages: [{ role: "assistant", content: [{ type: "tool_use", id: "a", name: "f", input: [] }] }] },
      "body_invalid messages[0].content[0].input",
    ],
    [
      { messages: [{ role: "user", content: [{ type: "tool_result" }] }] },
      "body_invalid messages[0].content[0].tool_use_id",
    ],
    [{ system: 5 }, "body_invalid system"],
    [{ tools: [{ input_schema: {} }] }, "body_invalid tools[0].name"],
    [{ tool_choice: { type: "some" } }, "body_invalid tool_choice.type"],
    [{ thinking: { type: "hard" } }, "body_invalid thinking.type"],
    [{ output_config: { effort: "__proto__" } }, "body_invalid output_config.effort"],
    [{ temperature: "hot" }, "body_invalid temperature"],
    [{ max_tokens: 1.5 }, "body_invalid max_tokens"],
    [{ stop_sequences: [1] }, "body_invalid stop_sequences[0]"],
    [{ stream: "yes" }, "body_invalid stream"],
  ])("answers 400 to %j", (body, expected) => {
    expect(code(() => read(body))).toBe(expected);
  });

  test("answers 400 or reads, whatever comes", () => {
    const key = fc.constantFrom(
      "role",
      "content",
      "type",
      "text",
      "source",
      "input",
      "id",
      "name",
      "tool_use_id",
      "__proto__",
    );
    const word = fc.constantFrom(
      "user",
      "assistant",
      "system",
      "text",
      "image",
      "tool_use",
      "tool_result",
      "thinking",
      "document",
      "base64",
    );
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 5 },
        word,
        fc.jsonValue({ maxDepth: 1 }),
        fc.array(tie("value"), { maxLength: 3 }),
        fc.dictionary(key, tie("value"), { maxKeys: 5 }),
      ),
    }));
    fc.assert(
      fc.property(fc.array(value, { maxLength: 4 }), value, (list, other) => {
        expect(code(() => read({ messages: list, system: other, tools: other, thinking: other }))).toMatch(
          /^(accepted|body_invalid|untranslatable|field_refused)/,
        );
      }),
    );
  });
});

describe("writing a request", () => {
  test("trap 17: sets a bound where there is none, keeps temperatures in range, joins turns, leaves blank texts out", () => {
    const body = write({
      sampling: { temperature: 1.7, topP: 0.9 },
      messages: [
        { role: "system", parts: [{ type: "text", text: "s" }] },
        {
          role: "user",
          parts: [
            { type: "text", text: "a" },
            { type: "text", text: " " },
          ],
        },
        { role: "user", parts: [{ type: "text", text: "b" }] },
        {
          role: "assistant",
          parts: [
            { type: "text", text: "" },
            { type: "text", text: "go on \n" },
          ],
        },
      ],
    });
    expect(body).toEqual({
      model: "own",
      max_tokens: 8192,
      system: [{ type: "text", text: "s" }],
      temperature: 1,
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "a" },
            { type: "text", text: "b" },
          ],
        },
        { role: "assistant", content: [{ type: "text", text: "go on" }] },
      ],
      stream: false,
    });
    expect(write({ sampling: { temperature: 1.7, topP: 0.9, topK: 3 } }, "vllm")).toMatchObject({
      temperature: 1.7,
      top_p: 0.9,
      top_k: 3,
    });
  });

  test("puts all results of a turn first in the message behind the calls", () => {
    const { messages: turns } = write({
      messages: [
        { role: "user", parts: [{ type: "text", text: "q" }] },
        { role: "assistant", parts: [{ type: "text", text: "x" }, CALL, { ...CALL, id: "t:2", argumentsJson: "" }] },
        { role: "tool", callId: "t1", name: "f", parts: [{ type: "text", text: "r1" }], isError: false },
        { role: "system", parts: [{ type: "text", text: "note" }] },
        { role: "tool", callId: "t:2", name: null, parts: [], isError: true },
        { role: "user", parts: [{ type: "image", mediaType: null, source: { kind: "base64", data: "/9j/4A" } }] },
      ],
    });
    expect(turns).toEqual([
      { role: "user", content: [{ type: "text", text: "q" }] },
      {
        role: "assistant",
        content: [
          { type: "text", text: "x" },
          { type: "tool_use", id: "t1", name: "f", input: { a: 1 } },
          { type: "tool_use", id: "t_2", name: "f", input: {} },
        ],
      },
      {
        role: "user",
        content: [
          { type: "tool_result", tool_use_id: "t1", content: [{ type: "text", text: "r1" }] },
          { type: "tool_result", tool_use_id: "t_2", is_error: true },
          { type: "text", text: "<system>\nnote\n</system>" },
          { type: "image", source: { type: "base64", media_type: "image/jpeg", data: "/9j/4A" } },
        ],
      },
    ]);
  });

  test("trap 7: leaves thinking of earlier answers out: its signature is not to be had", () => {
    const { messages: turns } = write({
      messages: [
        { role: "assistant", parts: [{ type: "reasoning", text: "hm" }] },
        {
          role: "assistant",
          parts: [
            { type: "reasoning", text: "hm" },
            { type: "text", text: "a" },
          ],
        },
      ],
    });
    expect(turns).toEqual([{ role: "assistant", content: [{ type: "text", text: "a" }] }]);
  });

  test("keeps ids apart that only differ in characters that are not accepted", () => {
    const { messages: turns } = write({
      messages: [
        {
          role: "assistant",
          parts: [
            { ...CALL, id: "a:1" },
            { ...CALL, id: "a.1" },
            { ...CALL, id: "" },
          ],
        },
        { role: "tool", callId: "a.1", name: null, parts: [], isError: false },
      ],
    });
    expect(JSON.stringify(turns).match(/"(?:id|tool_use_id)":"[^"]*"/g)).toEqual([
      '"id":"a_1"',
      '"id":"a_1_2"',
      '"id":"call"',
      '"tool_use_id":"a_1_2"',
    ]);
  });

  test("keeps arguments that are no object as text, because the conversation has to go on", () => {
    for (const argumentsJson of ['{"a', "[1]", "5", '"x"']) {
      const { messages: turns } = write({ messages: [{ role: "assistant", parts: [{ ...CALL, argumentsJson }] }] });
      expect(turns).toMatchObject([{ content: [{ input: { malformed_arguments: argumentsJson } }] }]);
    }
  });

  test("writes tools, with a schema even where there is none, and the choice among them", () => {
    expect(
      write({
        tools: [
          { ...TOOL, description: "d", strict: true },
          { ...TOOL, parameters: null },
        ],
      })["tools"],
    ).toEqual([
      { name: "f", description: "d", input_schema: { type: "object" }, strict: true },
      { name: "f", input_schema: { type: "object", properties: {} } },
    ]);
    const choose = (toolChoice: Conversation["toolChoice"], parallelToolCalls: boolean | null = null) =>
      write({ tools: [TOOL], toolChoice, parallelToolCalls })["tool_choice"];
    expect(choose(null)).toBeUndefined();
    expect(choose(null, false)).toEqual({ type: "auto", disable_parallel_tool_use: true });
    expect(choose("required", false)).toEqual({ type: "any", disable_parallel_tool_use: true });
    expect(choose({ name: "f" })).toEqual({ type: "tool", name: "f" });
    expect(choose("none", false)).toEqual({ type: "none" });
    expect(write({ toolChoice: "required" })["tool_choice"]).toBeUndefined();
  });

  test("asks for thinking where it can be had", () => {
    const think = (reasoning: Conversation["reasoning"], more: Partial<Conversation> = {}) => {
      const { thinking, output_config, temperature } = write({ sampling: { temperature: 0.2 }, reasoning, ...more });
      return { thinking, output_config, temperature };
    };
    expect(think({ effort: "none", budgetTokens: null })).toEqual({ thinking: { type: "disabled" }, temperature: 0.2 });
    expect(think({ effort: "minimal", budgetTokens: null })).toEqual({
      thinking: { type: "adaptive" },
      output_config: { effort: "low" },
    });
    expect(think({ effort: null, budgetTokens: 20_000 })).toEqual({
      thinking: { type: "enabled", budget_tokens: 8191 },
    });
    expect(think({ effort: null, budgetTokens: 5000 }, { maxTokens: 500 })).toEqual({ temperature: 0.2 });
    expect(think({ effort: "high", budgetTokens: null }, { tools: [TOOL], toolChoice: "required" })).toEqual({
      temperature: 0.2,
    });
  });

  test("writes a schema, and refuses what the dialect has no words for", () => {
    const format = { kind: "schema", name: "n", schema: { type: "object" }, strict: null } as const;
    expect(write({ format })["output_config"]).toEqual({ format: { type: "json_schema", schema: { type: "object" } } });
    expect(code(() => write({ format: { kind: "json" } }))).toBe("untranslatable response_format");
    expect(code(() => write({ topLogprobs: 0 }))).toBe("untranslatable logprobs");
    expect(code(() => write({ sampling: { seed: 1 } }))).toBe("untranslatable seed");
    expect(code(() => write({ sampling: { presencePenalty: 0.1 } }))).toBe("untranslatable presence_penalty");
    expect(code(() => write({ stop: ["\n"] }))).toBe("untranslatable stop");
    expect(code(() => write({ sampling: { presencePenalty: 0, frequencyPenalty: 0, repeatPenalty: 1 } }))).toBe(
      "accepted",
    );
  });

  test("says again what was read", () => {
    const request = {
      max_tokens: 100,
      system: [{ type: "text", text: "s" }],
      messages: [
        { role: "user", content: [{ type: "text", text: "q" }] },
        {
          role: "assistant",
          content: [
            { type: "text", text: "a" },
            { type: "tool_use", id: "t1", name: "f", input: { x: [1] } },
          ],
        },
        { role: "user", content: [{ type: "tool_result", tool_use_id: "t1", content: [{ type: "text", text: "r" }] }] },
      ],
      tools: [{ name: "f", description: "d", input_schema: { type: "object" } }],
      tool_choice: { type: "any" },
      thinking: { type: "disabled" },
      stop_sequences: ["END"],
      stream: true,
    };
    expect(write(read(request))).toEqual({ model: "own", ...request });
  });
});
