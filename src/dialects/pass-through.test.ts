import { describe, expect, test } from "vitest";
import { scanBody } from "../lib/json-scan.ts";
import { codecFor } from "./codecs.ts";
import type { AnswerContext } from "./conversation.ts";
import { operationById } from "./operations.ts";
import { passThrough, streamTypeOf } from "./pass-through.ts";

const CONTEXT: AnswerContext = { id: "r", model: "m", createdAtMs: 0, wantsUsage: false, estimatedTokensIn: 1 };
const chat = operationById("openai.chat")!;
const codec = codecFor("openai.chat");
const format = passThrough(chat, codec);

describe("passThrough()", () => {
  test("hands on the very buffers when nothing has to change", () => {
    const scan = scanBody(Buffer.from('{"model":"m","messages":[],"seed":12345678901234567890}'));
    const facts = codec.inspect(scan);
    const encoded = format.encode(scan, facts, { model: "m", forceUsage: true });
    expect(encoded).toEqual({ body: scan.bytes, removedFields: [] });
    expect(encoded.body).toBe(scan.bytes);
    const answer = Buffer.from('{"choices":[],"usage":{"prompt_tokens":2,"completion_tokens":1}}');
    const whole = format.readAnswer(answer, 10, CONTEXT);
    expect(whole?.body).toBe(answer);
    expect(whole?.usage).toMatchObject({ tokensIn: 2, tokensOut: 1, isEstimated: false });
    expect(format.readAnswer(Buffer.from("<html>"), 10, CONTEXT)).toBeNull();
    const chunk = Buffer.from('data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}\n\n');
    expect(format.tap(facts, 10, CONTEXT).push(chunk)).toBe(chunk);
  });

  test("passes an engine's error in JSON on, and nothing else", () => {
    const body = Buffer.from('{"error":{"message":"no"}}');
    expect(format.readError(400, "application/json; charset=utf-8", body, CONTEXT)).toEqual({ status: 400, body });
    expect(format.readError(502, "text/html", Buffer.from("<html>"), CONTEXT)).toBeNull();
    expect(format.readError(500, "application/json", Buffer.alloc(0), CONTEXT)).toBeNull();
    // The key that was refused is the agent's.
    expect(format.readError(401, "application/json", body, CONTEXT)).toBeNull();
    expect(format.readError(403, "application/json", body, CONTEXT)).toBeNull();
  });

  test("lets the dialect put an error into words that its clients understand", () => {
    const told = Buffer.from('{"error":"prompt is too long"}');
    const adapting = passThrough(chat, {
      ...codec,
      adaptError: (status) => (status === 400 ? { status: 413, body: told } : null),
    });
    const body = Buffer.from("{}");
    expect(adapting.readError(400, "application/json", body, CONTEXT)).toEqual({ status: 413, body: told });
    expect(adapting.readError(500, "application/json", body, CONTEXT)).toEqual({ status: 500, body });
  });

  test("knows what a stream declares", () => {
    expect(format.streamType).toBe("text/event-stream");
    expect(streamTypeOf({ family: "ollama" })).toBe("application/x-ndjson");
    expect(streamTypeOf({ family: "anthropic" })).toBe("text/event-stream");
  });
});
