import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PosternError } from "../../errors.ts";
import { scanBody } from "../../lib/json-scan.ts";
import type { AttemptFormat } from "../attempt-format.ts";
import { codecFor } from "../codecs.ts";
import type { AnswerContext } from "../conversation.ts";
import { formatFor } from "../formats.ts";
import { cutAt, type FixtureName, readFixture } from "./__fixtures__/fixture.ts";

// Whole translations, as the gateway makes them: a caller of one dialect at an engine of the other.

const CONTEXT: AnswerContext = {
  id: "019a0000-0000-7000-8000-000000000000",
  model: "public",
  createdAtMs: Date.UTC(2026, 10, 20, 14),
  wantsUsage: true,
  estimatedTokensIn: 0,
};

function format(caller: string, engine: string): AttemptFormat {
  return formatFor(caller, new Set([engine]))!;
}

/** What the engine is asked for, or the refusal. */
function encode(caller: string, engine: string, body: unknown): unknown {
  const scan = scanBody(Buffer.from(JSON.stringify(body)));
  try {
    const facts = codecFor(caller).inspect(scan);
    const { body: sent } = format(caller, engine).encode(scan, facts, { model: "engine/m", forceUsage: true });
    return JSON.parse(sent.toString());
  } catch (error) {
    if (error instanceof PosternError) return `${error.code} ${error.param ?? ""}`.trim();
    throw error;
  }
}

/** What the caller gets of an engine's stream, and what it cost. */
function stream(
  caller: string,
  engine: string,
  request: unknown,
  chunks: readonly Buffer[],
): { out: string; usage: unknown } {
  const facts = codecFor(caller).inspect(scanBody(Buffer.from(JSON.stringify(request))));
  const tap = format(caller, engine).tap(facts, 400, CONTEXT);
  let out = "";
  for (const chunk of chunks) out += tap.push(chunk).toString();
  out += tap.finish()?.toString() ?? "CUT";
  return { out: out.replace(/call_[0-9a-f]{32}/g, "call_made"), usage: tap.usage() };
}

const OPENAI = {
  model: "public",
  messages: [{ role: "user", content: "hi" }],
  stream: true,
  stream_options: { include_usage: true },
};
const OLLAMA = { model: "public", messages: [{ role: "user", content: "hi" }] };

/** `delta`s, finish reasons and usage of an OpenAI stream. */
function chunksOf(out: string): unknown[] {
  return out
    .split("\n\n")
    .filter((record) => record.startsWith("data: {"))
    .map((record) => {
      const { choices, usage } = JSON.parse(record.slice(6));
      return usage ?? choices[0].finish_reason ?? choices[0].delta;
    });
}

