import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";
import { expect, test } from "vitest";
import { createFailoverFetch, FAILOVER_BASE_URL, type FailoverFetch, failoverErrorOf } from "../src/index.ts";
import { chatAnswer, chatEvent, chatStream, errorAnswer, json, messagesEvents, ROLE_EVENT, sse } from "./answers.ts";
import { refusingUrl, startTarget } from "./target-server.ts";

function openaiOver(fetch: FailoverFetch): OpenAI {
  return new OpenAI({ apiKey: "unused", baseURL: FAILOVER_BASE_URL, fetch, maxRetries: 0 });
}

function anthropicOver(fetch: FailoverFetch): Anthropic {
  return new Anthropic({ apiKey: "unused", baseURL: FAILOVER_BASE_URL, fetch, maxRetries: 0 });
}

function failoverTo(cloudUrl: string, ownUrl: string): FailoverFetch {
  return createFailoverFetch({
    targets: [
      { name: "cloud", baseUrl: cloudUrl, locality: "cloud", apiKey: "cloud-key" },
      { name: "own", baseUrl: ownUrl, locality: "own", apiKey: "own-key", models: { "*": "llama3.1:8b" } },
    ],
  });
}

const QUESTION = { model: "gpt-5", messages: [{ role: "user" as const, content: "hello" }] };

test("the openai package gets its answer from the target that works, and can tell which it was", async () => {
  await using cloud = await startTarget(errorAnswer(503, "overloaded"));
  await using own = await startTarget(chatAnswer("from own"));
  const { data, response } = await openaiOver(failoverTo(cloud.url, own.url))
    .chat.completions.create(QUESTION)
    .withResponse();
  expect(data.choices[0]?.message.content).toBe("from own");
  expect(response.headers.get("x-postern-client-target")).toBe("own");
  expect(own.received[0]).toMatchObject({ path: "/chat/completions", headers: { authorization: "Bearer own-key" } });
  expect(JSON.parse(own.received[0]?.body ?? "")).toEqual({ ...QUESTION, model: "llama3.1:8b" });
});

test("the openai package streams from the target that works", async () => {
  await using own = await startTarget(chatStream(["from ", "own"]));
  const stream = await openaiOver(failoverTo(await refusingUrl(), own.url)).chat.completions.create({
    ...QUESTION,
    stream: true,
  });
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
  expect(text).toBe("from own");
});

// On its own the package takes such a stream for a whole answer: it ends the loop as if all were well.
test("the openai package sees a cut stream as an error", async () => {
  await using cloud = await startTarget(sse([ROLE_EVENT, chatEvent({ content: "half" })]));
  const stream = await openaiOver(failoverTo(cloud.url, cloud.url)).chat.completions.create({
    ...QUESTION,
    stream: true,
  });
  let text = "";
  const reading = (async () => {
    for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? "";
  })();
  const error = await reading.catch((caught: unknown) => caught);
  expect(failoverErrorOf(error)?.code).toBe("stream_broken");
  expect(text).toBe("half");
});

test("the openai package keeps the attempts when all failed, and gives its own error for a refusal", async () => {
  await using own = await startTarget(errorAnswer(500, "server_error"));
  const client = openaiOver(failoverTo(await refusingUrl(), own.url));
  const failed = await client.chat.completions.create(QUESTION).catch((caught: unknown) => caught);
  expect(failed).toBeInstanceOf(OpenAI.APIConnectionError);
  expect(failoverErrorOf(failed)?.attempts.map(({ reason }) => reason)).toEqual(["unreachable", "status"]);
  own.behave = errorAnswer(400, "context_length_exceeded");
  const refused = await client.chat.completions.create(QUESTION).catch((caught: unknown) => caught);
  expect(refused).toBeInstanceOf(OpenAI.BadRequestError);
  expect(refused).toMatchObject({ code: "context_length_exceeded" });
});

test("the openai package keeps the attempts also when they were too late", async () => {
  await using slow = await startTarget(() => {});
  const failover = createFailoverFetch({
    targets: [{ name: "slow", baseUrl: slow.url, locality: "own", times: { totalMs: 1, firstTokenMs: 1 } }],
  });
  for (const stream of [false, true]) {
    const failed = await openaiOver(failover)
      .chat.completions.create({ ...QUESTION, stream })
      .catch((caught: unknown) => caught);
    expect(failoverErrorOf(failed)?.attempts).toHaveLength(1);
    const refused = await anthropicOver(failover)
      .messages.create({ ...QUESTION, max_tokens: 9, stream })
      .catch((caught: unknown) => caught);
    expect(failoverErrorOf(refused)?.attempts).toHaveLength(1);
  }
});

test("the openai package leaves: the target sees it", async () => {
  await using cloud = await startTarget(sse([ROLE_EVENT, chatEvent({ content: "one" })], "silence"));
  const stream = await openaiOver(failoverTo(cloud.url, cloud.url)).chat.completions.create({
    ...QUESTION,
    stream: true,
  });
  for await (const chunk of stream) if (chunk.choices[0]?.delta.content === "one") break;
  await cloud.received[0]?.gone;
  expect(cloud.received.length).toBe(1);
});

test("the @anthropic-ai/sdk package gets its answer, whole and streamed, with the key as it sends it", async () => {
  await using cloud = await startTarget(
    json(529, { type: "error", error: { type: "overloaded_error", message: "busy" } }),
  );
  await using own = await startTarget(
    json(200, {
      id: "msg_1",
      type: "message",
      role: "assistant",
      model: "stand-in",
      content: [{ type: "text", text: "from own" }],
      stop_reason: "end_turn",
      usage: { input_tokens: 1, output_tokens: 1 },
    }),
  );
  const client = anthropicOver(failoverTo(cloud.url, own.url));
  const whole = await client.messages.create({ ...QUESTION, max_tokens: 9 });
  expect(whole.content).toEqual([{ type: "text", text: "from own" }]);
  expect(own.received[0]).toMatchObject({ path: "/v1/messages", headers: { "x-api-key": "own-key" } });
  expect(own.received[0]?.headers.authorization).toBeUndefined();
  own.behave = sse(messagesEvents("streamed"));
  const message = await client.messages.stream({ ...QUESTION, max_tokens: 9 }).finalMessage();
  expect(message.content).toMatchObject([{ type: "text", text: "streamed" }]);
});

test("the @anthropic-ai/sdk package sees a cut stream as an error", async () => {
  await using cloud = await startTarget(sse(messagesEvents("half").slice(0, 3)));
  const client = anthropicOver(failoverTo(cloud.url, cloud.url));
  const stream = await client.messages.create({ ...QUESTION, max_tokens: 9, stream: true });
  const reading = (async () => {
    for await (const _event of stream);
  })();
  expect(failoverErrorOf(await reading.catch((caught: unknown) => caught))?.code).toBe("stream_broken");
});

test("a local-only request of the openai package reaches no cloud", async () => {
  await using cloud = await startTarget(chatAnswer("leaked"));
  const client = openaiOver(failoverTo(cloud.url, await refusingUrl()));
  const failed = await client.chat.completions
    .create(QUESTION, { headers: { "X-Postern-Policy": "local-only" } })
    .catch((caught: unknown) => caught);
  expect(failoverErrorOf(failed)?.attempts.map(({ target }) => target)).toEqual(["own"]);
  expect(cloud.connections).toBe(0);
});
