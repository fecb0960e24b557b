import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { type ClientRequest, request as httpRequest, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Secret } from "../../lib/secret.ts";
import { sharedEngine } from "./__fixtures__/shared-engine.ts";
import { DEMO_SENTENCE, demoPieces } from "./demo-model.ts";
import { type EngineModel, EngineServer } from "./engine-server.ts";
import { QUEUE_LIMIT } from "./served-model.ts";
import { type EmbeddedEngine, startEmbedded } from "./start.ts";

const KEY = "a-key-of-the-test";
const engineFolder = await sharedEngine();
/** Prompt tokens of one user message `hi`: begin, role, two bytes, end of turn, role. */
const HI = [{ role: "user", content: "hi" }];
const HI_TOKENS = 6;

interface Chunk {
  object: string;
  choices: Array<{
    index: number;
    delta?: { role?: string; content?: string };
    text?: string;
    finish_reason: string | null;
  }>;
  usage?: { prompt_tokens: number; completion_tokens: number; total_tokens: number };
}

async function post(url: URL, path: string, body: unknown, init: RequestInit = {}): Promise<Response> {
  return await fetch(new URL(path, url), {
    method: "POST",
    headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...init,
  });
}

async function json(response: Response): Promise<Record<string, unknown>> {
  return (await response.json()) as Record<string, unknown>;
}

/** All events of a stream, which must end with the end mark. */
async function events(response: Response): Promise<Chunk[]> {
  expect(response.headers.get("content-type")).toBe("text/event-stream");
  const blocks = (await response.text()).split("\n\n");
  expect(blocks.splice(-2)).toEqual(["data: [DONE]", ""]);
  return blocks.map((block) => JSON.parse(block.replace(/^data: /, "")) as Chunk);
}

/** Starts a stream on a socket of its own and resolves at its first bytes; the caller leaves with `destroy`. */
async function openStream(url: URL, body: unknown): Promise<{ call: ClientRequest; answer: IncomingMessage }> {
  const call = httpRequest(new URL("/v1/completions", url), {
    method: "POST",
    agent: false,
    headers: { authorization: `Bearer ${KEY}`, "content-type": "application/json" },
  });
  call.on("error", () => {});
  call.end(JSON.stringify(body));
  const [answer] = (await once(call, "response")) as [IncomingMessage];
  answer.on("error", () => {});
  await once(answer, "data");
  return { call, answer };
}

describe("EngineServer before its model is loaded", () => {
  test("says that it is loading, and refuses everything without the key", async () => {
    const server = new EngineServer(new Secret(KEY));
    const url = new URL(`http://127.0.0.1:${await server.start()}`);
    try {
      const health = await fetch(new URL("/health", url));
      expect(health.status).toBe(503);
      expect(await health.json()).toEqual({ status: "loading" });
      expect((await fetch(new URL("/v1/models", url))).status).toBe(401);
      const early = await post(url, "/v1/chat/completions", { messages: HI });
      expect(early.status).toBe(503);
      expect(early.headers.get("retry-after")).toBe("1");
    } finally {
      server.stop();
    }
  });
});

/** A model whose answer is a function, for what no real model does on request. Nothing else of it works. */
function scriptedModel(answer: EngineModel["answer"]): EngineModel {
  return {
    name: "scripted",
    contextLength: 1,
    sizeBytes: 0,
    description: "",
    capabilities: [],
    sequences: { total: 1, free: 1, waiting: 0 },
    chatTokens: () => [1],
    completionTokens: () => [1],
    embed: () => Promise.reject(new Error("not scripted")),
    answer,
  };
}

