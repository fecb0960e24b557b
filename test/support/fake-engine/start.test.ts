import { Ollama } from "ollama";
import OpenAI from "openai";
import { afterEach, describe, expect, test } from "vitest";
import { operationById } from "../../../src/dialects/operations.ts";
import { ADAPTERS } from "../../../src/engines/adapters.ts";
import { identifyEngine } from "../../../src/engines/identify.ts";
import { openProbe } from "../../../src/engines/probe.ts";
import type { FakeKind } from "./clothes.ts";
import { type FakeEngineOptions, type FakeEngineProgram, startFakeEngine } from "./start.ts";
import { FAKE_TEXT } from "./turn.ts";

const KINDS: readonly FakeKind[] = ["ollama", "llama-server", "vllm", "sglang", "lm-studio"];
const started: FakeEngineProgram[] = [];

afterEach(async () => {
  for (const engine of started.splice(0)) await engine.close();
});

async function start(options: FakeEngineOptions): Promise<FakeEngineProgram> {
  const engine = await startFakeEngine(options);
  started.push(engine);
  return engine;
}

function openai(engine: FakeEngineProgram): OpenAI {
  return new OpenAI({ baseURL: `${engine.url.origin}/v1`, apiKey: "none", maxRetries: 0 });
}

const HELLO = [{ role: "user" as const, content: "Hello" }];
const TOOL = {
  type: "function" as const,
  function: {
    name: "weather",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

describe.each(KINDS)("the fake engine as %s", (kind) => {
  test("chats with the openai package, whole and streamed", async () => {
    const client = openai(await start({ kind }));
    const whole = await client.chat.completions.create({ model: "fake-model", messages: HELLO });
    expect(whole.choices[0]?.message.content).toBe(FAKE_TEXT);
    const stream = await client.chat.completions.create({
      model: "fake-model",
      messages: HELLO,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let usage: unknown;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      usage = chunk.usage ?? usage;
    }
    expect(text).toBe(FAKE_TEXT);
    expect(usage).toEqual(whole.usage);
  });

  test("calls the first tool once and then says what the tool said", async () => {
    const client = openai(await start({ kind }));
    const runner = client.chat.completions.stream({ model: "fake-model", messages: HELLO, tools: [TOOL] });
    const { choices } = await runner.finalChatCompletion();
    const [call] = choices[0]?.message.tool_calls ?? [];
    expect(choices[0]?.finish_reason).toBe("tool_calls");
    expect(call).toMatchObject({ function: { name: "weather", arguments: '{"city":"Zürich"}' } });
    const after = await client.chat.completions.create({
      model: "fake-model",
      tools: [TOOL],
      messages: [...HELLO, { role: "tool", tool_call_id: call?.id ?? "", content: "sunny" }],
    });
    expect(after.choices[0]?.message.content).toBe("The tool said: sunny");
  });

  test("speaks responses with the openai package", async () => {
    const client = openai(await start({ kind }));
    const whole = await client.responses.create({ model: "fake-model", input: "Hello" });
    expect(whole.output_text).toBe(FAKE_TEXT);
    let text = "";
    for await (const event of await client.responses.create({ model: "fake-model", input: "Hello", stream: true })) {
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    expect(text).toBe(FAKE_TEXT);
  });

  test("says errors with a status, and stays whole when the caller leaves", async () => {
    const engine = await start({ kind });
    const client = openai(engine);
    await expect(client.chat.completions.create({ model: "error-400", messages: HELLO })).rejects.toMatchObject({
      status: 400,
    });
    const stream = await client.chat.completions.create({ model: "endless", messages: HELLO, stream: true });
    for await (const _chunk of stream) break;
    await expect(engine.requests.at(-1)?.done).resolves.toBe("left");
  });

  test("cuts a stream where it should", async () => {
    const engine = await start({ kind });
    const body = JSON.stringify({ model: "cut", messages: HELLO, stream: true });
    const answer = await fetch(new URL("/v1/chat/completions", engine.url), { method: "POST", body });
    expect(answer.status).toBe(200);
    await expect(answer.text()).rejects.toThrow();
  });

  test("embeds", async () => {
    const client = openai(await start({ kind }));
    const { data } = await client.embeddings.create({ model: "fake-embed", input: ["a", "b"] });
    expect(data.map(({ embedding }) => embedding.length)).toEqual([8, 8]);
  });
});

describe("the fake engine as ollama", () => {
  test("chats with the ollama package, with tools and thoughts", async () => {
    const engine = await start({ kind: "ollama" });
    const client = new Ollama({ host: engine.url.origin });
    const whole = await client.chat({ model: "fake-model", messages: HELLO });
    expect(whole).toMatchObject({ message: { content: FAKE_TEXT }, done_reason: "stop" });
    let text = "";
    for await (const part of await client.chat({ model: "thinking-model", messages: HELLO, stream: true })) {
      text += part.message.content;
    }
    expect(text).toBe(FAKE_TEXT);
    const called = await client.chat({ model: "fake-model", messages: HELLO, tools: [TOOL] });
    expect(called.message.tool_calls).toMatchObject([{ function: { name: "weather", arguments: { city: "Zürich" } } }]);
    expect((await client.list()).models[0]?.name).toBe("fake-model:latest");
    expect((await client.embed({ model: "fake-embed", input: "a" })).embeddings).toHaveLength(1);
  });

  test("refuses hosts that it does not know, and has no newer paths in older versions", async () => {
    const engine = await start({ kind: "ollama", version: "0.13.0" });
    const post = { method: "POST", body: "{}" };
    expect((await fetch(new URL("/v1/responses", engine.url), post)).status).toBe(404);
    expect((await fetch(new URL("/v1/messages", engine.url), post)).status).toBe(404);
  });
});

test("the fake engine speaks messages with every record named", async () => {
  const engine = await start({ kind: "vllm" });
  const body = JSON.stringify({ model: "thinking-model", max_tokens: 100, messages: HELLO, stream: true });
  const text = await (await fetch(new URL("/v1/messages", engine.url), { method: "POST", body })).text();
  const names = [...text.matchAll(/^event: (.*)\ndata: \{"type":"(.*?)"/gm)];
  expect(names.every(([, event, type]) => event === type)).toBe(true);
  expect(names[0]?.[1]).toBe("message_start");
  expect(names.at(-1)?.[1]).toBe("message_stop");
});

test("the fake llama-server loads its model as the real one does, and then answers", async () => {
  const engine = await start({ kind: "llama-server" });
  engine.setLoading(true);
  expect((await fetch(new URL("/health", engine.url))).status).toBe(503);
  expect((await fetch(new URL("/v1/models", engine.url))).status).toBe(200);
  const body = JSON.stringify({ model: "fake-model", messages: HELLO });
  const answer = await fetch(new URL("/v1/chat/completions", engine.url), { method: "POST", body });
  expect(await answer.json()).toEqual({ error: { code: 503, message: "Loading model", type: "unavailable_error" } });
  engine.setLoading(false);
  expect((await fetch(new URL("/health", engine.url))).status).toBe(200);
});

test.each(KINDS)("the adapters know the fake %s for what it is dressed as", async (kind) => {
  const engine = await start({ kind });
  const probe = openProbe({ url: engine.url, host: `localhost:${engine.url.port}`, apiKey: null });
  const found = await identifyEngine(probe, ADAPTERS);
  const state = await found?.adapter.read(probe, found.identity);
  await probe.close();
  expect(found?.identity.kind).toBe(kind);
  expect(state?.ready).toBe(true);
  expect(state?.models.length).toBeGreaterThan(10);
  // What the adapter promises, the fake speaks, and the other way round; but for the streams of Responses that clients cannot read.
  const paths = (found?.adapter.operations(found.identity) ?? []).flatMap((id) => operationById(id)?.path ?? []);
  const spoken = [...engine.clothes.paths.keys()].filter((path) => path !== "/v1/responses" || paths.includes(path));
  expect(paths.filter((path) => path !== "/v1/rerank").sort()).toEqual(spoken.sort());
});
