import { gzipSync, zstdCompressSync } from "node:zlib";
import { afterEach, describe, expect, it } from "vitest";
import { chatBody } from "../../test/support/chat.ts";
import { type DataPlane, type DataPlaneOptions, startDataPlane } from "../../test/support/data-plane.ts";

// What the data plane does for every dialect; what each dialect does with its own bytes is tested beside it.

let plane: DataPlane;
async function start(options: DataPlaneOptions = {}): Promise<DataPlane> {
  plane = await startDataPlane(options);
  return plane;
}
afterEach(() => plane.close());

function post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`http://127.0.0.1:${plane.port}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${plane.key}`, "content-type": "application/json", ...headers },
    body: body instanceof Uint8Array ? new Uint8Array(body) : JSON.stringify(body),
  });
}

function get(path: string, headers: Record<string, string> = {}, method = "GET"): Promise<Response> {
  return fetch(`http://127.0.0.1:${plane.port}${path}`, {
    method,
    headers: { authorization: `Bearer ${plane.key}`, ...headers },
  });
}

async function json<T = object>(response: Response): Promise<T> {
  return (await response.json()) as T;
}

describe("a caller of another dialect than the engine", () => {
  it("gets its own stream, and the engine its own request", async () => {
    const { serve, closed } = await start();
    const [target] = serve("llama", "forge");
    const answering = post("/v1/messages", {
      model: "llama",
      max_tokens: 50,
      stream: true,
      system: "be short",
      messages: [{ role: "user", content: "hi" }],
    });
    const attempt = await target!.next();
    expect(attempt.request.path).toBe("/v1/chat/completions");
    expect(attempt.request.headers["postern-operation"]).toBe("openai.chat");
    expect(JSON.parse(String(attempt.request.body))).toMatchObject({
      model: "llama",
      stream: true,
      stream_options: { include_usage: true },
      messages: [
        { role: "system", content: "be short" },
        { role: "user", content: "hi" },
      ],
    });
    attempt.streamHead();
    attempt.token("Hel");
    attempt.token("lo");
    attempt.finish(7, 2);
    const response = await answering;
    expect(response.headers.get("content-type")).toBe("text/event-stream; charset=utf-8");
    const text = await response.text();
    expect([...text.matchAll(/^event: (.*)$/gm)].map(([, name]) => name)).toEqual([
      "message_start",
      "content_block_start",
      "content_block_delta",
      "content_block_delta",
      "content_block_stop",
      "message_delta",
      "message_stop",
    ]);
    expect(closed).toMatchObject([{ outcome: "ok", tokensIn: 7, tokensOut: 2, isEstimated: false }]);
  });

  it("gets lines of JSON where its dialect streams lines", async () => {
    const { serve } = await start();
    const [target] = serve("llama", "forge");
    const answering = post("/api/chat", { model: "llama", messages: [{ role: "user", content: "hi" }] });
    const attempt = await target!.next();
    attempt.streamHead();
    attempt.token("Hello");
    attempt.finish(7, 1);
    const response = await answering;
    expect(response.headers.get("content-type")).toBe("application/x-ndjson");
    const lines = (await response.text()).trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line).done)).toEqual([false, true]);
    expect(JSON.parse(lines[1] ?? "")).toMatchObject({ model: "llama", prompt_eval_count: 7, eval_count: 1 });
  });

  it("is told in its own dialect of an error that the engine tells in its own", async () => {
    const { serve, closed } = await start();
    const [target] = serve("llama", "forge");
    const answering = post("/v1/messages", chatBody("llama", { max_tokens: 5 }));
    const attempt = await target!.next();
    const error = { message: "the prompt is bad", type: "invalid_request_error", code: 400 };
    attempt.answer(400, { error });
    const response = await answering;
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({
      type: "error",
      error: { type: "invalid_request_error", message: expect.stringContaining("the prompt is bad") },
    });
    expect(closed).toMatchObject([{ outcome: "failed", status: 400, tokensOut: 0 }]);
  });

  it("is refused, with nothing sent and nothing recorded, where the engine's dialect has no words", async () => {
    const { serve, opened } = await start();
    const [target] = serve("llama", "forge");
    target!.operations = new Set(["anthropic.messages"]);
    const response = await post("/v1/chat/completions", chatBody("llama", { logit_bias: { 7: 3 } }));
    expect(response.status).toBe(400);
    expect(response.headers.get("x-postern-error")).toBe("untranslatable");
    expect(await response.json()).toMatchObject({ error: { param: "logit_bias" } });
    expect(target!.attempts).toHaveLength(0);
    expect(opened).toHaveLength(0);
  });

  it("goes to the target that has the words, although another comes first", async () => {
    const { serve } = await start();
    const [stranger, native] = serve("llama", "alpha", "beta");
    stranger!.operations = new Set(["anthropic.messages"]);
    const answering = post("/v1/chat/completions", chatBody("llama", { logit_bias: { 7: 3 } }));
    const attempt = await native!.next();
    attempt.answer(200, { choices: [{ message: { content: "x" }, finish_reason: "stop" }] });
    expect((await answering).headers.get("x-postern-served-by")).toBe("node/beta");
    expect(stranger!.attempts).toHaveLength(0);
  });

  it("changes dialects on the way when the first target fails before its first word", async () => {
    const { serve } = await start();
    const [first, second] = serve("llama", "alpha", "beta");
    second!.operations = new Set(["anthropic.messages"]);
    const answering = post("/v1/chat/completions", chatBody("llama", { max_tokens: 9 }));
    (await first!.next()).handler.onFailure({ phase: "connect", kind: "unreachable", detail: "gone" });
    const attempt = await second!.next();
    expect(attempt.request.path).toBe("/v1/messages");
    attempt.answer(200, {
      id: "m",
      type: "message",
      role: "assistant",
      model: "llama",
      content: [{ type: "text", text: "hello" }],
      stop_reason: "end_turn",
      stop_sequence: null,
      usage: { input_tokens: 3, output_tokens: 1 },
    });
    const answer = await (await answering).json();
    expect(answer).toMatchObject({ choices: [{ message: { content: "hello" }, finish_reason: "stop" }] });
  });
});

