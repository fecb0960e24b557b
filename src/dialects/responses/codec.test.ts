import { describe, expect, test } from "vitest";
import { PosternError } from "../../errors.ts";
import { scanBody } from "../../lib/json-scan.ts";
import { DEFAULT_FIELD_POLICY, type FieldPolicy } from "../field-policy.ts";
import { responsesCodec } from "./codec.ts";

const codec = responsesCodec(DEFAULT_FIELD_POLICY);

function facts(body: string, policy: Partial<FieldPolicy> = {}) {
  return responsesCodec({ ...DEFAULT_FIELD_POLICY, ...policy }).inspect(scanBody(Buffer.from(body)));
}

function rewritten(body: string, engineKind: string, policy: Partial<FieldPolicy> = {}): string {
  const used = responsesCodec({ ...DEFAULT_FIELD_POLICY, ...policy });
  const scan = scanBody(Buffer.from(body));
  return used.rewrite(scan, used.inspect(scan), { model: "own", forceUsage: true, engineKind }).toString();
}

function refusal(body: string, policy: Partial<FieldPolicy> = {}): [string, string | undefined] {
  try {
    facts(body, policy);
  } catch (error) {
    if (error instanceof PosternError) return [error.code, error.param];
    throw error;
  }
  throw new Error("was not refused");
}

/** What Codex sends, as far as it matters (codex-rs/codex-api, 2026). */
const CODEX = JSON.stringify({
  model: "m",
  instructions: "You are a coding agent",
  input: [
    { type: "message", role: "developer", content: [{ type: "input_text", text: "permissions" }] },
    { type: "message", role: "user", content: [{ type: "input_text", text: "see https://example.com file_id" }] },
    { type: "reasoning", summary: [{ type: "summary_text", text: "hm" }], encrypted_content: null },
    { type: "function_call", name: "shell", arguments: '{"command":["ls"]}', call_id: "c1" },
    { type: "function_call_output", call_id: "c1", output: "a\nb" },
  ],
  tools: [
    { type: "function", name: "shell", description: "d", strict: false, parameters: { type: "object" } },
    { type: "web_search", external_web_access: false },
    { type: "namespace", name: "mcp__git", tools: [{ type: "function", name: "log", parameters: {} }] },
    { type: "function", name: "update_plan", parameters: { type: "object" } },
    { type: "image_generation", output_format: "png" },
  ],
  tool_choice: "auto",
  parallel_tool_calls: false,
  reasoning: { effort: "medium", summary: "auto" },
  store: false,
  stream: true,
  include: ["reasoning.encrypted_content"],
  prompt_cache_key: "k",
  client_metadata: { a: "b" },
});

describe("a request of Codex", () => {
  test("passes, without the tools that a server would run", () => {
    const seen = facts(CODEX);
    expect(seen).toMatchObject({ model: "m", isStream: true, wantsUsage: true, hasManyChoices: false });
    expect(seen.removedFields).toEqual([
      "client_metadata",
      "tools.web_search",
      "tools.namespace",
      "tools.image_generation",
    ]);
    for (const kind of ["ollama", "llama-server", "vllm", "lm-studio", "embedded"]) {
      const sent = JSON.parse(rewritten(CODEX, kind));
      expect(sent.tools.map((tool: { name: string }) => tool.name)).toEqual(["shell", "update_plan"]);
      expect(sent).not.toHaveProperty("client_metadata");
      expect(sent).not.toHaveProperty("prompt_cache_key");
      expect(sent).not.toHaveProperty("stream_options");
      expect(sent.input).toEqual(JSON.parse(CODEX).input);
    }
    const openai = JSON.parse(rewritten(CODEX, "openai"));
    expect(openai.tools.map((tool: { type: string }) => tool.type)).toEqual(["function", "namespace", "function"]);
    expect(openai.prompt_cache_key).toBe("k");
  });

  test("keeps its bytes where nothing has to change", () => {
    const scan = scanBody(Buffer.from('{"model":"m","input":"hi","store":false,"stream":true,"top_p":1.0e0}'));
    const seen = codec.inspect(scan);
    expect(codec.rewrite(scan, seen, { model: "m", forceUsage: true, engineKind: "vllm" })).toBe(scan.bytes);
  });
});

describe("state", () => {
  test.each(["previous_response_id", "conversation", "prompt"])("%s is refused, and null says nothing", (name) => {
    expect(refusal(`{"model":"m","input":"x","${name}":"id"}`)).toEqual(["field_refused", name]);
    expect(facts(`{"model":"m","input":"x","${name}":null}`).removedFields).toEqual([]);
    expect(rewritten(`{"model":"m","input":"x","${name}":null}`, "ollama")).toBe('{"model":"own","input":"x"}');
  });

  test("background is refused, and false says nothing", () => {
    expect(refusal('{"model":"m","input":"x","background":true}')).toEqual(["field_refused", "background"]);
    expect(rewritten('{"model":"m","input":"x","background":false}', "llama-server")).toBe(
      '{"model":"own","input":"x"}',
    );
  });

  test("may be allowed by the operator", () => {
    const policy = { allow: ["previous_response_id"] };
    expect(rewritten('{"model":"m","input":"x","previous_response_id":"r"}', "lm-studio", policy)).toContain(
      '"previous_response_id":"r"',
    );
  });

  test("is kept nowhere: servers that would store the answer are told not to", () => {
    expect(rewritten('{"model":"m","input":"x"}', "openai")).toBe('{"model":"own","store":false,"input":"x"}');
    expect(rewritten('{"model":"m","input":"x","store":true}', "lm-studio")).toBe(
      '{"model":"own","input":"x","store":false}',
    );
    expect(rewritten('{"model":"m","input":"x","store":true}', "ollama")).toBe('{"model":"own","input":"x"}');
    expect(facts('{"model":"m","input":"x","store":true}').removedFields).toEqual(["store"]);
  });
});

