import OpenAI from "openai";
import { describe, expect, test } from "vitest";
import type { AnswerContext, AnswerEvent, ConversationDialect } from "./conversation.ts";
import { openAiChatConversation } from "./openai/conversation.ts";
import { responsesConversation } from "./responses/conversation.ts";

// What is written for callers, as the client that they use reads it. The client's own `fetch` is given: nothing is dialled.

const CONTEXT: AnswerContext = {
  id: "01890000-0000-7000-8000-000000000001",
  model: "public",
  createdAtMs: 1_763_600_000_000,
  wantsUsage: true,
  estimatedTokensIn: 5,
};
const EVENTS: Exclude<AnswerEvent, { type: "error" }>[] = [
  { type: "reasoning", text: "hm" },
  { type: "text", text: 'He said "é"\n' },
  { type: "text", text: "🙂" },
  { type: "tool_start", index: 0, id: "call_a", name: "look" },
  { type: "tool_start", index: 1, id: "call_b", name: "list" },
  { type: "tool_arguments", index: 1, json: "{}" },
  { type: "tool_arguments", index: 0, json: '{"at":' },
  { type: "tool_arguments", index: 0, json: "1}" },
  { type: "usage", usage: { tokensIn: 9, tokensInCached: 4, tokensOut: 5, tokensReasoning: 2, isEstimated: false } },
  { type: "finish", reason: "tool_calls", stopSequence: null },
];

function client(status: number, contentType: string, body: string): OpenAI {
  const fetch = () => Promise.resolve(new Response(body, { status, headers: { "content-type": contentType } }));
  return new OpenAI({ apiKey: "k", baseURL: "http://localhost/v1", fetch, maxRetries: 0 });
}

function streaming(words: ConversationDialect): OpenAI {
  const writer = words.writer(CONTEXT);
  let text = writer.keepAlive(0);
  for (const event of EVENTS) text += writer.write(event) + writer.keepAlive(0);
  return client(200, "text/event-stream", text + writer.end());
}

function whole(words: ConversationDialect): OpenAI {
  const answer = {
    parts: [
      { type: "reasoning" as const, text: "hm" },
      { type: "text" as const, text: "hello" },
      { type: "tool_call" as const, id: "call_a", name: "look", argumentsJson: '{"at":1}' },
    ],
    finish: "tool_calls" as const,
    stopSequence: null,
    usage: { tokensIn: 9, tokensInCached: 4, tokensOut: 5, tokensReasoning: 2, isEstimated: false },
    logprobs: null,
  };
  return client(200, "application/json", JSON.stringify(words.writeAnswer(answer, CONTEXT)));
}

const CHAT = { model: "m", messages: [{ role: "user" as const, content: "hi" }] };
const RESPONSES = { model: "m", input: "hi" };

describe("the openai package", () => {
  test("assembles a chat stream", async () => {
    const stream = streaming(openAiChatConversation).chat.completions.stream({
      ...CHAT,
      stream_options: { include_usage: true },
    });
    const { choices, usage, model } = await stream.finalChatCompletion();
    expect(model).toBe("public");
    expect(choices[0]).toMatchObject({
      finish_reason: "tool_calls",
      message: {
        content: 'He said "é"\n🙂',
        reasoning_content: "hm",
        tool_calls: [
          { id: "call_a", function: { name: "look", arguments: '{"at":1}' } },
          { id: "call_b", function: { name: "list", arguments: "{}" } },
        ],
      },
    });
    expect(usage).toMatchObject({ prompt_tokens: 9, completion_tokens: 5, total_tokens: 14 });
  });

  test("reads a whole chat answer", async () => {
    const answer = await whole(openAiChatConversation).chat.completions.create(CHAT);
    expect(answer.choices[0]?.message).toMatchObject({ content: "hello", tool_calls: [{ id: "call_a" }] });
    expect(answer.usage?.prompt_tokens_details?.cached_tokens).toBe(4);
  });

  test("throws on an error inside a chat stream", async () => {
    const writer = openAiChatConversation.writer(CONTEXT);
    const text =
      writer.write({ type: "text", text: "a" }) + writer.error({ status: 500, kind: "other", message: "boom" });
    const stream = await client(200, "text/event-stream", text).chat.completions.create({ ...CHAT, stream: true });
    await expect(async () => {
      for await (const chunk of stream) expect(chunk.choices).toHaveLength(1);
    }).rejects.toThrow("boom");
  });

  test("assembles a Responses stream, pings in between", async () => {
    const stream = streaming(responsesConversation).responses.stream(RESPONSES);
    const response = await stream.finalResponse();
    expect(response).toMatchObject({ status: "completed", model: "public", output_text: 'He said "é"\n🙂' });
    expect(response.output).toMatchObject([
      { type: "reasoning", summary: [{ text: "hm" }] },
      { type: "message" },
      { type: "function_call", call_id: "call_a", name: "look", arguments: '{"at":1}' },
      { type: "function_call", call_id: "call_b", name: "list", arguments: "{}" },
    ]);
    expect(response.usage?.total_tokens).toBe(14);
  });

  test("reads a whole Responses answer", async () => {
    const response = await whole(responsesConversation).responses.create(RESPONSES);
    expect(response.output_text).toBe("hello");
    expect(response.output.map(({ type }) => type)).toEqual(["reasoning", "message", "function_call"]);
    expect(response.usage?.output_tokens_details.reasoning_tokens).toBe(2);
  });

  test("sees a Responses stream fail", async () => {
    const writer = responsesConversation.writer(CONTEXT);
    const text =
      writer.write({ type: "text", text: "a" }) + writer.error({ status: 500, kind: "other", message: "boom" });
    const stream = client(200, "text/event-stream", text).responses.stream(RESPONSES);
    // Of `response.failed` alone it makes an answer, which LangChain takes for a complete one.
    await expect(stream.finalResponse()).rejects.toThrow("boom");
  });

  test.each([openAiChatConversation, responsesConversation])("understands the errors of $dialect", async (words) => {
    const body = JSON.stringify(
      words.writeError({ status: 400, kind: "context_length", message: "too long" }, CONTEXT),
    );
    await expect(client(400, "application/json", body).chat.completions.create(CHAT)).rejects.toMatchObject({
      status: 400,
      code: "context_length_exceeded",
      type: "invalid_request_error",
    });
  });
});
