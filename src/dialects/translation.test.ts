import { describe, expect, test } from "vitest";
import { PosternError } from "../errors.ts";
import { scanBody } from "../lib/json-scan.ts";
import { codecFor, createCodecs } from "./codecs.ts";
import type { AnswerContext } from "./conversation.ts";
import { DEFAULT_FIELD_POLICY } from "./field-policy.ts";
import { openAiChatConversation as conversation } from "./openai/conversation.ts";
import { operationById } from "./operations.ts";
import { translation } from "./translation.ts";

// Both ends speak OpenAI chat here: what is tested is the joint. The pairs of real dialects are in formats.test.ts.
const operation = operationById("openai.chat")!;
const format = translation({ operation, conversation }, { operation, conversation });
const codec = codecFor("openai.chat");
const CONTEXT: AnswerContext = { id: "r", model: "public", createdAtMs: 0, wantsUsage: true, estimatedTokensIn: 1 };

function encode(
  body: string,
  policy = DEFAULT_FIELD_POLICY,
): { tree: Record<string, unknown>; removed: readonly string[] } {
  const scan = scanBody(Buffer.from(body));
  const facts = createCodecs(policy).get("openai.chat")!.inspect(scan);
  const { body: bytes, removedFields } = format.encode(scan, facts, {
    model: "own",
    forceUsage: true,
    engineKind: "vllm",
  });
  return { tree: JSON.parse(bytes.toString()), removed: removedFields };
}

function tap(wantsUsage = true) {
  const asked = wantsUsage ? ',"stream_options":{"include_usage":true}' : "";
  const facts = codec.inspect(scanBody(Buffer.from(`{"model":"m","messages":[],"stream":true${asked}}`)));
  return format.tap(facts, 400, CONTEXT);
}

function chunk(delta: unknown, finish: string | null = null): Buffer {
  return Buffer.from(`data: ${JSON.stringify({ choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`);
}

describe("translation() of a request", () => {
  test("names the engine's model and asks for usage", () => {
    expect(encode('{"model":"m","messages":[{"role":"user","content":"x"}],"stream":true}').tree).toEqual({
      model: "own",
      messages: [{ role: "user", content: "x" }],
      stream: true,
      stream_options: { include_usage: true },
    });
  });

  test("keeps to the bounds of the field policy", () => {
    const policy = { ...DEFAULT_FIELD_POLICY, maxTokens: 100 };
    expect(encode('{"model":"m","messages":[],"max_tokens":5000}', policy).tree).toMatchObject({ max_tokens: 100 });
    expect(encode('{"model":"m","messages":[],"max_completion_tokens":-1}', policy).tree).toMatchObject({
      max_tokens: 100,
    });
  });

  test("names what it dropped, once, and not what policy has named", () => {
    expect(encode('{"model":"m","messages":[],"user":"u","nonsense":1}').removed).toEqual(["user"]);
    expect(encode('{"model":"m","messages":[],"a b":1}', { ...DEFAULT_FIELD_POLICY, allow: ["a b"] }).removed).toEqual([
      "?",
    ]);
  });

  test("refuses what has no counterpart, naming it", () => {
    expect(() => encode('{"model":"m","messages":[],"n":3}')).toThrow(
      expect.objectContaining({ code: "untranslatable", status: 400, param: "n" }),
    );
    expect(() => encode('{"model":"m","messages":7}')).toThrow(PosternError);
  });

  test("is not led astray by __proto__", () => {
    const { tree } = encode('{"model":"m","messages":[],"__proto__":{"tools":[{"type":"function"}],"stream":true}}');
    expect(tree).toEqual({ model: "own", messages: [], stream: false });
  });
});

