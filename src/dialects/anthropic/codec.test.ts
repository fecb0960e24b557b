import { describe, expect, test } from "vitest";
import { PosternError } from "../../errors.ts";
import { scanBody } from "../../lib/json-scan.ts";
import type { TargetEdits } from "../dialect.ts";
import { DEFAULT_FIELD_POLICY, type FieldPolicy } from "../field-policy.ts";
import { anthropicMessagesCodec, countTokensCodec } from "./codec.ts";

const CONTEXT = {
  id: "r",
  model: "m",
  createdAtMs: 0,
  wantsUsage: false,
  estimatedTokensIn: 1,
};

const USER = '"messages":[{"role":"user","content":"hi"}]';

function send(body: string, edits: Partial<TargetEdits> = {}, policy: Partial<FieldPolicy> = {}, isCount = false) {
  const codec = (isCount ? countTokensCodec : anthropicMessagesCodec)({ ...DEFAULT_FIELD_POLICY, ...policy });
  const scan = scanBody(Buffer.from(body));
  const facts = codec.inspect(scan);
  const bytes = codec.rewrite(scan, facts, { model: facts.model, forceUsage: true, ...edits });
  return { facts, bytes, text: bytes.toString(), isSame: bytes === scan.bytes };
}

function refusal(body: string, policy: Partial<FieldPolicy> = {}): string {
  try {
    send(body, {}, policy);
    return "accepted";
  } catch (error) {
    if (error instanceof PosternError) return `${error.code} ${error.param ?? ""}`;
    throw error;
  }
}

function message(block: unknown): string {
  return JSON.stringify({ model: "m", messages: [{ role: "user", content: [{ type: "text", text: "x" }, block] }] });
}

