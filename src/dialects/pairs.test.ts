import { describe, expect, test } from "vitest";
import { scanBody } from "../lib/json-scan.ts";
import { anthropicConversation } from "./anthropic/conversation.ts";
import type { AttemptFormat } from "./attempt-format.ts";
import { codecFor } from "./codecs.ts";
import type { Answer, AnswerContext, AnswerEvent, Conversation, ConversationDialect, Message } from "./conversation.ts";
import { ollamaChatConversation, ollamaGenerateConversation } from "./ollama/conversation.ts";
import { openAiChatConversation } from "./openai/conversation.ts";
import { operationById } from "./operations.ts";
import { responsesConversation } from "./responses/conversation.ts";
import { translation } from "./translation.ts";

/**
 * The contract of every pair of dialects: what an engine says in its words reaches a caller of another dialect with the
 * same meaning. Each dialect's own reader and writer, tested against real recordings beside them, speak for the two ends.
 */
interface Side {
  id: string;
  words: ConversationDialect;
  /** Kind of an engine of this dialect. */
  kind: string;
  can: { tools: boolean; callIds: boolean; system: boolean; images: boolean };
}

const EVERYTHING = { tools: true, callIds: true, system: true, images: true };
const SIDES: readonly Side[] = [
  { id: "openai.chat", words: openAiChatConversation, kind: "vllm", can: EVERYTHING },
  { id: "openai.responses", words: responsesConversation, kind: "vllm", can: EVERYTHING },
  { id: "anthropic.messages", words: anthropicConversation, kind: "llama-server", can: EVERYTHING },
  { id: "ollama.chat", words: ollamaChatConversation, kind: "ollama", can: EVERYTHING },
  { id: "ollama.generate", words: ollamaGenerateConversation, kind: "ollama", can: { ...EVERYTHING, tools: false } },
];
const CONTEXT: AnswerContext = {
  id: "01890000-0000-7000-8000-000000000001",
  model: "public",
  createdAtMs: 1_763_600_000_000,
  wantsUsage: true,
  estimatedTokensIn: 5,
};

interface Pair {
  name: string;
  caller: Side;
  engine: Side;
  format: AttemptFormat;
}

const PAIRS: readonly Pair[] = SIDES.flatMap((caller) =>
  SIDES.filter((engine) => engine !== caller && engine.id !== "ollama.generate").map((engine) => ({
    name: `${caller.id} asks ${engine.id}`,
    caller,
    engine,
    format: translation(
      { operation: operationById(caller.id)!, conversation: caller.words },
      { operation: operationById(engine.id)!, conversation: engine.words },
    ),
  })),
);

function facts(pair: Pair) {
  const body = { model: "m", ...ASKING[pair.caller.id], stream: true, stream_options: { include_usage: true } };
  return codecFor(pair.caller.id).inspect(scanBody(Buffer.from(JSON.stringify(body))));
}

const HELLO = [{ role: "user", content: "hello" }];
const ASKING: Record<string, Record<string, unknown>> = {
  "openai.chat": { messages: HELLO },
  "openai.responses": { input: "hello" },
  "anthropic.messages": { messages: HELLO, max_tokens: 100 },
  "ollama.chat": { messages: HELLO },
  "ollama.generate": { prompt: "hello" },
};

type Said = Exclude<AnswerEvent, { type: "error" }>;

const USAGE = { tokensIn: 20, tokensInCached: 8, tokensOut: 7, tokensReasoning: 3, isEstimated: false };
const finish = (
  reason: Extract<AnswerEvent, { type: "finish" }>["reason"],
  stopSequence: string | null = null,
): Said[] => [
  { type: "usage", usage: USAGE },
  { type: "finish", reason, stopSequence },
];

const CALLS: Said[] = [
  { type: "tool_start", index: 0, id: "call_a", name: "look" },
  { type: "tool_arguments", index: 0, json: '{"at":' },
  { type: "tool_arguments", index: 0, json: '"é 🙂"}' },
  { type: "tool_start", index: 1, id: "call_b", name: "list" },
  { type: "tool_arguments", index: 1, json: '{"n":2}' },
];

const ANSWERS: Record<string, Said[]> = {
  text: [{ type: "text", text: 'He said "é"\n' }, { type: "text", text: "🙂 and left." }, ...finish("stop")],
  reasoning: [
    { type: "reasoning", text: "Let me " },
    { type: "reasoning", text: "think.\n" },
    { type: "text", text: "Yes" },
    ...finish("stop"),
  ],
  "the bound of tokens": [{ type: "text", text: "cut" }, ...finish("length")],
  "one tool": [...CALLS.slice(0, 3), ...finish("tool_calls")],
  "text, then parallel tools": [
    { type: "reasoning", text: "hm" },
    { type: "text", text: "Looking." },
    ...CALLS,
    ...finish("tool_calls"),
  ],
  "interleaved tools": [CALLS[0]!, CALLS[3]!, CALLS[1]!, CALLS[4]!, CALLS[2]!, ...finish("tool_calls")],
  "a finish that does not tell of its tools": [...CALLS, ...finish("stop")],
};