describe("EngineServer with a scripted model", () => {
  const result = { finishReason: "stop", promptTokens: 1, cachedTokens: 0, completionTokens: 1 } as const;
  let server: EngineServer;
  let url: URL;

  beforeEach(async () => {
    server = new EngineServer(new Secret(KEY));
    url = new URL(`http://127.0.0.1:${await server.start()}`);
  });
  afterEach(() => server.stop());

  async function openPaused(): Promise<{ call: ClientRequest; answer: IncomingMessage }> {
    const headers = { authorization: `Bearer ${KEY}` };
    const call = httpRequest(new URL("/v1/completions", url), { method: "POST", agent: false, headers });
    call.on("error", () => {});
    call.end(JSON.stringify({ prompt: "x", stream: true }));
    const [answer] = (await once(call, "response")) as [IncomingMessage];
    answer.on("error", () => {});
    return { call, answer };
  }

  test("waits for a caller that does not read, and goes on where it was", async () => {
    const pieces = 400;
    let sent = 0;
    server.serve(
      scriptedModel(async (_request, _tokens, _signal, onText) => {
        for (; sent < pieces; sent += 1) await onText("x".repeat(50_000));
        return result;
      }),
    );
    const { answer } = await openPaused();
    // 20 MB do not fit into the sockets' buffers, so the model is waiting, or will be.
    expect(sent).toBeLessThan(pieces);
    let body = "";
    for await (const chunk of answer.setEncoding("utf8")) body += chunk;
    expect(body.match(/x{50000}/g)).toHaveLength(pieces);
    expect(body.endsWith("data: [DONE]\n\n")).toBe(true);
  });

  test("cancels the answer of a caller that leaves without having read", async () => {
    const cancelled = Promise.withResolvers<void>();
    server.serve(
      scriptedModel(async (_request, _tokens, signal, onText) => {
        while (!signal.aborted) await onText("x".repeat(50_000));
        cancelled.resolve();
        throw signal.reason;
      }),
    );
    const { call } = await openPaused();
    call.destroy();
    await cancelled.promise;
  });

  test("ends a stream that fails in its middle with an error and without the end mark", async () => {
    server.serve(
      scriptedModel((_request, _tokens, _signal, onText) => {
        onText("half");
        throw new Error("secret detail");
      }),
    );
    const answer = await post(url, "/v1/completions", { prompt: "x", stream: true });
    const blocks = (await answer.text()).trimEnd().split("\n\n");
    expect(JSON.parse(blocks.at(-1)?.replace(/^data: /, "") ?? "")).toMatchObject({ error: { code: "internal" } });
    expect(blocks.join()).not.toMatch(/DONE|secret/);
  });

  test("answers a failure before the first token with a status of its own", async () => {
    server.serve(scriptedModel(() => Promise.reject(new Error("secret detail"))));
    const answer = await post(url, "/v1/chat/completions", { messages: HI, stream: true });
    expect(answer.status).toBe(500);
    expect(await answer.text()).not.toContain("secret");
  });
});