describe("inspect() and rewrite()", () => {
  test("passes an ordinary request byte for byte, odd numbers, unknown members of blocks and all", () => {
    const body = `{ "model":"m", "max_tokens":1e3, "stream":true, "temperature":0.30000000000000004, "metadata":{"user_id":12345678901234567890},
      "system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}], "thinking":{"type":"adaptive"}, "output_config":{"effort":"high"},
      "tools":[{"name":"f","input_schema":{"type":"object"},"defer_loading":true},{"type":"custom","name":"g","input_schema":{}}],
      "messages":[{"role":"user","content":"hi"},{"role":"system","content":"later"},{"role":"assistant","content":[{"type":"new_block","x":1}]}] }`;
    const { facts, isSame } = send(body, { engineKind: "vllm" });
    expect(isSame).toBe(true);
    expect(facts).toEqual({
      model: "m",
      isStream: true,
      wantsUsage: true,
      hasManyChoices: false,
      removedFields: [],
      clampedFields: [],
    });
  });

  test("never asks for usage in OpenAI's way", () => {
    expect(send(`{"model":"m","stream":true,${USER}}`).text).toBe(`{"model":"m","stream":true,${USER}}`);
  });

  test("removes unknown members and names them, clamps, and puts the engine's name of the model in", () => {
    const { text, facts } = send(
      `{"model":"public","stop_token_ids":[1],${USER},"max_tokens":99999,"n":2}`,
      { model: 'own"name' },
      { maxTokens: 100 },
    );
    expect(text).toBe(`{"model":"own\\"name",${USER},"max_tokens":100}`);
    expect(facts.removedFields).toEqual(["stop_token_ids", "n"]);
    expect(facts.clampedFields).toEqual([{ name: "max_tokens", to: 100 }]);
    expect(facts.hasManyChoices).toBe(false);
  });

  test("keeps what only Anthropic knows for Anthropic: a beta's field without its header is half of a pair", () => {
    const body = `{"model":"m",${USER},"context_management":{"edits":[]},"service_tier":"auto"}`;
    expect(send(body, { engineKind: "ollama" }).text).toBe(`{"model":"m",${USER}}`);
    expect(send(body, { engineKind: "anthropic" }).isSame).toBe(true);
    expect(send(body).isSame).toBe(true);
  });

  test.each([
    ["mcp_servers", '[{"type":"url","url":"http://10.0.0.1"}]'],
    ["container", '"c1"'],
    ["chat_template", '"{{x}}"'],
    ["chat_template_kwargs", "{}"],
    ["custom_logit_processor", '"x"'],
    ["kv_transfer_params", "{}"],
  ])("refuses %s", (name, value) => {
    const body = `{"model":"m",${USER},"${name}":${value}}`;
    expect(refusal(body)).toBe(`field_refused ${name}`);
    expect(refusal(body, { allow: [name] })).toBe("accepted");
  });

  test.each([
    ["no model", `{${USER}}`, "model_missing model"],
    ["no messages", '{"model":"m"}', "body_invalid messages"],
    ["messages that are none", '{"model":"m","messages":{}}', "body_invalid messages"],
    ["a system that is an object", `{"model":"m",${USER},"system":{}}`, "body_invalid system"],
    ["tools that are none", `{"model":"m",${USER},"tools":"x"}`, "body_invalid tools"],
    ["tools of the wrong kind", `{"model":"m",${USER},"tools":[1]}`, "body_invalid tools"],
    [
      "a name twice",
      '{"model":"m","messages":[{"role":"user","content":[{"source":{"url":"x"},"Source":1}]}]}',
      "body_ambiguous Source",
    ],
  ])("answers 400 to %s", (_, body, expected) => {
    expect(refusal(body)).toBe(expected);
  });

  test.each([
    "web_search_20250305",
    "web_fetch_20260309",
    "code_execution_20260521",
    "bash_code_execution",
    "tool_search_tool_regex_20251119",
    "mcp_toolset",
    "whatever",
    "",
  ])("refuses a tool that the server would run: %s", (type) => {
    const tools = `{"model":"m",${USER},"tools":[{"name":"a","input_schema":{}},{"type":"${type}","name":"x"}]}`;
    expect(refusal(tools)).toBe("field_refused tools");
    // Go reads the name in any case.
    expect(refusal(tools.replace('"type":', '"TYPE":'))).toBe("field_refused tools");
    expect(refusal(tools, { allow: ["tools.web_search", `tools.${type.replace(/_\d{8}$/, "")}`] })).toBe("accepted");
  });

  test.each(["bash_20250124", "text_editor_20250728", "computer_20250124", "memory_20250818", "custom"])(
    "passes a tool that the caller runs: %s",
    (type) => {
      expect(refusal(`{"model":"m",${USER},"tools":[{"type":"${type}","name":"x"},{"type":null,"name":"y"}]}`)).toBe(
        "accepted",
      );
    },
  );

  test.each([
    ["an image by URL", { type: "image", source: { type: "url", url: "http://169.254.169.254/" } }],
    ["a document by URL", { type: "document", source: { type: "url", url: "https://x/y.pdf" } }],
    ["a URL whatever the type says", { type: "image", source: { type: "base64", data: "", url: "http://x" } }],
    ["a URL in capitals", { type: "image", source: { TYPE: "url", URL: "http://x" } }],
    [
      "an image inside a tool result",
      { type: "tool_result", tool_use_id: "t", content: [{ type: "image", source: { type: "url", url: "http://x" } }] },
    ],
    [
      "an image inside a document",
      {
        type: "document",
        source: { type: "content", content: [{ type: "image", source: { type: "url", url: "x" } }] },
      },
    ],
    ["OpenAI's form", { type: "image_url", image_url: { url: "http://x" } }],
  ])("refuses %s, unless the operator lets engines fetch", (_, block) => {
    expect(refusal(message(block))).toBe("field_refused messages");
    expect(refusal(message(block), { remoteMedia: true })).toBe("accepted");
  });

  test.each([
    '{"type":"image","source":{"type":"url","\\u0075rl":"http://x"}}',
    '{"type":"image","\\u0073ourc\\u0065":{"\\u0075r\\u006c":"http://x"}}',
    '{"type":"container_upload","file\\u005fi\\u0064":"f"}',
  ])("refuses a name that is written with escapes: %s", (block) => {
    expect(refusal(`{"model":"m","messages":[{"role":"user","content":[${block}]}]}`)).toBe("field_refused messages");
  });

  test.each([
    ["an image by file id", { type: "image", source: { type: "file", file_id: "f" } }],
    ["a container upload", { type: "container_upload", file_id: "f" }],
  ])("refuses %s, always", (_, block) => {
    expect(refusal(message(block))).toBe("field_refused messages");
    expect(refusal(message(block), { remoteMedia: true })).toBe("field_refused messages");
  });

  test("passes media that are inside the request, and URLs that nobody fetches", () => {
    for (const block of [
      { type: "image", source: { type: "base64", media_type: "image/png", data: "iVBORw0KGgo=" } },
      { type: "document", source: { type: "text", media_type: "text/plain", data: "see http://x" } },
      { type: "search_result", source: "https://example.org/a", title: "t", content: [{ type: "text", text: "x" }] },
      { type: "tool_use", id: "t", name: "WebFetch", input: { url: "https://example.org", source: { url: "x" } } },
      { type: "text", text: '"url": "http://x", "file_id"' },
    ]) {
      expect(refusal(message(block))).toBe("accepted");
    }
  });

  test("refuses content that is nested without end", () => {
    let block: unknown = { type: "image", source: { type: "url", url: "x" } };
    for (let depth = 0; depth < 10; depth++) block = { type: "tool_result", content: [block] };
    expect(refusal(message(block))).toBe("body_too_deep messages");
  });
});