// From 2026-10-21 on sampling settings are refused. Own engines know no versions, and what is built for them is of 2023-06-01.
it("trap 19: no API version is passed on, and sampling settings are kept whatever the caller's is", async () => {
  const { serve } = await start();
  const [target] = serve("llama", "forge");
  target!.operations = new Set(["anthropic.messages"]);
  const settings = { max_tokens: 9, temperature: 0.5, top_p: 0.9 };
  for (const [path, headers] of [
    ["/v1/messages", { "anthropic-version": "2026-10-21", "anthropic-beta": "x" }],
    ["/v1/chat/completions", {}],
  ] as const) {
    const answering = post(path, chatBody("llama", settings), headers);
    const { request, handler } = await target!.next();
    expect(JSON.parse(String(request.body))).toMatchObject(settings);
    expect(Object.keys(request.headers).filter((name) => name.startsWith("anthropic"))).toEqual([]);
    handler.onFailure({ phase: "connect", kind: "unreachable", detail: "gone" });
    await answering;
  }
});

describe("what the gateway says itself", () => {
  it("lists models in the shape of who asks", async () => {
    const { serve } = await start();
    serve("b/model:7b", "forge");
    serve("a", "forge");
    const openai = await json<{ data: { id: string }[] }>(await get("/v1/models"));
    expect(openai.data.map(({ id }) => id)).toEqual(["a", "b/model:7b"]);
    const anthropic = await (await get("/v1/models?limit=1000", { "anthropic-version": "2023-06-01" })).json();
    expect(anthropic).toMatchObject({ has_more: false, data: [{ type: "model", id: "a" }, { type: "model" }] });
    const ollama = await json<{ models: { name: string }[] }>(await get("/api/tags"));
    expect(ollama.models.map(({ name }) => name)).toEqual(["a", "b/model:7b"]);
    expect(await (await get("/api/version")).json()).toHaveProperty("version");
    expect(await (await get("/v1/models/b%2Fmodel%3A7b")).json()).toMatchObject({ id: "b/model:7b" });
  });

  // The Anthropic package's models.retrieve() of an unknown model got OpenAI's error.
  it("says in the shape of who asks that a model does not exist", async () => {
    const { serve } = await start();
    serve("llama3:latest", "forge");
    expect(await (await get("/v1/models/llama3")).json()).toMatchObject({ id: "llama3:latest" });
    const none = await get("/v1/models/none", { "anthropic-version": "2023-06-01" });
    expect(none.status).toBe(404);
    expect(await none.json()).toMatchObject({ type: "error", error: { type: "not_found_error" } });
    expect(await (await get("/v1/models/none")).json()).toMatchObject({ error: { code: "model_not_found" } });
  });

  it("shows a model without what engines would leak, and only to a key that may use it", async () => {
    const { serve, addKey } = await start();
    serve("llama", "forge");
    const shown = await json(await post("/api/show", { model: "llama" }));
    expect(shown).toHaveProperty("details");
    expect(Object.keys(shown)).not.toContain("modelfile");
    expect((await post("/api/show", { model: "nobody" })).status).toBe(404);
    const other = addKey(["other"]);
    const denied = await post("/api/show", { model: "llama" }, { authorization: `Bearer ${other.key}` });
    expect(denied.status).toBe(404);
    expect(Object.keys(await json(denied))).toEqual(["error"]);
  });

  it("answers hellos without a key, and everything else not", async () => {
    await start();
    for (const path of ["/", "/api/hello"]) {
      const response = await get(path, { authorization: "" }, "HEAD");
      expect([path, response.status]).toEqual([path, 200]);
    }
    for (const path of ["/api/tags", "/api/ps", "/api/version", "/v1/models"]) {
      expect([path, (await get(path, { authorization: "" })).status]).toEqual([path, 401]);
    }
  });

  it("estimates a count where no target counts, and asks one that does", async () => {
    const { serve } = await start();
    const [target] = serve("llama", "forge");
    const body = { model: "llama", messages: [{ role: "user", content: "one two three four five" }] };
    const estimate = await json<{ input_tokens: number }>(await post("/v1/messages/count_tokens", body));
    expect(estimate.input_tokens).toBeGreaterThan(3);
    expect(target!.attempts).toHaveLength(0);
    target!.operations = new Set(["anthropic.count_tokens"]);
    const counting = post("/v1/messages/count_tokens", body);
    (await target!.next()).answer(200, { input_tokens: 12 });
    expect(await (await counting).json()).toEqual({ input_tokens: 12 });
  });

  it("answers Ollama's preload of a model whose engine knows no such thing", async () => {
    const { serve } = await start();
    const [target] = serve("llama", "forge");
    const answer = await (await post("/api/generate", { model: "llama" })).json();
    expect(answer).toMatchObject({ model: "llama", done: true, done_reason: "load" });
    expect(target!.attempts).toHaveLength(0);
  });

  it("does not call a model loaded whose engine is away", async () => {
    const { serve } = await start();
    const [target] = serve("llama", "forge");
    target!.isAccepting = false;
    for (const operation of ["ollama.chat", "openai.chat"]) {
      target!.operations = new Set([operation]);
      const answer = await post("/api/chat", { model: "llama" });
      expect([answer.status, answer.headers.get("x-postern-error")]).toEqual([503, "no_target"]);
    }
  });

  it("does not serve what is opt-in unless the operator opted in", async () => {
    await start();
    expect((await post("/v1/rerank", { model: "llama", query: "q", documents: ["d"] })).status).toBe(404);
  });
});

