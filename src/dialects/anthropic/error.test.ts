import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readContextOverflow } from "../context-overflow.ts";
import { adaptMessagesError, promptTooLongMessage, readMessagesError, writeMessagesError } from "./error.ts";

interface Entry {
  engine: string;
  status: number;
  body: unknown;
  promptTokens: number | null;
  windowTokens: number | null;
}

const ENTRIES = JSON.parse(
  readFileSync(new URL("./__fixtures__/context-errors.json", import.meta.url), "utf8"),
) as Entry[];

describe("adaptMessagesError()", () => {
  test.each(ENTRIES)("makes clients compact: $engine", ({ status, body, promptTokens, windowTokens }) => {
    const adapted = adaptMessagesError(status, Buffer.from(JSON.stringify(body)));
    expect(adapted?.status).toBe(400);
    const told = JSON.parse(adapted?.body.toString() ?? "") as {
      type: string;
      error: { type: string; message: string };
    };
    expect(told).toMatchObject({ type: "error", error: { type: "invalid_request_error" } });
    expect(told.error.message).toMatch(/^prompt is too long.*capability_rejected: prompt_too_long/);
    if (promptTokens !== null) {
      expect(told.error.message).toContain(`${promptTokens} tokens > ${windowTokens} maximum`);
    }
  });

  test("asks for a shorter answer where the prompt itself fits", () => {
    const message =
      "This model's maximum context length is 32768 tokens. However, you requested 41768 tokens (9768 in the messages, 32000 in the completion). Please reduce the length of the messages or completion.";
    const adapted = adaptMessagesError(400, Buffer.from(JSON.stringify({ message })));
    expect(adapted?.body.toString()).toContain("exceed context limit: 9768 + 32000 > 32768, decrease input length");
  });

  test.each([
    [
      "Anthropic's own",
      400,
      '{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 208310 tokens > 200000 maximum"},"request_id":"req_1"}',
    ],
    [
      "Anthropic's own, on the answer",
      400,
      '{"type":"error","error":{"type":"invalid_request_error","message":"input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease input length or `max_tokens` and try again"}}',
    ],
    ["thinking", 400, '{"type":"error","error":{"message":"Invalid `signature` in `thinking` block"}}'],
    ["no JSON", 500, "<html>the request exceeds the available context size</html>"],
    ["a null", 400, "null"],
  ])("passes %s", (_, status, body) => {
    expect(adaptMessagesError(status, Buffer.from(body))).toBeNull();
  });

  test.each([
    [400, '{"error":{"message":"no","type":"BadRequestError","code":400}}', 400, "invalid_request_error", "no"],
    [404, '{"error":{"message":"no model","type":"not_found_error","code":404}}', 404, "not_found_error", "no model"],
    [400, '{"error":"Unauthorized thing"}', 400, "invalid_request_error", "Unauthorized thing"],
    [422, '{"detail":"bad"}', 422, "invalid_request_error", "bad"],
    [400, '{"object":"error","message":"old vLLM","type":"BadRequestError"}', 400, "invalid_request_error", "old vLLM"],
    [
      503,
      '{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}',
      529,
      "overloaded_error",
      "Loading model",
    ],
    [500, '{"error":[null],"message":{"a":1},"detail":5}', 500, "api_error", "The inference server reported an error"],
  ])("puts an error of another dialect into this one's shape: %i %s", (status, body, told, type, message) => {
    const adapted = adaptMessagesError(status, Buffer.from(body));
    expect(adapted?.status).toBe(told);
    expect(JSON.parse(adapted?.body.toString() ?? "")).toEqual({ type: "error", error: { type, message } });
  });

  test("looks at no more than a bound", () => {
    const long = JSON.stringify({ error: { message: `${"a".repeat(70_000)} prompt is longer` } });
    expect(adaptMessagesError(400, Buffer.from(long))).toBeNull();
    expect(readContextOverflow(`${"x".repeat(3000)} exceeds the available context size`)).toBeNull();
  });
});

describe("readMessagesError() and writeMessagesError()", () => {
  const read = (status: number, type: string) =>
    readMessagesError(status, { type: "error", error: { type, message: "m" }, request_id: "r" });

  test.each([
    [529, "overloaded_error", "overloaded", "overloaded_error"],
    [429, "rate_limit_error", "rate_limit", "rate_limit_error"],
    [429, "billing_error", "quota", "billing_error"],
    [404, "not_found_error", "not_found", "not_found_error"],
    [400, "invalid_request_error", "invalid", "invalid_request_error"],
    [401, "authentication_error", "auth", "authentication_error"],
    [500, "api_error", "other", "api_error"],
  ] as const)("understands %i %s, and in-band without a status", (status, type, kind, written) => {
    expect(read(status, type)).toMatchObject({ kind, message: "m" });
    expect(read(0, type)).toMatchObject({ kind });
    expect(writeMessagesError(read(status, type))).toEqual({ type: "error", error: { type: written, message: "m" } });
  });

  test("tells a context error in the words that make clients compact", () => {
    const said = readMessagesError(400, ENTRIES[1]?.body);
    expect(said.kind).toBe("context_length");
    expect(writeMessagesError(said).error.message).toContain("25837 tokens > 25088 maximum (capability_rejected");
    const silent = { status: 400, kind: "context_length", message: "too much" } as const;
    expect(writeMessagesError(silent).error.message).toBe(
      promptTooLongMessage({ promptTokens: null, answerTokens: null, windowTokens: null }),
    );
  });

  test.each([undefined, null, "text", [], {}, { error: null }, { error: { message: 5 } }])(
    "makes something of %j",
    (body) => {
      expect(readMessagesError(500, body)).toMatchObject({ status: 500, kind: "other" });
    },
  );
});