/** The bytes of an engine that says all this. */
function engineBytes(engine: Side, events: readonly Said[]): Buffer {
  const writer = engine.words.writer({ ...CONTEXT, model: "own" });
  return Buffer.from(events.map((event) => writer.write(event)).join("") + writer.end());
}

/** What a caller of this dialect understands. */
function understand(caller: Side, bytes: Buffer): { meaning: Meaning; isComplete: boolean } {
  const reader = caller.words.reader();
  const events = [...structuredClone(reader.push(bytes))];
  events.push(...structuredClone(reader.end()));
  return { meaning: meaningOf(events), isComplete: reader.isComplete };
}

interface Meaning {
  text: string;
  reasoning: string;
  calls: { id: string; name: string; input: unknown }[];
  finish: string | null;
  tokens: [number, number] | null;
  error: string | null;
}

function meaningOf(events: readonly AnswerEvent[]): Meaning {
  const meaning: Meaning = { text: "", reasoning: "", calls: [], finish: null, tokens: null, error: null };
  const json: string[] = [];
  for (const event of events) {
    if (event.type === "text") meaning.text += event.text;
    else if (event.type === "reasoning") meaning.reasoning += event.text;
    else if (event.type === "tool_start") {
      meaning.calls[event.index] = { id: event.id, name: event.name, input: null };
      json[event.index] = "";
    } else if (event.type === "tool_arguments") json[event.index] += event.json;
    else if (event.type === "finish") meaning.finish = event.reason;
    else if (event.type === "usage") meaning.tokens = [event.usage.tokensIn, event.usage.tokensOut];
    else if (event.type === "error") meaning.error = event.error.message;
  }
  for (const [index, call] of meaning.calls.entries()) call.input = JSON.parse(json[index] || "{}");
  return meaning;
}

function stream(
  pair: Pair,
  bytes: Buffer,
  cut: number,
): { out: Buffer; tail: Buffer | null; buffers: number; tap: ReturnType<AttemptFormat["tap"]> } {
  const tap = pair.format.tap(facts(pair), 400, CONTEXT);
  const out: Buffer[] = [];
  let buffers = 0;
  for (let at = 0; at < bytes.length; at += cut) {
    const piece = tap.push(bytes.subarray(at, at + cut));
    if (piece.length > 0) buffers++;
    out.push(piece);
  }
  return { out: Buffer.concat(out), tail: tap.finish(), buffers, tap };
}

describe.each(PAIRS)("$name", (pair) => {
  const { caller, engine, format } = pair;

  for (const [what, events] of Object.entries(ANSWERS)) {
    const hasCalls = events.some(({ type }) => type === "tool_start");
    if (hasCalls && !(caller.can.tools && engine.can.tools)) continue;

    test(`streams ${what}, cut anywhere`, () => {
      const bytes = engineBytes(engine, events);
      const wanted = meaningOf(events);
      if (hasCalls) wanted.finish = "tool_calls";
      for (const cut of [bytes.length, 1, 7, 64]) {
        const { out, tail, tap } = stream(pair, bytes, cut);
        expect(tap.completion).toBe("complete");
        expect(tap.hasContent).toBe(true);
        expect(tail).not.toBeNull();
        const { meaning, isComplete } = understand(caller, Buffer.concat([out, tail!]));
        expect(isComplete).toBe(true);
        expect(meaning).toEqual(wanted);
        expect(tap.usage()).toMatchObject({ tokensIn: 20, tokensOut: 7, isEstimated: false });
      }
    });
  }

  test("never ends a stream that was cut off", () => {
    const bytes = engineBytes(engine, ANSWERS["text"]!);
    // Up to the end of the text: what follows is the end.
    for (let at = 0; at < bytes.indexOf("left."); at += 3) {
      const { tail, tap } = stream(pair, bytes.subarray(0, at), 50);
      expect(tail).toBeNull();
      expect(tap.completion).toBe("open");
      expect(tap.usage().isEstimated).toBe(true);
    }
  });

  test("tells an engine's own error in the stream", () => {
    const writer = engine.words.writer({ ...CONTEXT, model: "own" });
    const begun = writer.write({ type: "text", text: "so" });
    const told = writer.error({ status: 500, kind: "other", message: "it broke" });
    const { out, tail, tap } = stream(pair, Buffer.from(begun + told), 9);
    expect(tap.completion).toBe("engine_error");
    expect(tail).toBeNull();
    const { meaning, isComplete } = understand(caller, out);
    expect(meaning).toMatchObject({ text: "so", error: "it broke", finish: null });
    expect(isComplete).toBe(false);
  });

  test("keeps whole answers", () => {
    const parts: Answer["parts"] = [
      { type: "reasoning", text: "hm" },
      { type: "text", text: 'é "x"\n' },
    ];
    if (caller.can.tools && engine.can.tools) {
      parts.push({ type: "tool_call", id: "call_a", name: "look", argumentsJson: '{"at":"é"}' });
      parts.push({ type: "tool_call", id: "call_b", name: "list", argumentsJson: "{}" });
    }
    const hasCalls = parts.length > 2;
    const answer: Answer = {
      parts,
      finish: hasCalls ? "tool_calls" : "stop",
      stopSequence: null,
      usage: USAGE,
      logprobs: null,
    };
    const body = Buffer.from(JSON.stringify(engine.words.writeAnswer(answer, { ...CONTEXT, model: "own" })));
    const whole = format.readAnswer(body, 400, CONTEXT);
    expect(whole?.usage).toMatchObject({ tokensIn: 20, tokensOut: 7, isEstimated: false });
    const understood = caller.words.readAnswer(JSON.parse(whole!.body.toString()));
    expect(understood).toMatchObject({ parts, finish: answer.finish, usage: { tokensIn: 20, tokensOut: 7 } });
  });

  test.each([
    ["context_length", 400],
    ["rate_limit", 429],
    ["overloaded", 503],
    ["not_found", 404],
    ["invalid", 400],
    ["other", 500],
  ] as const)("tells an error of the kind %s", (kind, status) => {
    const message = kind === "context_length" ? "prompt is too long: 9 tokens > 8 maximum" : "it is so";
    const told = engine.words.writeError({ status, kind, message }, CONTEXT);
    const reply = format.readError(status, "application/json", Buffer.from(JSON.stringify(told)), CONTEXT);
    const understood = caller.words.readError(reply!.status, JSON.parse(reply!.body.toString()));
    expect(understood.kind).toBe(kind);
    if (kind !== "context_length") expect(understood.message).toContain("it is so");
  });

  test("carries a conversation over", () => {
    const conversation = wholeConversation(caller);
    const { tree, own } = encode(pair, conversation);
    const understood = engine.words.readRequest(tree, { remoteMedia: false });
    expect(withoutMediaTypes(understood.messages)).toEqual(withoutMediaTypes(own.messages));
    expect(understood).toMatchObject({
      maxTokens: 50,
      sampling: { temperature: 0.5, topP: 0.75 },
      isStream: true,
      tools: own.tools,
    });
  });
});