describe("an OpenAI caller at Ollama", () => {
  test("is asked in Ollama's words, with everything that changes the answer", () => {
    const schema = { type: "object", properties: { a: { type: "string" } } };
    expect(
      encode("openai.chat", "ollama.chat", {
        ...OPENAI,
        messages: [
          { role: "system", content: [{ type: "text", text: "Be brief." }] },
          {
            role: "user",
            content: [
              { type: "text", text: "Look" },
              { type: "image_url", image_url: { url: "data:image/png;base64,iVBORw0KGgo=" } },
            ],
          },
          {
            role: "assistant",
            content: null,
            tool_calls: [{ id: "call_a", type: "function", function: { name: "f", arguments: '{"a":1}' } }],
          },
          { role: "tool", tool_call_id: "call_a", content: "done" },
        ],
        tools: [{ type: "function", function: { name: "f", parameters: schema } }],
        max_completion_tokens: 10,
        temperature: 0.5,
        stop: "x",
        reasoning_effort: "low",
        response_format: { type: "json_schema", json_schema: { name: "n", schema } },
      }),
    ).toEqual({
      model: "engine/m",
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "Look", images: ["iVBORw0KGgo="] },
        {
          role: "assistant",
          content: "",
          tool_calls: [{ id: "call_a", function: { index: 0, name: "f", arguments: { a: 1 } } }],
        },
        { role: "tool", content: "done", tool_name: "f", tool_call_id: "call_a" },
      ],
      tools: [{ type: "function", function: { name: "f", parameters: schema } }],
      stream: true,
      truncate: false,
      shift: false,
      format: schema,
      think: "low",
      options: { temperature: 0.5, num_predict: 10, stop: ["x"] },
    });
  });

  test("is refused what Ollama has no words for", () => {
    expect(encode("openai.chat", "ollama.chat", { ...OPENAI, tool_choice: "required" })).toBe(
      "untranslatable tool_choice",
    );
    expect(encode("openai.chat", "ollama.chat", { ...OPENAI, logit_bias: { 5: 1 } })).toBe("untranslatable logit_bias");
  });

  test("gets text, finish, usage and [DONE]", () => {
    const { out, usage } = stream("openai.chat", "ollama.chat", OPENAI, [readFixture("chat-text")]);
    expect(chunksOf(out)).toEqual([
      { role: "assistant", content: "" },
      { content: "Hé" },
      { content: "llo €" },
      { content: "😀\n" },
      { content: ' "done":true {"error":"x"}\r\n' },
      { content: "." },
      "stop",
      expect.objectContaining({ prompt_tokens: 26, completion_tokens: 5 }),
    ]);
    expect(out.endsWith("data: [DONE]\n\n")).toBe(true);
    expect(usage).toMatchObject({ tokensIn: 26, tokensOut: 5, isEstimated: false });
  });

  // Traps 4, 8 and 18.
  test("gets calls with an index and an id each, arguments as text, and tool_calls as the reason", () => {
    const chunks = chunksOf(stream("openai.chat", "ollama.chat", OPENAI, [readFixture("chat-tools")]).out);
    const calls = chunks.flatMap((chunk) => (chunk as { tool_calls?: unknown[] }).tool_calls ?? []);
    expect(calls.filter((call) => (call as { id?: string }).id !== undefined)).toMatchObject([
      { index: 0, id: "call_zy4pkytc", type: "function", function: { name: "get_weather" } },
      { index: 1, id: "call_made", type: "function", function: { name: "get_weather" } },
    ]);
    expect(calls).toContainEqual({ index: 1, function: { arguments: '{"city":"Lyon"}' } });
    expect(chunks).toContain("tool_calls");
  });

  // Trap 13.
  test("gets an error in the middle as one, and never [DONE] behind a cut", () => {
    const failed = stream("openai.chat", "ollama.chat", OPENAI, [readFixture("chat-error")]).out;
    expect(failed).toContain('"message":"model runner has unexpectedly stopped');
    expect(failed).not.toContain("[DONE]");
    const bytes = readFixture("chat-text");
    expect(stream("openai.chat", "ollama.chat", OPENAI, [bytes.subarray(0, 500)]).out.endsWith("CUT")).toBe(true);
  });

  test("gets the same however the stream is cut", () => {
    const names: FixtureName[] = ["chat-text", "chat-thinking", "chat-tools", "chat-logprobs", "chat-error"];
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.array(fc.nat(3000), { maxLength: 40 }), (name, places) => {
        const bytes = readFixture(name);
        expect(stream("openai.chat", "ollama.chat", OPENAI, cutAt(bytes, places))).toEqual(
          stream("openai.chat", "ollama.chat", OPENAI, [bytes]),
        );
      }),
      { numRuns: 100 },
    );
  });
});

