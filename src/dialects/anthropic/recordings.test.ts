import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { scanBody } from "../../lib/json-scan.ts";
import type { AnswerContext, AnswerEvent } from "../conversation.ts";
import { DEFAULT_FIELD_POLICY } from "../field-policy.ts";
import { checkGrammar } from "./__fixtures__/grammar.ts";
import { cut } from "./__fixtures__/transcript.ts";
import { anthropicMessagesCodec, countTokensCodec } from "./codec.ts";
import { anthropicConversation as messages } from "./conversation.ts";
import { AnthropicStreamTap } from "./stream-tap.ts";
import { readCount } from "./usage.ts";

interface Exchange {
  path: string;
  status: number;
  request: Record<string, unknown>;
  body: string;
}

const EXCHANGES = ["llama-server-b11549", "ollama-0.17.4"].flatMap((server) => {
  const url = new URL(`../../../test/support/recordings/${server}.json`, import.meta.url);
  const all = JSON.parse(readFileSync(url, "utf8")) as Record<string, Exchange | string>;
  return Object.entries(all).flatMap(([name, exchange]) =>
    typeof exchange !== "string" && exchange.path.startsWith("/v1/messages")
      ? [{ name: `${server} ${name}`, ...exchange }]
      : [],
  );
});
const ANSWERED = EXCHANGES.filter(({ path, status }) => path === "/v1/messages" && status === 200);
const STREAMS = ANSWERED.filter(({ request }) => request["stream"] === true);
const WHOLE = ANSWERED.filter(({ request }) => request["stream"] !== true);
const REFUSED = EXCHANGES.filter(({ status }) => status >= 400);
const CONTEXT: AnswerContext = { id: "a-b", model: "m", createdAtMs: 0, wantsUsage: true, estimatedTokensIn: 1 };
const codec = anthropicMessagesCodec(DEFAULT_FIELD_POLICY);

/** The transcript's own usage: totals of `message_delta` over those of `message_start`. */
function ownUsage(body: string): Record<string, number> {
  const usage: Record<string, number> = {};
  for (const [, found] of body.matchAll(/"usage":(\{[^}]*\})/g)) Object.assign(usage, JSON.parse(found ?? "{}"));
  return usage;
}

test("the recordings hold what these tests are about", () => {
  expect(STREAMS.length).toBeGreaterThan(5);
  expect(WHOLE.length).toBeGreaterThan(5);
  expect(REFUSED.length).toBeGreaterThan(3);
});

describe("streams of real servers", () => {
  test.each(STREAMS)("$name arrives whole, with its own usage, wherever it is cut", ({ body, request }) => {
    const bytes = Buffer.from(body);
    const own = ownUsage(body);
    const read = (pieces: readonly Buffer[]) => {
      const reader = messages.reader();
      const events: AnswerEvent[] = [];
      for (const piece of pieces) events.push(...reader.push(piece));
      events.push(...reader.end());
      expect(reader.isComplete).toBe(true);
      return events;
    };
    const events = read([bytes]);
    for (let place = 0; place < bytes.length; place += 7) {
      const tap = new AnthropicStreamTap(JSON.stringify(request).length);
      const pieces = cut(bytes, [place, place + 3, place + 400]);
      const out = pieces.map((piece) => tap.push(piece));
      expect(Buffer.concat([...out, tap.finish() ?? Buffer.from("cut")]).toString()).toBe(body);
      expect(tap.usage()).toEqual({
        tokensIn: (own["input_tokens"] ?? 0) + (own["cache_read_input_tokens"] ?? 0),
        tokensInCached: own["cache_read_input_tokens"] ?? 0,
        tokensOut: own["output_tokens"],
        tokensReasoning: null,
        isEstimated: false,
      });
      expect(read(pieces)).toEqual(events);
    }
    // llama-server opens a block before it closes the last one; what is written again is in order.
    const writer = messages.writer(CONTEXT);
    checkGrammar(events.map((event) => (event.type === "error" ? "" : writer.write(event))).join("") + writer.end());
  });
});

describe("whole answers of real servers", () => {
  test.each(WHOLE)("$name is read, metered and says the same when it is written again", ({ body }) => {
    const own = ownUsage(body);
    expect(codec.readAnswer(Buffer.from(body), 10)).toMatchObject({
      tokensIn: (own["input_tokens"] ?? 0) + (own["cache_read_input_tokens"] ?? 0),
      tokensOut: own["output_tokens"],
      isEstimated: false,
    });
    const tree = JSON.parse(body) as Record<string, unknown>;
    const answer = messages.readAnswer(tree);
    const written = answer === null ? {} : messages.writeAnswer(answer, CONTEXT);
    expect(messages.readAnswer(written)).toEqual(answer);
    expect(written["stop_reason"]).toBe(tree["stop_reason"]);
  });
});

describe("the rest of real servers' answers", () => {
  test.each(REFUSED)("$name is told in this dialect's shape, or is none", ({ status, body }) => {
    const adapted = codec.adaptError?.(status, Buffer.from(body)) ?? { status, body: Buffer.from(body) };
    if (body.startsWith("{")) {
      expect(JSON.parse(adapted.body.toString())).toMatchObject({
        type: "error",
        error: { type: expect.stringMatching(/_error$/), message: expect.stringMatching(/./) },
      });
    }
    if (body.includes("exceed_context_size_error"))
      expect(adapted.body.toString()).toContain("capability_rejected: prompt_too_long");
  });

  test("a count is a count", () => {
    const counts = EXCHANGES.filter(({ path, status }) => path.endsWith("/count_tokens") && status === 200);
    expect(counts.map(({ body }) => readCount(Buffer.from(body)))).toEqual([6]);
  });

  test.each(EXCHANGES)("$name: its request passes byte for byte", ({ request, path }) => {
    const own = path === "/v1/messages" ? codec : countTokensCodec(DEFAULT_FIELD_POLICY);
    const scan = scanBody(Buffer.from(JSON.stringify(request)));
    const facts = own.inspect(scan);
    expect(own.rewrite(scan, facts, { model: facts.model, forceUsage: false, engineKind: "llama-server" })).toBe(
      scan.bytes,
    );
    messages.readRequest(request, { remoteMedia: false });
  });
});