/** Ollama does not say what an image is; its first bytes do. */
function withoutMediaTypes(messages: readonly Message[]): unknown {
  return JSON.parse(JSON.stringify(messages, (name, value) => (name === "mediaType" ? undefined : value)));
}

/** A conversation as a caller of this dialect can tell it, and as its own reader understands it. */
function wholeConversation(caller: Side): Conversation {
  const messages: Message[] = [
    { role: "system", parts: [{ type: "text", text: "Be brief." }] },
    {
      role: "user",
      parts: [
        { type: "text", text: "What is it?" },
        { type: "image", mediaType: "image/png", source: { kind: "base64", data: "iVBORw0KGgo=" } },
      ],
    },
  ];
  if (caller.can.tools) {
    messages.push(
      {
        role: "assistant",
        parts: [
          { type: "text", text: "I look." },
          { type: "tool_call", id: "call_a", name: "look", argumentsJson: '{"at":"x"}' },
          { type: "tool_call", id: "call_b", name: "look", argumentsJson: '{"at":"y"}' },
        ],
      },
      { role: "tool", callId: "call_a", name: "look", parts: [{ type: "text", text: "a cat" }], isError: false },
      { role: "tool", callId: "call_b", name: "look", parts: [{ type: "text", text: "a dog" }], isError: false },
      { role: "user", parts: [{ type: "text", text: "And?" }] },
    );
  }
  return {
    messages,
    tools: caller.can.tools
      ? [
          {
            name: "look",
            description: "looks",
            parameters: { type: "object", properties: { at: { type: "string" } } },
            strict: null,
          },
        ]
      : [],
    toolChoice: null,
    parallelToolCalls: null,
    maxTokens: 50,
    sampling: { temperature: 0.5, topP: 0.75 },
    stop: [],
    format: null,
    reasoning: null,
    topLogprobs: null,
    isStream: true,
    droppedFields: [],
  };
}

function encode(pair: Pair, conversation: Conversation): { tree: Record<string, unknown>; own: Conversation } {
  const { caller, engine, format } = pair;
  const body = caller.words.writeRequest(conversation, { model: "m", engineKind: caller.kind });
  const scan = scanBody(Buffer.from(JSON.stringify(body)));
  const { body: bytes } = format.encode(scan, codecFor(caller.id).inspect(scan), {
    model: "own",
    forceUsage: true,
    engineKind: engine.kind,
  });
  // What the agent would do: it finds nothing to remove or to change.
  const agent = codecFor(engine.id);
  const received = scanBody(bytes);
  const seen = agent.inspect(received);
  expect(seen).toMatchObject({ model: "own", isStream: true, removedFields: [], clampedFields: [] });
  expect(agent.rewrite(received, seen, { model: "own", forceUsage: false, engineKind: engine.kind })).toEqual(bytes);
  return { tree: JSON.parse(bytes.toString()), own: caller.words.readRequest(body, { remoteMedia: false }) };
}
