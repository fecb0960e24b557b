import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { scanBody } from "../lib/json-scan.ts";
import { anthropicConversation } from "./anthropic/conversation.ts";
import { codecFor } from "./codecs.ts";
import type { AnswerContext, AnswerEvent, ConversationDialect } from "./conversation.ts";
import { ollamaChatConversation, ollamaGenerateConversation } from "./ollama/conversation.ts";
import { openAiChatConversation } from "./openai/conversation.ts";
import { operationById } from "./operations.ts";
import { responsesConversation } from "./responses/conversation.ts";
import { translation } from "./translation.ts";

// What real servers wrote, through every translation and through the taps of OpenAI's dialects.

interface Exchange {
  path: string;
  status: number;
  request: Record<string, unknown>;
  body: string;
}

interface Recorded extends Exchange {
  name: string;
  id: string;
  words: ConversationDialect;
}

const SPOKEN: Record<string, { id: string; words: ConversationDialect }> = {
  "/v1/chat/completions": { id: "openai.chat", words: openAiChatConversation },
  "/v1/responses": { id: "openai.responses", words: responsesConversation },
  "/v1/messages": { id: "anthropic.messages", words: anthropicConversation },
  "/api/chat": { id: "ollama.chat", words: ollamaChatConversation },
};
const CALLERS = [...Object.values(SPOKEN), { id: "ollama.generate", words: ollamaGenerateConversation }];
const CONTEXT: AnswerContext = { id: "a-b", model: "public", createdAtMs: 0, wantsUsage: true, estimatedTokensIn: 1 };

const EXCHANGES: Recorded[] = ["llama-server-b11549", "ollama-0.17.4"].flatMap((server) => {
  const url = new URL(`../../test/support/recordings/${server}.json`, import.meta.url);
  const all = JSON.parse(readFileSync(url, "utf8")) as Record<string, Exchange | string>;
  return Object.entries(all).flatMap(([name, exchange]) => {
    const spoken = typeof exchange === "string" ? undefined : SPOKEN[exchange.path];
    return typeof exchange === "string" || spoken === undefined
      ? []
      : [{ ...exchange, ...spoken, name: `${server} ${name}` }];
  });
});
const ANSWERED = EXCHANGES.filter(({ status, request }) => status === 200 && (request["n"] ?? 1) === 1);
const STREAMS = ANSWERED.filter(
  ({ body }) => body.startsWith("data: ") || body.startsWith("event: ") || body.trimEnd().includes("}\n{"),
);
// Loading and unloading are answers of Ollama alone: nothing is asked in them.
const WHOLE = ANSWERED.filter((exchange) => !STREAMS.includes(exchange) && !exchange.name.endsWith("load"));
const REFUSED = EXCHANGES.filter(({ status }) => status >= 400);

interface Meaning {
  text: string;
  reasoning: string;
  calls: { name: string; json: string }[];
  finish: string | null;
  usage: [number, number] | null;
}

function meaningOf(words: ConversationDialect, bytes: Buffer): Meaning {
  const reader = words.reader();
  const events: AnswerEvent[] = [...structuredClone(reader.push(bytes)), ...structuredClone(reader.end())];
  expect(reader.isComplete).toBe(true);
  const meaning: Meaning = { text: "", reasoning: "", calls: [], finish: null, usage: null };
  for (const event of events) {
    if (event.type === "text") meaning.text += event.text;
    else if (event.type === "reasoning") meaning.reasoning += event.text;
    else if (event.type === "tool_start") meaning.calls[event.index] = { name: event.name, json: "" };
    else if (event.type === "tool_arguments") meaning.calls[event.index]!.json += event.json;
    // A stop string has no word of its own in some dialects.
    else if (event.type === "finish") meaning.finish = event.reason === "stop_sequence" ? "stop" : event.reason;
    else if (event.type === "usage") meaning.usage = [event.usage.tokensIn, event.usage.tokensOut];
  }
  for (const call of meaning.calls) call.json = JSON.stringify(JSON.parse(call.json || "{}"));
  return meaning;
}

function format(caller: (typeof CALLERS)[number], engine: Recorded) {
  return translation(
    { operation: operationById(caller.id)!, conversation: caller.words },
    { operation: operationById(engine.id)!, conversation: engine.words },
  );
}

const FACTS = {
  ...codecFor("openai.chat").inspect(scanBody(Buffer.from('{"model":"m","messages":[]}'))),
  wantsUsage: true,
};