describe("names", () => {
  it("of Ollama stand for each other, and the key's policy judges the one that is known", async () => {
    const { serve, addKey, opened } = await start();
    const [target] = serve("llama3:latest", "forge");
    const answering = post("/v1/chat/completions", chatBody("llama3"));
    const attempt = await target!.next();
    expect(JSON.parse(String(attempt.request.body)).model).toBe("llama3:latest");
    attempt.answer(200, { choices: [{ message: { content: "x" }, finish_reason: "stop" }] });
    expect((await answering).status).toBe(200);
    expect(opened[0]?.model).toBe("llama3:latest");
    const short = addKey(["llama3"]);
    const denied = await post("/v1/chat/completions", chatBody("llama3"), { authorization: `Bearer ${short.key}` });
    expect(denied.status).toBe(404);
  });
});

it("a field that is brought down and then has no counterpart is named once, as removed", async () => {
  const { serve } = await start();
  const [target] = serve("llama", "forge");
  const answering = post("/api/chat", { ...chatBody("llama"), stream: false, options: { num_ctx: 10_000 } });
  const attempt = await target!.next();
  attempt.answer(200, { choices: [{ message: { content: "x" }, finish_reason: "stop" }] });
  expect((await answering).headers.get("x-postern-removed-fields")).toBe("options.num_ctx");
});

