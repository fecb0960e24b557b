import { describe, expect, test } from "vitest";
import { PosternError } from "../../errors.ts";
import { scanBody } from "../../lib/json-scan.ts";
import { codecFor } from "../codecs.ts";
import type { Conversation } from "../conversation.ts";
import { responsesConversation as responses } from "./conversation.ts";

const LOCAL = { remoteMedia: false };

function read(body: Record<string, unknown>): Conversation {
  return responses.readRequest({ model: "m", input: "x", ...body }, LOCAL);
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

describe("reading a request", () => {
  test("joins the items of one answer, and results to their calls", () => {
    const { messages, droppedFields } = read({
      instructions: "be brief",
      input: [
        { role: "user", content: "hi" },
        { type: "message", role: "developer", content: [{ type: "input_text", text: "mind" }] },
        { type: "reasoning", summary: [{ type: "summary_text", text: "hm" }], encrypted_content: "gAAA" },
        { type: "message", role: "assistant", content: [{ type: "output_text", text: "I look", annotations: [] }] },
        { type: "function_call", call_id: "a", name: "shell", arguments: '{"command":["ls"]}' },
        { type: "function_call", call_id: "b", namespace: "mcp__git", name: "log", arguments: "" },
        { type: "function_call_output", call_id: "a", output: "x\ny" },
        {
          type: "function_call_output",
          call_id: "b",
          output: [
            { type: "input_text", text: "seen" },
            { type: "input_image", image_url: "data:image/png;base64,AA", detail: "high" },
          ],
        },
        { type: "web_search_call", status: "completed", action: { type: "search", query: "q" } },
        { type: "reasoning", summary: [], encrypted_content: "gAAA" },
      ],
    });
    expect(messages).toEqual([
      { role: "system", parts: [{ type: "text", text: "be brief" }] },
      { role: "user", parts: [{ type: "text", text: "hi" }] },
      { role: "system", parts: [{ type: "text", text: "mind" }] },
      {
        role: "assistant",
        parts: [
          { type: "reasoning", text: "hm" },
          { type: "text", text: "I look" },
          { type: "tool_call", id: "a", name: "shell", argumentsJson: '{"command":["ls"]}' },
          { type: "tool_call", id: "b", name: "mcp__git-ns-log", argumentsJson: "{}" },
        ],
      },
      { role: "tool", callId: "a", name: "shell", parts: [{ type: "text", text: "x\ny" }], isError: false },
      {
        role: "tool",
        callId: "b",
        name: "mcp__git-ns-log",
        parts: [
          { type: "text", text: "seen" },
          { type: "image", mediaType: "image/png", source: { kind: "base64", data: "AA" } },
        ],
        isError: false,
      },
    ]);
    expect(droppedFields).toEqual(["input_image.detail", "input.web_search_call"]);
  });

  test("keeps calls of tools that only some servers have, from earlier in the conversation", () => {
    const { messages } = read({
      input: [
        { type: "custom_tool_call", call_id: "a", name: "apply_patch", input: "*** Begin Patch" },
        { type: "custom_tool_call_output", call_id: "a", output: "done" },
        { type: "local_shell_call", call_id: "b", status: "completed", action: { type: "exec", command: ["ls"] } },
        { type: "local_shell_call_output", id: "b", output: '{"output":"x"}' },
      ],
    });
    expect(messages).toMatchObject([
      { parts: [{ name: "apply_patch", argumentsJson: '{"input":"*** Begin Patch"}' }] },
      { callId: "a", name: "apply_patch" },
      { parts: [{ name: "local_shell", argumentsJson: '{"type":"exec","command":["ls"]}' }] },
      { callId: "b", name: "local_shell" },
    ]);
  });

  test("reads the tools of Codex: functions, groups of them, and what it sends by habit", () => {
    const { tools, droppedFields, toolChoice } = read({
      tools: [
        { type: "function", name: "shell", description: "d", strict: false, parameters: { type: "object" } },
        { type: "web_search", external_web_access: true },
        { type: "namespace", name: "mcp__git", tools: [{ type: "function", name: "log", parameters: null }] },
        { type: "image_generation", output_format: "png" },
      ],
      tool_choice: "auto",
    });
    expect(tools).toEqual([
      { name: "shell", description: "d", strict: false, parameters: { type: "object" } },
      { name: "mcp__git-ns-log", description: null, strict: null, parameters: { type: "object", properties: {} } },
    ]);
    expect(droppedFields).toEqual(["tools.web_search", "tools.image_generation"]);
    expect(toolChoice).toBe("auto");
  });

  test("reads every setting", () => {
    const conversation = read({
      tools: [
        { type: "function", name: "f", parameters: {} },
        { type: "function", name: "g", parameters: {} },
      ],
      tool_choice: { type: "allowed_tools", mode: "required", tools: [{ type: "function", name: "g" }] },
      max_output_tokens: 9,
      temperature: 0.5,
      top_p: 0.9,
      text: { verbosity: "low", format: { type: "json_schema", name: "n", schema: { a: 1 }, strict: true } },
      reasoning: { effort: "high", summary: "auto" },
      include: ["message.output_text.logprobs", "reasoning.encrypted_content"],
      top_logprobs: 3,
      parallel_tool_calls: false,
      stream: true,
      store: false,
      prompt_cache_key: "k",
      truncation: "auto",
      background: false,
      previous_response_id: null,
    });
    expect(conversation).toMatchObject({
      tools: [{ name: "g" }],
      toolChoice: "required",
      maxTokens: 9,
      sampling: { temperature: 0.5, topP: 0.9 },
      format: { kind: "schema", name: "n", schema: { a: 1 }, strict: true },
      reasoning: { effort: "high", budgetTokens: null },
      topLogprobs: 3,
      parallelToolCalls: false,
      isStream: true,
      droppedFields: ["prompt_cache_key", "truncation", "text.verbosity", "reasoning.summary"],
    });
    expect(read({ tool_choice: { type: "function", name: "f" } }).toolChoice).toEqual({ name: "f" });
    expect(read({ tool_choice: "auto" }).toolChoice).toBeNull();
  });

  test.each([
    [{ previous_response_id: "r" }, "previous_response_id"],
    [{ background: true }, "background"],
    [{ tools: [{ type: "custom", name: "apply_patch" }] }, "tools[0].type"],
    [{ tools: [{ type: "local_shell" }] }, "tools[0].type"],
    [{ tools: [{ type: "mcp", server_url: "http://h" }] }, "tools[0].type"],
    [{ tools: [{ type: "function", name: "a-ns-b" }] }, "tools[0].name"],
    [{ tool_choice: { type: "web_search" } }, "tool_choice"],
    [{ input: [{ type: "compaction", encrypted_content: "x" }] }, "input[0].type"],
    [{ input: [{ role: "user", content: [{ type: "input_file", file_data: "x" }] }] }, "input[0].content[0].type"],
    [{ text: { format: { type: "grammar" } } }, "text.format.type"],
  ])("says that %j cannot be translated", (body, param) => {
    expect(refusal(body)).toEqual(["untranslatable", param]);
  });

  test.each([
    [{ input: null }, "input"],
    [{ input: 7 }, "input"],
    [{ input: [7] }, "input[0]"],
    [{ input: [{ role: "__proto__", content: "x" }] }, "input[0].role"],
    [{ input: [{ type: "function_call", call_id: "a", arguments: "{}" }] }, "input[0].name"],
    [{ input: [{ type: "function_call_output", output: "x" }] }, "input[0].call_id"],
    [{ input: [{ role: "user", content: [{ type: "input_text", text: 7 }] }] }, "input[0].content[0].text"],
    [{ tools: [{ name: "x" }] }, "tools[0].type"],
    [{ tools: {} }, "tools"],
    [{ tool_choice: "any" }, "tool_choice"],
    [{ max_output_tokens: 0 }, "max_output_tokens"],
    [{ reasoning: "high" }, "reasoning"],
    [{ text: { format: { type: "json_schema" } } }, "text.format.schema"],
  ])("says that %j is no request", (body, param) => {
    expect(refusal(body)).toEqual(["body_invalid", param]);
  });

  test("never fetches", () => {
    const input = [{ role: "user", content: [{ type: "input_image", image_url: "http://h/" }] }];
    expect(refusal({ input })).toEqual(["field_refused", "input[0].content[0].image_url"]);
    expect(refusal({ input: [{ type: "item_reference", id: "i" }] })[0]).toBe("field_refused");
  });
});

describe("writing a request", () => {
  test("comes back as what was read, and satisfies the field policy", () => {
    const body = {
      instructions: "s",
      input: [
        {
          role: "user",
          content: [
            { type: "input_text", text: "a" },
            { type: "input_image", image_url: "data:image/png;base64,AA" },
          ],
        },
        { role: "assistant", content: [{ type: "output_text", text: "b" }] },
        { type: "function_call", call_id: "c", name: "f", arguments: "{}" },
        { type: "function_call_output", call_id: "c", output: "r" },
      ],
      tools: [{ type: "function", name: "f", parameters: { type: "object" }, strict: true, description: "d" }],
      tool_choice: { type: "function", name: "f" },
      parallel_tool_calls: true,
      max_output_tokens: 7,
      temperature: 1,
      top_p: 0.5,
      text: { format: { type: "json_object" } },
      reasoning: { effort: "low" },
      include: ["message.output_text.logprobs"],
      top_logprobs: 1,
      stream: true,
    };
    const conversation = read(body);
    const written = responses.writeRequest(conversation, { model: "own", engineKind: "openai" });
    expect(written["store"]).toBe(false);
    expect(read(written)).toEqual(conversation);
    const codec = codecFor("openai.responses");
    const scan = scanBody(Buffer.from(JSON.stringify(written)));
    const facts = codec.inspect(scan);
    expect(facts.removedFields).toEqual([]);
    expect(codec.rewrite(scan, facts, { model: "own", forceUsage: true, engineKind: "openai" })).toBe(scan.bytes);
  });

  test("refuses what the dialect has no member for", () => {
    const options = { model: "m", engineKind: "vllm" };
    expect(() => responses.writeRequest({ ...read({}), stop: ["x"] }, options)).toThrow(
      expect.objectContaining({ code: "untranslatable", param: "stop" }),
    );
    expect(() => responses.writeRequest({ ...read({}), sampling: { topK: 4 } }, options)).toThrow(PosternError);
  });
});