describe("trap 11: Claude Code's attribution block", () => {
  const BLOCK = '{"type":"text","text":"x-anthropic-billing-header: cc_version=2.1.228.abc; cch=1234;"}';
  const REST = '{"type":"text","text":"You are Claude Code","cache_control":{"type":"ephemeral"}}';

  test("is taken out for an own engine, because it varies and kills the prefix cache", () => {
    const body = `{"model":"m","system":[ ${BLOCK} , ${REST}],${USER}}`;
    expect(send(body, { engineKind: "llama-server" }).text).toBe(`{"model":"m","system":[ ${REST}],${USER}}`);
    expect(send(`{"model":"m","system":[${BLOCK}],${USER}}`, { engineKind: "vllm" }).text).toBe(
      `{"model":"m",${USER}}`,
    );
  });

  test("stays for Anthropic, and while the target is not known", () => {
    const body = `{"model":"m","system":[${BLOCK},${REST}],${USER}}`;
    expect(send(body, { engineKind: "anthropic" }).isSame).toBe(true);
    expect(send(body).isSame).toBe(true);
  });

  test("is nothing but the first block", () => {
    for (const system of [
      `[${REST},${BLOCK}]`,
      `[${REST}]`,
      '"x-anthropic-billing-header: a"',
      "[]",
      '[1,"x-"]',
      "null",
    ]) {
      expect(send(`{"model":"m","system":${system},${USER}}`, { engineKind: "vllm" }).isSame, system).toBe(true);
    }
  });
});

describe("anthropicMessagesCodec()", () => {
  const codec = anthropicMessagesCodec(DEFAULT_FIELD_POLICY);

  test("reads the usage of a whole message: the prompt is the sum of three", () => {
    const body =
      '{"type":"message","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":5,"cache_read_input_tokens":20,"cache_creation_input_tokens":3,"output_tokens":2}}';
    expect(codec.readAnswer(Buffer.from(body), 100)).toEqual({
      tokensIn: 28,
      tokensInCached: 20,
      tokensOut: 2,
      tokensReasoning: null,
      isEstimated: false,
    });
  });

  test("estimates where a message says nothing that can be true", () => {
    const content = '[{"type":"text","text":"hello"}]';
    for (const usage of ["null", "{}", "[]", '{"input_tokens":0,"output_tokens":0}', '{"input_tokens":"1"}']) {
      const body = Buffer.from(`{"type":"message","content":${content},"usage":${usage}}`);
      expect(codec.readAnswer(body, 40)).toMatchObject({
        tokensIn: 10,
        tokensOut: Math.ceil(content.length / 4),
        isEstimated: true,
      });
    }
    const empty = Buffer.from('{"type":"message","content":[],"usage":{"input_tokens":3,"output_tokens":0}}');
    expect(codec.readAnswer(empty, 40)).toMatchObject({ tokensIn: 3, tokensOut: 0, isEstimated: false });
  });

  test.each([
    "",
    "<html>",
    "[]",
    '{"type":"message"}',
    '{"type":"error","content":[],"error":{}}',
    '{"type":"ping","content":[]}',
    '{"content":[],"error":"x"}',
  ])("does not take %j for a message", (body) => {
    expect(codec.readAnswer(Buffer.from(body), 1)).toBeNull();
  });

  test("keeps alive and fails in the dialect's own events", () => {
    const facts = codec.inspect(scanBody(Buffer.from(`{"model":"m",${USER}}`)));
    expect(codec.keepAlive(facts, 0).toString()).toBe('event: ping\ndata: {"type":"ping"}\n\n');
    expect(codec.inBandError(new PosternError("engine_cut"), CONTEXT).toString()).toBe(
      'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"The answer ended before it was complete"}}\n\n',
    );
  });
});

describe("countTokensCodec()", () => {
  const codec = countTokensCodec(DEFAULT_FIELD_POLICY);

  test("knows the members of count_tokens and no others", () => {
    const { text, facts } = send(`{"model":"m",${USER},"max_tokens":5,"stream":true}`, {}, {}, true);
    expect(text).toBe(`{"model":"m",${USER}}`);
    expect(facts).toMatchObject({ isStream: false, removedFields: ["max_tokens", "stream"] });
  });

  test("takes the engine's number as an answer, and it costs nothing", () => {
    expect(codec.readAnswer(Buffer.from('{"input_tokens":14}'), 1)).toMatchObject({ tokensIn: 0, tokensOut: 0 });
    for (const body of ["{}", '{"input_tokens":-1}', '{"input_tokens":"1"}', '{"error":"x"}', "x"]) {
      expect(codec.readAnswer(Buffer.from(body), 1)).toBeNull();
    }
  });
});