describe("a compressed body", () => {
  const body = Buffer.from(JSON.stringify(chatBody("llama")));

  for (const [coding, compress] of [
    ["zstd", zstdCompressSync],
    ["gzip", gzipSync],
  ] as const) {
    it(`of ${coding} is read, and goes on plain`, async () => {
      const { serve } = await start();
      const [target] = serve("llama", "forge");
      const answering = post("/v1/chat/completions", compress(body), { "content-encoding": coding });
      const attempt = await target!.next();
      expect(JSON.parse(String(attempt.request.body))).toMatchObject({ model: "llama" });
      attempt.answer(200, { choices: [{ message: { content: "x" }, finish_reason: "stop" }] });
      expect((await answering).status).toBe(200);
    });

    it(`of ${coding} that unfolds beyond the limit is refused, and its memory given back`, async () => {
      const { serve } = await start({ limits: { bodyBytes: 64 * 1024, bodyMemoryBytes: 160 * 1024 } });
      const [target] = serve("llama", "forge");
      const bomb = compress(Buffer.alloc(64 * 1024 * 1024, 0x20));
      for (let turn = 0; turn < 3; turn++) {
        const refused = await post("/v1/chat/completions", bomb, { "content-encoding": coding });
        expect([refused.status, refused.headers.get("x-postern-error")]).toEqual([413, "body_too_large"]);
      }
      const answering = post("/v1/chat/completions", compress(body), { "content-encoding": coding });
      (await target!.next()).answer(200, { choices: [{ message: { content: "x" }, finish_reason: "stop" }] });
      expect((await answering).status).toBe(200);
    });
  }

  it("that is not what it says is refused", async () => {
    await start();
    for (const coding of ["zstd", "gzip", "br", "gzip, gzip", "deflate"]) {
      const refused = await post("/v1/chat/completions", body, { "content-encoding": coding });
      expect([coding, refused.status]).toEqual([coding, 415]);
    }
  });
});

describe("a prompt that Ollama might cut in silence", () => {
  const operations = new Set(["openai.chat", "anthropic.messages", "ollama.chat"]);

  it("goes to the one operation that can be told not to, and its refusal makes clients compact", async () => {
    const { serve } = await start();
    const [target] = serve("llama", "forge");
    Object.assign(target!, { engineKind: "ollama", contextLength: 1000, operations });
    const messages = [{ role: "user", content: "word ".repeat(4000) }];
    const answering = post("/v1/messages", { model: "llama", max_tokens: 5, messages });
    const attempt = await target!.next();
    expect(attempt.request.path).toBe("/api/chat");
    expect(JSON.parse(String(attempt.request.body))).toMatchObject({ truncate: false, shift: false });
    attempt.answer(400, { error: "the input length exceeds the context length" });
    const refused = await answering;
    expect(refused.status).toBe(400);
    expect((await json<{ error: { message: string } }>(refused)).error.message).toContain(
      "capability_rejected: prompt_too_long",
    );
  });

  it("passes where it is short, and where the other operation has no words for it", async () => {
    const { serve } = await start();
    const [target] = serve("llama", "forge");
    Object.assign(target!, { engineKind: "ollama", contextLength: 1000, operations });
    const short = post("/v1/chat/completions", chatBody("llama"));
    const first = await target!.next();
    const long = [{ role: "user", content: "word ".repeat(4000) }];
    const other = post("/v1/chat/completions", { model: "llama", messages: long, logit_bias: { 7: 3 } });
    const second = await target!.next();
    for (const attempt of [first, second]) {
      expect(attempt.request.path).toBe("/v1/chat/completions");
      attempt.answer(200, { choices: [{ message: { content: "x" }, finish_reason: "stop" }] });
    }
    expect([(await short).status, (await other).status]).toEqual([200, 200]);
  });
});