describe("an Ollama caller at an OpenAI engine", () => {
  const chunk = (delta: unknown, finish: string | null = null): string =>
    `data: ${JSON.stringify({ id: "x", choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
  const said = (...records: string[]): Buffer => Buffer.from(records.join(""));
  const USAGE = 'data: {"id":"x","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}\n\n';

  test("is asked in OpenAI's words", () => {
    expect(
      encode("ollama.chat", "openai.chat", {
        ...OLLAMA,
        messages: [
          { role: "user", content: "Look", images: ["iVBORw0KGgo="] },
          { role: "assistant", content: "", tool_calls: [{ function: { name: "f", arguments: { a: 1 } } }] },
          { role: "tool", content: "done", tool_name: "f" },
        ],
        keep_alive: 1800,
        format: "json",
        options: { num_ctx: 9000, num_predict: 5, temperature: 0 },
      }),
    ).toMatchObject({
      model: "engine/m",
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "Look" },
            { type: "image_url", image_url: { url: "data:image/png;base64,iVBORw0KGgo=" } },
          ],
        },
        {
          role: "assistant",
          tool_calls: [{ id: "call_1_0", type: "function", function: { name: "f", arguments: '{"a":1}' } }],
        },
        { role: "tool", tool_call_id: "call_1_0", content: "done" },
      ],
      stream: true,
      temperature: 0,
      response_format: { type: "json_object" },
    });
  });

  // Traps 3 and 14: vLLM's empty list of calls is no call; the chunk without a choice is no crash.
  test("gets lines that end with counts", () => {
    const engine = said(
      chunk({ role: "assistant", content: "" }),
      chunk({ content: "Hi", tool_calls: [] }),
      chunk({}, "length"),
      USAGE,
      "data: [DONE]\n\n",
    );
    const { out, usage } = stream("ollama.chat", "openai.chat", OLLAMA, [engine]);
    const lines = out
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines).toEqual([
      {
        model: "public",
        created_at: "2026-11-20T14:00:00.000Z",
        message: { role: "assistant", content: "Hi" },
        done: false,
      },
      {
        model: "public",
        created_at: "2026-11-20T14:00:00.000Z",
        message: { role: "assistant", content: "" },
        done: true,
        done_reason: "length",
        prompt_eval_count: 9,
        eval_count: 4,
      },
    ]);
    expect(usage).toMatchObject({ tokensIn: 9, tokensOut: 4, isEstimated: false });
  });

  test("gets calls whole, whose arguments came in pieces and in turns", () => {
    const call = (index: number, rest: Record<string, unknown>): string => chunk({ tool_calls: [{ index, ...rest }] });
    const engine = said(
      call(0, { id: "a", type: "function", function: { name: "f", arguments: "" } }),
      call(0, { function: { arguments: '{"x"' } }),
      call(1, { id: "b", type: "function", function: { name: "g", arguments: "{}" } }),
      call(0, { function: { arguments: ":1}" } }),
      chunk({}, "tool_calls"),
      "data: [DONE]\n\n",
    );
    const { out } = stream("ollama.chat", "openai.chat", OLLAMA, [engine]);
    const [calls, last] = out.split("\n").map((line) => (line === "" ? null : JSON.parse(line)));
    expect(calls.message.tool_calls).toEqual([
      { id: "a", function: { index: 0, name: "f", arguments: { x: 1 } } },
      { id: "b", function: { index: 1, name: "g", arguments: {} } },
    ]);
    expect(last).toMatchObject({ done: true, done_reason: "stop" });
  });

  test("of generate gets responses", () => {
    const engine = said(chunk({ content: "Hi" }), chunk({}, "stop"), "data: [DONE]\n\n");
    const { out } = stream("ollama.generate", "openai.chat", { model: "public", prompt: "hi" }, [engine]);
    expect(
      out
        .split("\n")
        .slice(0, 2)
        .map((line) => JSON.parse(line)),
    ).toMatchObject([
      { response: "Hi", done: false },
      { response: "", done: true, done_reason: "stop" },
    ]);
  });

  test("is told of errors in one line, and never done behind a cut", () => {
    const failed = stream("ollama.chat", "openai.chat", OLLAMA, [
      said(chunk({ content: "Hi" }), 'data: {"error":{"message":"boom","code":500}}\n\n', "data: [DONE]\n\n"),
    ]);
    expect(failed.out).toContain('\n{"error":"boom"}\n');
    expect(failed.out).not.toContain('"done":true');
    expect(stream("ollama.chat", "openai.chat", OLLAMA, [said(chunk({ content: "Hi" }))]).out.endsWith("CUT")).toBe(
      true,
    );
  });
});