describe("translation() of a stream", () => {
  test("writes one buffer for all that a chunk brings, and the end only with evidence", () => {
    const stream = tap();
    expect(stream.hasContent).toBe(false);
    const out = stream.push(Buffer.concat([chunk({ content: "a" }), chunk({ content: "b" })])).toString();
    expect(out.match(/^data: /gm)).toHaveLength(3);
    expect(stream.hasContent).toBe(true);
    expect(stream.completion).toBe("open");
    expect(stream.push(chunk({}, "stop")).toString()).toBe("");
    expect(stream.completion).toBe("complete");
    stream.push(
      Buffer.from('data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}\n\ndata: [DONE]\n\n'),
    );
    expect(stream.usage()).toMatchObject({ tokensIn: 7, tokensOut: 2, isEstimated: false });
    const tail = stream.finish()?.toString() ?? "";
    expect(tail).toContain('"finish_reason":"stop"');
    expect(tail).toContain('"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9');
    expect(tail.endsWith("data: [DONE]\n\n")).toBe(true);
  });

  test("has no clean end for a stream that was cut, and counts what was passed on", () => {
    const stream = tap();
    stream.push(chunk({ content: "a" }));
    stream.push(chunk({ content: "x".repeat(400) }));
    expect(stream.finish()).toBeNull();
    expect(stream.completion).toBe("open");
    expect(stream.usage()).toEqual({
      tokensIn: 100,
      tokensInCached: 0,
      tokensOut: 101,
      tokensReasoning: null,
      isEstimated: true,
    });
  });

  test("does not take the usage of a beginning for all of it", () => {
    const stream = tap();
    stream.push(Buffer.from('data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":1}}\n\n'));
    for (let index = 0; index < 5; index++) stream.push(chunk({ content: "a" }));
    expect(stream.usage()).toMatchObject({ tokensIn: 7, tokensOut: 5, isEstimated: true });
  });

  test("says an estimate where the engine never told usage", () => {
    const stream = tap();
    stream.push(chunk({ content: "abc" }, "stop"));
    expect(stream.finish()?.toString()).toContain('"usage":{"prompt_tokens":100,"completion_tokens":1,');
    expect(
      tap(false)
        .push(chunk({ content: "a" }, "stop"))
        .toString(),
    ).not.toContain("usage");
  });

  test("tells the engine's own error in the caller's words, once", () => {
    const stream = tap();
    stream.push(chunk({ content: "a" }));
    const out = stream
      .push(Buffer.from('data: {"error":{"message":"boom","code":500}}\n\ndata: [DONE]\n\n'))
      .toString();
    expect(out).toBe(
      'data: {"error":{"message":"boom","type":"server_error","param":null,"code":"engine_failed"}}\n\n',
    );
    expect(stream.completion).toBe("engine_error");
    expect(stream.push(chunk({ content: "more" })).length).toBe(0);
    expect(stream.finish()).toBeNull();
  });

  test("keeps the words of an error that came as the last, unterminated record", () => {
    const stream = tap();
    stream.push(chunk({ content: "a" }));
    stream.push(Buffer.from('data: {"error":{"message":"boom"}}'));
    expect(stream.finish()).toBeNull();
    expect(stream.completion).toBe("open");
    expect(String(stream.inBandError?.(new PosternError("engine_cut")))).toContain("boom");
  });

  test("keeps alive and fails in the caller's words", () => {
    const stream = tap();
    expect(stream.keepAlive?.(0).toString()).toBe(": ping\n\n");
    expect(String(stream.inBandError?.(new PosternError("engine_cut")))).toContain("engine_cut");
  });
});

describe("translation() of whole answers and errors", () => {
  test("turns an answer, with an estimate where usage is missing", () => {
    const body = Buffer.from('{"choices":[{"message":{"content":"hello"},"finish_reason":"stop"}]}');
    const answer = format.readAnswer(body, 40, CONTEXT);
    expect(answer?.usage).toEqual({
      tokensIn: 10,
      tokensInCached: 0,
      tokensOut: 2,
      tokensReasoning: null,
      isEstimated: true,
    });
    expect(JSON.parse(answer!.body.toString())).toMatchObject({
      model: "public",
      choices: [{ message: { content: "hello" }, finish_reason: "stop" }],
      usage: { prompt_tokens: 10, completion_tokens: 2 },
    });
  });

  test.each(["", "<html>", "[]", "null", '{"choices":[]}', '{"error":{"message":"x"}}'])(
    "makes no answer of %j",
    (body) => {
      expect(format.readAnswer(Buffer.from(body), 0, CONTEXT)).toBeNull();
    },
  );

  test("turns errors in JSON, and speaks itself for all others", () => {
    const body = Buffer.from('{"error":{"message":"maximum context length is 5","code":400}}');
    const told = format.readError(400, "application/json", body, CONTEXT);
    expect(told?.status).toBe(400);
    expect(JSON.parse(told!.body.toString())).toMatchObject({ error: { code: "context_length_exceeded" } });
    expect(format.readError(529, "application/json", Buffer.from("{}"), CONTEXT)?.status).toBe(503);
    expect(format.readError(500, "text/html", body, CONTEXT)).toBeNull();
    expect(format.readError(500, "application/json", Buffer.from("{"), CONTEXT)).toBeNull();
    expect(format.readError(401, "application/json", body, CONTEXT)).toBeNull();
  });
});