test("the recordings hold what these tests are about", () => {
  expect(STREAMS.length).toBeGreaterThan(12);
  expect(WHOLE.length).toBeGreaterThan(8);
  expect(REFUSED.length).toBeGreaterThan(5);
});

describe.each(STREAMS)("the stream $name", (recorded) => {
  const bytes = Buffer.from(recorded.body);
  const said = meaningOf(recorded.words, bytes);

  test("says something", () => {
    expect(said.text + said.reasoning + said.calls.length).not.toBe("0");
    expect(said.finish).not.toBeNull();
  });

  test.each(CALLERS.filter(({ id }) => id !== recorded.id))("reaches a caller of $id, cut anywhere", (caller) => {
    if (caller.words === ollamaGenerateConversation && said.calls.length > 0) return;
    for (const cut of [bytes.length, 1, 13, 100]) {
      const tap = format(caller, recorded).tap(FACTS, 400, CONTEXT);
      const out: Buffer[] = [];
      for (let at = 0; at < bytes.length; at += cut) out.push(tap.push(bytes.subarray(at, at + cut)));
      const tail = tap.finish();
      expect(tail).not.toBeNull();
      const understood = meaningOf(caller.words, Buffer.concat([...out, tail!]));
      expect(understood).toEqual({ ...said, usage: understood.usage });
      // The engine's own numbers where it told them.
      if (said.usage !== null) {
        expect(understood.usage).toEqual(said.usage);
        expect([tap.usage().tokensIn, tap.usage().tokensOut]).toEqual(said.usage);
      }
    }
  });

  test("passes through as it is, its end with it", () => {
    const codec = codecFor(recorded.id);
    if (codec.dialect === "ollama-chat") return;
    for (const cut of [bytes.length, 1, 13, 100]) {
      const tap = codec.tap(FACTS, 400);
      const out: Buffer[] = [];
      for (let at = 0; at < bytes.length; at += cut) out.push(tap.push(bytes.subarray(at, at + cut)));
      const passed = Buffer.concat([...out, tap.finish()!]).toString();
      expect(passed.replace(ANNOUNCEMENT, "")).toBe(recorded.body);
      if (said.usage !== null) expect([tap.usage().tokensIn, tap.usage().tokensOut]).toEqual(said.usage);
    }
  });
});

/** Added before the first delta of Ollama's reasoning, which announces no part of it. */
const ANNOUNCEMENT = /event: response\.reasoning_summary_part\.added\n.*\n\n/;

describe.each(WHOLE)("the answer $name", (recorded) => {
  const own = recorded.words.readAnswer(JSON.parse(recorded.body));

  test("is one, metered by its own word", () => {
    expect(own).not.toBeNull();
    const usage = codecFor(recorded.id).readAnswer(Buffer.from(recorded.body), 1);
    expect(usage).toMatchObject({
      tokensIn: own!.usage!.tokensIn,
      tokensOut: own!.usage!.tokensOut,
      isEstimated: false,
    });
  });

  test.each(CALLERS.filter(({ id }) => id !== recorded.id))("reaches a caller of $id", (caller) => {
    const hasCalls = own!.parts.some(({ type }) => type === "tool_call");
    if (caller.words === ollamaGenerateConversation && hasCalls) return;
    const answer = format(caller, recorded).readAnswer(Buffer.from(recorded.body), 1, CONTEXT);
    const understood = caller.words.readAnswer(JSON.parse(answer!.body.toString()));
    const texts = (parts: typeof own) =>
      parts!.parts.map((part) =>
        part.type === "tool_call" ? `${part.name} ${JSON.stringify(JSON.parse(part.argumentsJson))}` : part.text,
      );
    expect(texts(understood).toSorted()).toEqual(texts(own).toSorted());
    expect(understood?.usage).toMatchObject({ tokensIn: own!.usage!.tokensIn, tokensOut: own!.usage!.tokensOut });
  });
});

test.each(REFUSED)("the refusal $name reaches a caller of every other dialect", (recorded) => {
  const own = recorded.words.readError(recorded.status, JSON.parse(recorded.body));
  if (recorded.name.endsWith("too-long")) expect(own.kind).toBe("context_length");
  for (const caller of CALLERS.filter(({ id }) => id !== recorded.id)) {
    const reply = format(caller, recorded).readError(
      recorded.status,
      "application/json",
      Buffer.from(recorded.body),
      CONTEXT,
    );
    const understood = caller.words.readError(reply!.status, JSON.parse(reply!.body.toString()));
    expect(understood.kind).toBe(own.kind);
  }
});