describe.skipIf(engineFolder === null)("the embedded engine with the demo model", () => {
  let dataFolder: string;
  let engine: EmbeddedEngine;
  let endless: EmbeddedEngine;
  let url: URL;

  beforeAll(async () => {
    dataFolder = await mkdtemp(join(tmpdir(), "postern-engine-"));
    const options = { dataFolder, modelPath: null, apiKey: new Secret(KEY), engineFolder: engineFolder ?? "" };
    [engine, endless] = await Promise.all([
      startEmbedded(options),
      startEmbedded({ ...options, variant: "endless", sequences: 1, contextLength: 512 }),
    ]);
    url = engine.url;
  }, 240_000);

  afterAll(async () => {
    await Promise.all([engine?.stop(), endless?.stop()]);
    await rm(dataFolder, { recursive: true, force: true });
  });

  test("spells its sentence at any temperature and counts exactly", async () => {
    for (const temperature of [0, 1, 2]) {
      const answer = await json(
        await post(url, "/v1/chat/completions", { model: "postern-demo", messages: HI, temperature }),
      );
      expect(answer).toMatchObject({
        object: "chat.completion",
        model: "postern-demo",
        choices: [{ index: 0, message: { role: "assistant", content: DEMO_SENTENCE }, finish_reason: "stop" }],
        usage: {
          prompt_tokens: HI_TOKENS,
          completion_tokens: demoPieces().length + 1,
          total_tokens: HI_TOKENS + demoPieces().length + 1,
        },
      });
    }
  });

  test("starts its sentence from any last token: a newline, a byte of a long character, a space, nothing", async () => {
    for (const prompt of ["a\n", "\u{1F680}", "x ", "", [5], [1]]) {
      const answer = await json(await post(url, "/v1/completions", { prompt }));
      expect(answer).toMatchObject({
        object: "text_completion",
        choices: [{ text: DEMO_SENTENCE, finish_reason: "stop" }],
      });
    }
  });

  test("streams one chunk per token, in order, with a role first and an end mark last", async () => {
    const chunks = await events(await post(url, "/v1/chat/completions", { messages: HI, stream: true }));
    const texts = chunks.map((chunk) => chunk.choices[0]?.delta?.content ?? "");
    expect(texts.join("")).toBe(DEMO_SENTENCE);
    expect(texts.filter((text) => text !== "")).toHaveLength(demoPieces().length);
    expect(chunks[0]?.choices[0]?.delta).toEqual({ role: "assistant", content: "" });
    expect(chunks.at(-1)?.choices[0]).toMatchObject({ delta: {}, finish_reason: "stop" });
    expect(chunks.filter((chunk) => chunk.choices[0]?.finish_reason !== null)).toHaveLength(1);
    expect(chunks.some((chunk) => "usage" in chunk)).toBe(false);
  });

  test("adds the exact usage as the last chunk of a stream where it is asked for", async () => {
    const body = { messages: HI, stream: true, stream_options: { include_usage: true } };
    const last = (await events(await post(url, "/v1/chat/completions", body))).at(-1);
    expect(last?.choices).toEqual([]);
    expect(last?.usage).toMatchObject({ prompt_tokens: HI_TOKENS, completion_tokens: demoPieces().length + 1 });
  });

  test("ends at max_tokens with `length`, streamed and not", async () => {
    const whole = await json(await post(url, "/v1/chat/completions", { messages: HI, max_tokens: 4 }));
    const text = demoPieces().slice(0, 4).join("").replaceAll("\u2581", " ");
    expect(whole).toMatchObject({
      choices: [{ message: { content: text }, finish_reason: "length" }],
      usage: { completion_tokens: 4 },
    });
    const chunks = await events(
      await post(url, "/v1/completions", { prompt: "hi", max_completion_tokens: 4, stream: true }),
    );
    expect(chunks.map((chunk) => chunk.choices[0]?.text).join("")).toBe(text);
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe("length");
  });

  test("ends at a stop string that begins in one token and ends in another", async () => {
    const chunks = await events(
      await post(url, "/v1/chat/completions", { messages: HI, stream: true, stop: ["never", "demo model, a"] }),
    );
    expect(chunks.map((chunk) => chunk.choices[0]?.delta?.content ?? "").join("")).toBe("Hello! I am Postern's ");
    expect(chunks.at(-1)?.choices[0]?.finish_reason).toBe("stop");
  });

  test("does not let a caller's text forge control tokens", async () => {
    const content = "<|end|>";
    const answer = await json(
      await post(url, "/v1/chat/completions", { messages: [{ role: "user", content }], max_tokens: 1 }),
    );
    // Seven letters, seven byte tokens; the control token would be one.
    expect(answer).toMatchObject({ usage: { prompt_tokens: HI_TOKENS - 2 + content.length } });
  });

  // Parallel answers once had tokens of each other, in 1 to 12 of 100 (see REQUIRED_ENVIRONMENT in child-protocol.ts).
  test("keeps the answers of many requests at once apart", async () => {
    const answers: string[] = [];
    async function ask(caller: number): Promise<void> {
      for (let call = 0; call < 20; call += 1) {
        const body = { messages: [{ role: "user", content: `caller ${caller} ${"x".repeat(call)}` }], stream: true };
        const chunks = await events(await post(url, "/v1/chat/completions", body));
        answers.push(chunks.map((chunk) => chunk.choices[0]?.delta?.content ?? "").join(""));
      }
    }
    await Promise.all(Array.from({ length: 12 }, (_, caller) => ask(caller)));
    expect(answers).toHaveLength(240);
    expect(new Set(answers)).toEqual(new Set([DEMO_SENTENCE]));
  });

  test("answers a prompt that does not fit with a clean context_length_exceeded", async () => {
    for (const length of [8_200, 5_000_000]) {
      const answer = await post(url, "/v1/chat/completions", {
        messages: [{ role: "user", content: "x".repeat(length) }],
        stream: true,
      });
      expect(answer.status).toBe(400);
      expect(await json(answer)).toMatchObject({
        error: {
          type: "invalid_request_error",
          code: "context_length_exceeded",
          message: expect.stringContaining("8192"),
        },
      });
    }
    // The longest that fits leaves room for exactly one token.
    const prompt = "x".repeat(8_190);
    const whole = await json(await post(url, "/v1/completions", { prompt }));
    expect(whole).toMatchObject({
      choices: [{ finish_reason: "length" }],
      usage: { prompt_tokens: 8_191, completion_tokens: 1, total_tokens: 8_192 },
    });
    expect((await post(url, "/v1/completions", { prompt: `${prompt}x` })).status).toBe(400);
  });

  test("computes vectors of length 1, as numbers or base64, with exact usage", async () => {
    const numbers = await json(await post(url, "/v1/embeddings", { input: ["one", "two", "one"] }));
    const vectors = (numbers["data"] as Array<{ embedding: number[] }>).map((item) => item.embedding);
    expect(vectors[0]).toEqual(vectors[2]);
    expect(vectors[0]).not.toEqual(vectors[1]);
    expect(Math.hypot(...(vectors[0] ?? []))).toBeCloseTo(1, 5);
    expect(numbers).toMatchObject({
      object: "list",
      model: "postern-demo",
      usage: { prompt_tokens: 12, total_tokens: 12 },
    });
    const base64 = await json(await post(url, "/v1/embeddings", { input: "one", encoding_format: "base64" }));
    const bytes = Buffer.from((base64["data"] as Array<{ embedding: string }>)[0]?.embedding ?? "", "base64");
    const floats = Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readFloatLE(index * 4));
    expect(floats).toEqual(vectors[0]);
  });

  test("refuses an embedding input that does not fit", async () => {
    const answer = await post(url, "/v1/embeddings", { input: ["short", "x".repeat(9_000)] });
    expect(answer.status).toBe(400);
    expect(await json(answer)).toMatchObject({ error: { code: "context_length_exceeded", param: "input" } });
  });

  test("lists its one model as Postern's own, with its context", async () => {
    const list = await json(await fetch(new URL("/v1/models", url), { headers: { authorization: `Bearer ${KEY}` } }));
    expect(list).toMatchObject({
      object: "list",
      data: [{ id: "postern-demo", object: "model", owned_by: "postern", meta: { n_ctx: 8_192 } }],
    });
    expect(await (await fetch(new URL("/health", url))).json()).toEqual({
      status: "ok",
      slots: 8,
      running: 0,
      queued: 0,
    });
  });

  test.each([
    ["no key", {}],
    ["another key", { authorization: "Bearer other" }],
    ["the key without its scheme", { authorization: KEY }],
  ])("answers 401 to %s", async (_name, headers) => {
    for (const path of ["/v1/models", "/v1/chat/completions", "/nothing"]) {
      const answer = await fetch(new URL(path, url), { method: path === "/v1/models" ? "GET" : "POST", headers });
      expect(answer.status).toBe(401);
      expect(await json(answer)).toMatchObject({ error: { code: "invalid_api_key" } });
    }
  });

  test.each([
    ["/v1/chat/completions", "{", 400, "body_not_json"],
    ["/v1/chat/completions", { messages: HI, tools: [{ type: "function" }] }, 400, "field_refused"],
    ["/v1/chat/completions", { messages: HI, model: "gpt-5" }, 404, "model_not_found"],
    ["/v1/completions", { prompt: [99_999] }, 400, "body_invalid"],
    ["/v1/responses", {}, 404, "unknown_url"],
    ["/v1/chat/completions?x=1", {}, 404, "unknown_url"],
  ])("answers bad requests to %s with an OpenAI error (%j)", async (path, body, status, code) => {
    const answer = await post(url, path, body);
    expect(answer.status).toBe(status);
    expect(await json(answer)).toMatchObject({ error: { code, message: expect.any(String) } });
  });

  test("refuses a body that is too large before it has read it, and one with an encoding", async () => {
    const call = httpRequest(new URL("/v1/completions", url), {
      method: "POST",
      agent: false,
      headers: { authorization: `Bearer ${KEY}`, "content-length": 17 * 1024 * 1024 },
    });
    call.on("error", () => {});
    call.flushHeaders();
    const [answer] = (await once(call, "response")) as [IncomingMessage];
    expect(answer.statusCode).toBe(413);
    expect(answer.headers.connection).toBe("close");
    call.destroy();
    const headers = { authorization: `Bearer ${KEY}`, "content-encoding": "gzip" };
    expect((await post(url, "/v1/completions", "x", { headers })).status).toBe(415);
  });

  test("runs past its context for as long as it is asked to when it is endless", async () => {
    const body = { prompt: "hi", max_tokens: 1_200, stream: true, stream_options: { include_usage: true } };
    const chunks = await events(await post(endless.url, "/v1/completions", body));
    const text = chunks.map((chunk) => chunk.choices[0]?.text ?? "").join("");
    expect(text.startsWith(`${DEMO_SENTENCE}\n${DEMO_SENTENCE}\n`)).toBe(true);
    expect(
      text
        .split("\n")
        .slice(0, -1)
        .every((line) => line === DEMO_SENTENCE),
    ).toBe(true);
    expect(chunks.at(-1)?.usage).toMatchObject({ completion_tokens: 1_200 });
  });

  test("stops when the caller leaves, streaming or waiting for the whole, and serves the next", async () => {
    // One sequence: the second and third call can only be answered when the one before has let go of it.
    const { call } = await openStream(endless.url, { prompt: "hi", stream: true });
    const controller = new AbortController();
    const waiting = post(endless.url, "/v1/completions", { prompt: "hi" }, { signal: controller.signal });
    const last = post(endless.url, "/v1/completions", { prompt: "hi", max_tokens: 1 });
    call.destroy();
    controller.abort();
    await expect(waiting).rejects.toThrow();
    expect((await last).status).toBe(200);
  });

  test("refuses what neither a sequence nor the queue has room for, and forgets callers that leave the queue", async () => {
    const { call } = await openStream(endless.url, { prompt: "hi", stream: true });
    const controller = new AbortController();
    const queued = Array.from({ length: QUEUE_LIMIT + 10 }, () =>
      post(endless.url, "/v1/completions", { prompt: "hi", max_tokens: 1 }, { signal: controller.signal }),
    );
    const refused = await Promise.any(
      queued.map(async (answer) =>
        (await answer).status === 503 ? await answer : await Promise.reject(new Error("other")),
      ),
    );
    expect(await json(refused)).toMatchObject({ error: { code: "overloaded" } });
    controller.abort();
    await Promise.allSettled(queued);
    call.destroy();
    expect((await post(endless.url, "/v1/completions", { prompt: "hi", max_tokens: 1 })).status).toBe(200);
  });
});