describe("tools that a server would run", () => {
  test.each(["mcp", "code_interpreter", "file_search", "computer_use_preview", "computer", "toolbox"])(
    "%s is refused",
    (type) => {
      expect(refusal(`{"model":"m","input":"x","tools":[{"type":"${type}"}]}`)).toEqual(["field_refused", "tools"]);
      expect(refusal(`{"model":"m","input":"x","tool_choice":{"type":"${type}"}}`)).toEqual([
        "field_refused",
        "tool_choice",
      ]);
    },
  );

  test("are found whatever the case of the name, as Go does", () => {
    expect(rewritten('{"model":"m","input":"x","tools":[{"Type":"web_search"}]}', "ollama")).toBe(
      '{"model":"own","input":"x","tools":[]}',
    );
    expect(refusal('{"model":"m","input":"x","tools":[{"type":"function","Type":"mcp"}]}')[0]).toBe("body_ambiguous");
    expect(refusal('{"model":"m","input":"x","tools":[{"name":"x"}]}')).toEqual(["body_invalid", "tools"]);
    expect(refusal('{"model":"m","input":"x","tools":["web_search"]}')).toEqual(["body_invalid", "tools"]);
  });

  test("pass where the operator allows them, with any date", () => {
    const policy = { allow: ["tools.web_search"] };
    const body = '{"model":"m","input":"x","tools":[{"type":"web_search_2025_08_26"}]}';
    expect(rewritten(body, "ollama", policy)).toContain("web_search_2025_08_26");
    expect(facts(body).removedFields).toEqual(["tools.web_search"]);
  });
});

describe("media", () => {
  const image = (part: unknown) => JSON.stringify({ model: "m", input: [{ role: "user", content: [part] }] });
  test.each([
    { type: "input_image", image_url: "https://example.com/a.png" },
    { type: "input_image", image_url: { url: "http://169.254.169.254/" } },
    { type: "input_image", Image_URL: "file:///etc/passwd" },
    { type: "input_image", file_id: "file-1" },
    { type: "input_file", file_url: "https://example.com/a.pdf" },
    { type: "input_file", file_url: ["https://example.com"] },
  ])("%j is refused", (part) => {
    expect(refusal(image(part))).toEqual(["field_refused", "input"]);
  });

  test("inside the request pass, and remote ones where the operator allows them", () => {
    facts(image({ type: "input_image", image_url: "data:image/png;base64,AA" }));
    facts(image({ type: "input_image", image_url: "data:image/png;base64,AA", file_id: null }));
    facts(image({ type: "input_image", image_url: "https://h/a" }), { remoteMedia: true });
    expect(refusal(image({ type: "input_file", file_id: "f" }), { remoteMedia: true })[0]).toBe("field_refused");
  });

  test("of a tool's result are looked at too, and links in citations are not", () => {
    const output = (value: unknown) =>
      JSON.stringify({ model: "m", input: [{ type: "function_call_output", call_id: "c", output: value }] });
    expect(refusal(output([{ type: "input_image", image_url: "http://h/" }]))[0]).toBe("field_refused");
    expect(refusal(output({ type: "computer_screenshot", image_url: "http://h/" }))[0]).toBe("field_refused");
    facts(image({ type: "output_text", text: "x", annotations: [{ type: "url_citation", url: "https://h/" }] }));
  });

  test("references to earlier items are refused", () => {
    expect(refusal('{"model":"m","input":[{"type":"item_reference","id":"i"}]}')).toEqual(["field_refused", "input"]);
  });
});

test.each([
  ['{"model":"m"}', "body_invalid", "input"],
  ['{"model":"m","input":7}', "body_invalid", "input"],
  ['{"input":"x"}', "model_missing", "model"],
  ['{"model":"m","input":"x","chat_template":"x"}', "field_refused", "chat_template"],
  ['{"model":"m","input":"x","stream":"yes"}', "body_invalid", "stream"],
])("%s is refused", (body, code, param) => {
  expect(refusal(body)).toEqual([code, param]);
});

test("the bound of tokens is kept", () => {
  const policy = { maxTokens: 10 };
  expect(rewritten('{"model":"m","input":"x","max_output_tokens":99}', "ollama", policy)).toContain(
    '"max_output_tokens":10',
  );
});

describe("whole answers", () => {
  test("carry the engine's word for usage", () => {
    const usage = {
      input_tokens: 9,
      output_tokens: 4,
      input_tokens_details: { cached_tokens: 3 },
      output_tokens_details: { reasoning_tokens: 2 },
    };
    expect(codec.readAnswer(Buffer.from(JSON.stringify({ status: "completed", output: [], usage })), 1)).toEqual({
      tokensIn: 9,
      tokensInCached: 3,
      tokensOut: 4,
      tokensReasoning: 2,
      isEstimated: false,
    });
    expect(codec.readAnswer(Buffer.from('{"output":[{"type":"message"}]}'), 40)).toMatchObject({
      tokensIn: 10,
      isEstimated: true,
    });
  });

  test.each([
    "",
    "[]",
    "{}",
    '{"output":{}}',
    '{"output":[],"status":"failed"}',
    '{"output":[],"error":{"message":"x"}}',
    '{"output":[]',
    "\xff",
  ])("%j is none", (body) => {
    expect(codec.readAnswer(Buffer.from(body, "latin1"), 1)).toBeNull();
  });
});
