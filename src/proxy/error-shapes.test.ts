import { afterEach, describe, expect, it } from "vitest";
import { type DataPlane, type DataPlaneOptions, startDataPlane } from "../../test/support/data-plane.ts";
import type { PlayedAttempt, PlayedTarget } from "../../test/support/played-target.ts";
import { RawConnection } from "../../test/support/raw-connection.ts";
import type { Family } from "../dialects/error-body.ts";
import { OPERATIONS } from "../dialects/operations.ts";
import { ERRORS, type ErrorCode } from "../errors.ts";

// Every failure that the gateway tells of itself, on every operation: the shape that clients of the path's dialect read, the
// status that they know it by, and the headers by which their retries go (reference: engine-apis §3.2, §4.4, §7.3).

interface Served {
  family: Family;
  path: string;
  /** A smallest body that passes. */
  body: Record<string, unknown>;
  /** A member that is refused, and one that is of the wrong kind. */
  refused: Record<string, unknown>;
  invalid: Record<string, unknown>;
  /** An operation that can be asked only in translation, with a member for which it has no words; null where there is none. */
  stranger: { operation: string; fields: Record<string, unknown> } | null;
}

const MESSAGES = [{ role: "user", content: "hi" }];
const UNKNOWN_FIELD = { raw: true };

const SERVED: Record<string, Served> = {
  "openai.chat": {
    family: "openai",
    path: "/v1/chat/completions",
    body: { model: "m", messages: MESSAGES },
    refused: { n_discard: -1 },
    invalid: { messages: {} },
    stranger: { operation: "anthropic.messages", fields: { logit_bias: { 7: 1 } } },
  },
  "openai.completions": {
    family: "openai",
    path: "/v1/completions",
    body: { model: "m", prompt: "hi" },
    refused: { grammar: "x" },
    invalid: { prompt: 7 },
    stranger: null,
  },
  "openai.embeddings": {
    family: "openai",
    path: "/v1/embeddings",
    body: { model: "m", input: "hi" },
    refused: { prompt_embeds: "x" },
    invalid: { input: 7 },
    stranger: { operation: "ollama.embed", fields: { input: [1, 2] } },
  },
  "openai.rerank": {
    family: "openai",
    path: "/v1/rerank",
    body: { model: "m", query: "q", documents: ["d"] },
    refused: { n_discard: -1 },
    invalid: { documents: 7 },
    stranger: null,
  },
  "openai.responses": {
    family: "openai",
    path: "/v1/responses",
    body: { model: "m", input: "hi" },
    refused: { previous_response_id: "resp_1" },
    invalid: { tools: [7] },
    stranger: { operation: "openai.chat", fields: { tools: [{ type: "custom", name: "f" }] } },
  },
  "anthropic.messages": {
    family: "anthropic",
    path: "/v1/messages",
    body: { model: "m", max_tokens: 5, messages: MESSAGES },
    refused: { n_discard: -1 },
    invalid: { messages: 7 },
    stranger: {
      operation: "openai.chat",
      fields: { tools: [{ type: "bash_20250124", name: "bash" }] },
    },
  },
  "anthropic.count_tokens": {
    family: "anthropic",
    path: "/v1/messages/count_tokens",
    body: { model: "m", messages: MESSAGES },
    refused: { lora: 1 },
    invalid: { messages: 7 },
    stranger: null,
  },
  "ollama.chat": {
    family: "ollama",
    path: "/api/chat",
    body: { model: "m", messages: MESSAGES },
    refused: { keep_alive: 0, messages: [] },
    invalid: { messages: 7 },
    stranger: { operation: "anthropic.messages", fields: { options: { presence_penalty: 1 } } },
  },
  "ollama.generate": {
    family: "ollama",
    path: "/api/generate",
    body: { model: "m", prompt: "hi" },
    refused: UNKNOWN_FIELD,
    invalid: { prompt: 7 },
    stranger: { operation: "openai.chat", fields: { suffix: "x" } },
  },
  "ollama.embed": {
    family: "ollama",
    path: "/api/embed",
    body: { model: "m", input: "hi" },
    refused: { n_discard: -1 },
    invalid: { input: 7 },
    stranger: null,
  },
  "ollama.embeddings": {
    family: "ollama",
    path: "/api/embeddings",
    body: { model: "m", prompt: "hi" },
    refused: { n_discard: -1 },
    invalid: { prompt: 7 },
    stranger: null,
  },
};
const IDS = Object.keys(SERVED);
const NO_OPERATIONS = new Set(["postern.none"]);

let plane: DataPlane;
let target: PlayedTarget;

async function start(id: string, options: DataPlaneOptions = {}): Promise<void> {
  const once = { optedIn: ["openai.rerank"], limits: { attempts: 1 }, timeouts: { loadingMs: 0 } };
  plane = await startDataPlane({ ...once, ...options });
  [target] = plane.serve("m", "forge") as [PlayedTarget];
  target.operations = new Set([id]);
}
afterEach(() => plane.close());

function post(id: string, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`http://127.0.0.1:${plane.port}${SERVED[id]?.path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${plane.key}`, "content-type": "application/json", ...headers },
    body: typeof body === "string" || body instanceof Uint8Array ? (body as string) : JSON.stringify(body),
  });
}

function bodyOf(id: string, fields: Record<string, unknown> = {}): Record<string, unknown> {
  return { ...SERVED[id]?.body, ...fields };
}

/** The body of a dialect's error, and nothing else in it. */
function shapeOf(family: Family, code: ErrorCode): unknown {
  const { openai, anthropic } = ERRORS[code];
  const message = expect.stringMatching(/./);
  switch (family) {
    case "openai":
      return { error: { message, type: openai.type, param: expect.toSatisfy(isParam), code: openai.code } };
    case "anthropic":
      return { type: "error", error: { type: anthropic, message }, request_id: expect.any(String) };
    case "ollama":
      return { error: message };
  }
}

const isParam = (param: unknown) => param === null || typeof param === "string";

async function expectRefusal(family: Family, code: ErrorCode, response: Response): Promise<void> {
  const text = await response.text();
  const { headers } = response;
  expect([headers.get("x-postern-error"), text]).toEqual([code, text]);
  const { status, retryable } = ERRORS[code];
  expect(response.status).toBe(family === "anthropic" && status === 503 ? 529 : status);
  expect(JSON.parse(text)).toEqual(shapeOf(family, code));
  expect(headers.get("content-type")).toBe("application/json");
  expect(headers.get("content-length")).toBe(String(Buffer.byteLength(text)));
  expect(headers.get("x-should-retry")).toBe(String(retryable));
  const retryAfter = headers.get("retry-after");
  const isOverload = status === 429 || status === 503;
  expect(retryAfter === null ? 0 : Number(retryAfter)).toSatisfy((seconds: number) =>
    isOverload ? seconds >= 1 && seconds <= 60 : seconds === 0,
  );
  const id = headers.get("x-request-id");
  expect(id).toMatch(/^[0-9a-f-]{36}$/);
  expect(headers.get("request-id")).toBe(id);
  if (family === "anthropic") expect(JSON.parse(text).request_id).toBe(id);
}

it("the table names every operation that goes to targets, forms aside", async () => {
  await start("openai.chat");
  const served = OPERATIONS.filter(
    ({ id, kind }) => (kind === "infer" || kind === "count") && id !== "openai.transcriptions",
  );
  expect(IDS.toSorted()).toEqual(served.map(({ id }) => id).toSorted());
});

/** Refusals before anything is sent. What each needs to happen, and the request that meets it. */
interface Refusal {
  code: ErrorCode;
  options?: DataPlaneOptions;
  send(id: string): Promise<Response> | Response;
  isFor?: (id: string) => boolean;
}

const REFUSALS: Record<string, Refusal> = {
  "no key": { code: "unauthorized", send: (id) => post(id, bodyOf(id), { authorization: "" }) },
  "a wrong key": { code: "unauthorized", send: (id) => post(id, bodyOf(id), { authorization: "Bearer sk-1" }) },
  "a revoked key": {
    code: "unauthorized",
    send(id) {
      plane.changeKey(plane.keyId, { revokedAtMs: plane.clock.nowMs() });
      return post(id, bodyOf(id));
    },
  },
  "too many wrong keys": {
    code: "too_many_failures",
    options: { limits: { authFailuresPerMinute: 1 } },
    async send(id) {
      await post(id, bodyOf(id), { authorization: "Bearer sk-1" });
      return post(id, bodyOf(id), { authorization: "Bearer sk-1" });
    },
  },
  "the other method": { code: "unknown_operation", send: (id) => get(id, SERVED[id]?.path ?? "") },
  "a key in the URL": { code: "key_in_query", send: (id) => get(id, `${SERVED[id]?.path}?api_key=x`) },
  "a foreign host": {
    code: "bad_host",
    send: (id) => raw(id, "Host: elsewhere.example\r\n"),
  },
  "two hosts": { code: "bad_request", send: (id) => raw(id, "Host: localhost\r\nHost: localhost\r\n") },
  "too many requests of the key": {
    code: "too_many_requests",
    options: { limits: { requestsPerKey: 0 } },
    send: (id) => post(id, bodyOf(id)),
  },
  "too many requests": {
    code: "overloaded",
    options: { limits: { requests: 0 } },
    send: (id) => post(id, bodyOf(id)),
  },
  "too many bodies": {
    code: "overloaded",
    options: { limits: { bodyMemoryBytes: 8 } },
    send: (id) => post(id, bodyOf(id)),
  },
  "a gateway that goes down": {
    code: "shutting_down",
    send(id) {
      plane.pipeline.stopAll();
      return post(id, bodyOf(id));
    },
  },
  "a body too large": {
    code: "body_too_large",
    options: { limits: { bodyBytes: 8 } },
    send: (id) => post(id, bodyOf(id)),
  },
  "an unknown coding": { code: "body_encoding", send: (id) => post(id, bodyOf(id), { "content-encoding": "br" }) },
  "a coding that it is not": {
    code: "body_encoding",
    send: (id) => post(id, bodyOf(id), { "content-encoding": "zstd" }),
  },
  "no UTF-8": { code: "body_encoding", send: (id) => post(id, Buffer.from('{"model":"\xff"}', "latin1")) },
  "no JSON": { code: "body_not_json", send: (id) => post(id, "{") },
  "no body": { code: "body_not_json", send: (id) => post(id, "") },
  "two models": { code: "body_ambiguous", send: (id) => post(id, '{"model":"m","MODEL":"n"}') },
  "deep nesting": { code: "body_too_deep", send: (id) => post(id, `{"a":${"[".repeat(99)}${"]".repeat(99)}}`) },
  "no model": { code: "model_missing", send: (id) => post(id, bodyOf(id, { model: undefined })) },
  "an unknown model": { code: "model_not_found", send: (id) => post(id, bodyOf(id, { model: "nobody" })) },
  "a member of the wrong kind": { code: "body_invalid", send: (id) => post(id, bodyOf(id, SERVED[id]?.invalid)) },
  "a dangerous member": { code: "field_refused", send: (id) => post(id, bodyOf(id, SERVED[id]?.refused)) },
  "a model that serves no such thing": {
    code: "body_invalid",
    isFor: (id) => id !== "anthropic.count_tokens",
    send(id) {
      target.operations = NO_OPERATIONS;
      return post(id, bodyOf(id));
    },
  },
  "what the target's dialect cannot say": {
    code: "untranslatable",
    isFor: (id) => SERVED[id]?.stranger !== null,
    send(id) {
      const { operation = "", fields = {} } = SERVED[id]?.stranger ?? {};
      target.operations = new Set([operation]);
      return post(id, bodyOf(id, fields));
    },
  },
  "nobody there": {
    code: "no_target",
    isFor: (id) => id !== "anthropic.count_tokens",
    send(id) {
      target.isAccepting = false;
      return post(id, bodyOf(id));
    },
  },
  "a model that is loaded": {
    code: "engine_loading",
    isFor: (id) => id !== "anthropic.count_tokens",
    send(id) {
      target.isAccepting = false;
      target.isLoading = true;
      return post(id, bodyOf(id));
    },
  },
};

function get(_id: string, path: string): Promise<Response> {
  return fetch(`http://127.0.0.1:${plane.port}${path}`, { headers: { authorization: `Bearer ${plane.key}` } });
}

/** A request whose head is written by hand. */
async function raw(id: string, hosts: string): Promise<Response> {
  const caller = new RawConnection(
    plane.port,
    `POST ${SERVED[id]?.path} HTTP/1.1\r\n${hosts}Authorization: Bearer ${plane.key}\r\nContent-Length: 2\r\n\r\n{}`,
  );
  const text = await caller.untilClosed();
  const [head = "", body = ""] = text.split("\r\n\r\n");
  const headers = head
    .split("\r\n")
    .slice(1)
    .map((line) => line.split(": ", 2) as [string, string]);
  return new Response(body, { status: caller.status, headers });
}

describe.each(IDS)("%s refuses", (id) => {
  for (const [name, { code, options, send, isFor }] of Object.entries(REFUSALS)) {
    if (isFor?.(id) === false) continue;
    it(`${name} with ${code}`, async () => {
      await start(id, options);
      await expectRefusal(SERVED[id]?.family ?? "openai", code, await send(id));
      expect(target.attempts).toHaveLength(0);
      expect(plane.opened).toHaveLength(0);
      expect(plane.pipeline.running).toBe(0);
    });
  }
});

/** What an engine may do before the first word, and how it is told. */
const FAILURES: Record<string, { code: ErrorCode; fail(attempt: PlayedAttempt): void }> = {
  "cannot be reached": {
    code: "engine_unreachable",
    fail: ({ handler }) => handler.onFailure({ phase: "connect", kind: "unreachable", detail: "gone" }),
  },
  "takes no more": {
    code: "engine_refused",
    fail: ({ handler }) => handler.onFailure({ phase: "request", kind: "refused", detail: "full" }),
  },
  "is cut off": {
    code: "link_lost",
    fail: ({ handler }) => handler.onFailure({ phase: "request", kind: "reset", detail: "reset" }),
  },
  "breaks off": {
    code: "engine_cut",
    fail({ handler }) {
      handler.onHead(200, { "content-type": "application/json" });
      handler.onFailure({ phase: "body", kind: "cut", detail: "cut" });
    },
  },
  "is denied by its agent": {
    code: "agent_denied",
    fail: ({ handler }) => handler.onFailure({ phase: "connect", kind: "denied", detail: "no" }),
  },
  "answers no dialect": {
    code: "engine_bad_answer",
    fail: ({ handler }) => handler.onHead(200, { "content-type": "text/html" }),
  },
  "answers something else": { code: "engine_bad_answer", fail: (attempt) => attempt.answer(200, { hello: "world" }) },
  "refuses the agent's key": { code: "engine_denied", fail: (attempt) => attempt.answer(401, { error: "key" }) },
  "fails without words": {
    code: "engine_failed",
    fail({ handler }) {
      handler.onHead(500, { "content-type": "text/plain" });
      handler.onEnd();
    },
  },
  "is too busy, without words": {
    code: "engine_refused",
    fail({ handler }) {
      handler.onHead(503, { "content-type": "text/plain" });
      handler.onEnd();
    },
  },
  "never answers": { code: "deadline", fail: () => plane.clock.advance(3_601_000) },
  "runs on a gateway that goes down": { code: "shutting_down", fail: () => plane.pipeline.stopAll() },
  "answers a key that is revoked": {
    code: "revoked",
    fail: () => plane.changeKey(plane.keyId, { revokedAtMs: plane.clock.nowMs() }),
  },
};

describe.each(IDS)("%s tells of an engine that", (id) => {
  it.each(Object.entries(FAILURES))("%s", async (_name, { code, fail }) => {
    await start(id);
    const answering = post(id, bodyOf(id, { stream: false }));
    fail(await target.next());
    await expectRefusal(SERVED[id]?.family ?? "openai", code, await answering);
    const status = SERVED[id]?.family === "anthropic" && ERRORS[code].status === 503 ? 529 : ERRORS[code].status;
    expect(plane.closed).toMatchObject([{ status, errorCode: code }]);
    expect(target.inFlight).toBe(0);
  });
});

describe.each(IDS)("%s keeps an engine's own words", (id) => {
  const family = SERVED[id]?.family ?? "openai";

  it.each([429, 503])("with status %d, and says when to come back", async (status) => {
    await start(id);
    const answering = post(id, bodyOf(id, { stream: false }));
    const error =
      family === "ollama" ? "Loading model" : { message: "Loading model", type: "unavailable_error", code: 503 };
    (await target.next()).answer(status, { error });
    const response = await answering;
    expect(await response.text()).toContain("Loading model");
    expect(response.status).toBe(status === 503 && family === "anthropic" ? 529 : status);
    expect(response.headers.get("retry-after")).toBe("2");
    expect(response.headers.get("x-postern-error")).toBeNull();
  });

  it("about the request, with nothing added", async () => {
    await start(id);
    const answering = post(id, bodyOf(id, { stream: false }));
    const error = family === "ollama" ? "no such thing" : { message: "no such thing", type: "invalid_request_error" };
    (await target.next()).answer(400, { error });
    const response = await answering;
    expect([response.status, response.headers.get("retry-after")]).toEqual([400, null]);
    expect(await response.text()).toContain("no such thing");
  });
});

/** How each streaming operation looks on the wire: what an engine of its own dialect says, and what its callers read. */
interface Streamed {
  /** What a stream that has begun, without content so far, says; and then a first word. */
  begin: string;
  word: string;
  /** A record that keeps the stream alive before its first word, and after it. */
  alive: RegExp;
  aliveLater: RegExp;
  /** The in-band error of this code, in the last record. */
  told(code: ErrorCode): unknown;
  /** What only a complete stream has. */
  terminator: RegExp;
}

const sse = (event: string, data: object) => `event: ${event}\ndata: ${JSON.stringify({ type: event, ...data })}\n\n`;
const data = (value: object) => `data: ${JSON.stringify(value)}\n\n`;
const line = (value: object) => `${JSON.stringify(value)}\n`;
const RESPONSE = { id: "resp_1", object: "response", status: "in_progress", output: [] };
const MESSAGE = {
  id: "msg_1",
  type: "message",
  role: "assistant",
  model: "m",
  content: [],
  usage: { input_tokens: 1 },
};
const CHUNK = { model: "m", created_at: "2026-01-01T00:00:00Z", done: false };
const COMMENT = /^: ping\n\n$/;

const openAiError = (code: ErrorCode) => ({ data: shapeOf("openai", code) });
const ollamaError = (code: ErrorCode) => shapeOf("ollama", code);

const STREAMED: Record<string, Streamed> = {
  "openai.chat": {
    begin: data({ id: "c", choices: [{ index: 0, delta: { role: "assistant" }, finish_reason: null }] }),
    word: data({ id: "c", choices: [{ index: 0, delta: { content: "word" }, finish_reason: null }] }),
    alive: COMMENT,
    aliveLater: COMMENT,
    told: openAiError,
    terminator: /\[DONE\]/,
  },
  "openai.completions": {
    begin: data({ id: "c", choices: [{ index: 0, text: "", finish_reason: null }] }),
    word: data({ id: "c", choices: [{ index: 0, text: "word", finish_reason: null }] }),
    alive: COMMENT,
    aliveLater: COMMENT,
    told: openAiError,
    terminator: /\[DONE\]/,
  },
  "openai.responses": {
    begin: sse("response.created", { sequence_number: 0, response: RESPONSE }),
    word: sse("response.output_text.delta", { sequence_number: 1, output_index: 0, content_index: 0, delta: "word" }),
    alive: COMMENT,
    aliveLater: /^event: keepalive\ndata: \{"type":"keepalive","sequence_number":\d+\}\n\n$/,
    told: (code) => ({
      event: "response.failed",
      data: {
        type: "response.failed",
        sequence_number: expect.any(Number),
        response: expect.objectContaining({
          id: expect.stringMatching(/^resp_/),
          object: "response",
          status: "failed",
          error: { code: ERRORS[code].openai.code, message: expect.stringMatching(/./) },
        }),
      },
    }),
    terminator: /response\.(?:completed|incomplete)|\[DONE\]/,
  },
  "anthropic.messages": {
    begin: sse("message_start", { message: MESSAGE }),
    word:
      sse("content_block_start", { index: 0, content_block: { type: "text", text: "" } }) +
      sse("content_block_delta", { index: 0, delta: { type: "text_delta", text: "word" } }),
    alive: /^event: ping\ndata: \{"type":"ping"\}\n\n$/,
    aliveLater: /^event: ping\ndata: \{"type":"ping"\}\n\n$/,
    told: (code) => ({
      event: "error",
      data: { type: "error", error: { type: ERRORS[code].anthropic, message: expect.stringMatching(/./) } },
    }),
    terminator: /message_stop|message_delta/,
  },
  "ollama.chat": {
    begin: line({ ...CHUNK, message: { role: "assistant", content: "" } }),
    word: line({ ...CHUNK, message: { role: "assistant", content: "word" } }),
    alive: /^\{"model":"m","created_at":"[^"]+","message":\{"role":"assistant","content":""\},"done":false\}\n$/,
    aliveLater: /^\{"model":"m","created_at":"[^"]+","message":\{"role":"assistant","content":""\},"done":false\}\n$/,
    told: ollamaError,
    terminator: /"done":true/,
  },
  "ollama.generate": {
    begin: line({ ...CHUNK, response: "" }),
    word: line({ ...CHUNK, response: "word" }),
    alive: /^\{"model":"m","created_at":"[^"]+","response":"","done":false\}\n$/,
    aliveLater: /^\{"model":"m","created_at":"[^"]+","response":"","done":false\}\n$/,
    told: ollamaError,
    terminator: /"done":true/,
  },
};
/** Every way from a caller to an engine: its own dialect first, then one that is translated. */
const WAYS = Object.keys(STREAMED).flatMap((id) => {
  const other = { "openai.chat": ["anthropic.messages", "ollama.chat"], "openai.completions": [] }[id] ?? [
    "openai.chat",
  ];
  return [id, ...other].map((engine) => [id, engine] as const);
});

/** A streamed request that has reached its engine. */
async function stream(id: string, engine: string): Promise<{ caller: RawConnection; attempt: PlayedAttempt }> {
  await start(engine);
  const body = JSON.stringify(bodyOf(id, { stream: true }));
  const caller = new RawConnection(
    plane.port,
    `POST ${SERVED[id]?.path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${plane.key}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
  );
  return { caller, attempt: await target.next() };
}

function headOf(engine: string, { handler }: PlayedAttempt): void {
  const type = engine.startsWith("ollama") ? "application/x-ndjson" : "text/event-stream";
  handler.onHead(200, { "content-type": type });
}

/** The body so far, without its framing. */
function bodySoFar(caller: RawConnection): string {
  const text = caller.text.slice(caller.text.indexOf("\r\n\r\n") + 4);
  return text.replace(/[0-9a-f]+\r\n([\s\S]*?)\r\n(?=[0-9a-f]+\r\n|$)/g, "$1");
}

/** The last record of a stream, parsed. */
function lastRecord(family: Family, body: string): unknown {
  if (family === "ollama") return JSON.parse(body.trimEnd().split("\n").at(-1) ?? "");
  const record = body.trimEnd().split("\n\n").at(-1) ?? "";
  const event = /^event: (.*)$/m.exec(record)?.[1];
  const parsed: unknown = JSON.parse(/^data: (.*)$/m.exec(record)?.[1] ?? "");
  return event === undefined ? { data: parsed } : { event, data: parsed };
}

async function expectBrokenOff(id: string, caller: RawConnection, code: ErrorCode): Promise<void> {
  const text = await caller.untilClosed();
  expect(caller.status).toBe(200);
  const body = bodySoFar(caller);
  expect(lastRecord(SERVED[id]?.family ?? "openai", body)).toEqual(STREAMED[id]?.told(code));
  expect(body).not.toMatch(STREAMED[id]?.terminator ?? /./);
  // Codex said "error decoding response body" instead of the error: there the error is an end of its own.
  expect(text.endsWith("\r\n0\r\n\r\n")).toBe(id === "openai.responses");
  expect(plane.closed).toMatchObject([{ status: 200, outcome: expect.stringMatching(/failed|stopped/) }]);
}

describe.each(WAYS)("a stream of %s from %s", (id, engine) => {
  const family = SERVED[id]?.family ?? "openai";

  it("that fails inside the hold has a status of its own, although the engine had begun", async () => {
    const { caller, attempt } = await stream(id, engine);
    headOf(engine, attempt);
    attempt.data(STREAMED[engine]?.begin ?? "");
    plane.clock.advance(9_000);
    expect(caller.text).toBe("");
    attempt.handler.onFailure({ phase: "body", kind: "cut", detail: "cut" });
    await caller.until("\r\n\r\n");
    expect(caller.status).toBe(502);
    expect(caller.text).toContain("x-postern-error: engine_cut");
    const body = caller.text.slice(caller.text.indexOf("\r\n\r\n") + 4);
    expect(JSON.parse(body)).toEqual(shapeOf(family, "engine_cut"));
    caller.socket.destroy();
  });

  it("is kept alive from the hold on, every 15 s, and told in-band of what comes after", async () => {
    const { caller, attempt } = await stream(id, engine);
    plane.clock.advance(10_500);
    await caller.until("\r\n\r\n");
    expect(caller.text).toContain("X-Postern-Served-By: pending");
    plane.clock.advance(14_000);
    expect(bodySoFar(caller)).toBe("");
    plane.clock.advance(1_500);
    await caller.until(family === "ollama" ? '"done":false}\n' : "ping");
    expect(bodySoFar(caller)).toMatch(STREAMED[id]?.alive ?? /^$/);
    attempt.handler.onFailure({ phase: "request", kind: "reset", detail: "reset" });
    await expectBrokenOff(id, caller, "link_lost");
  });

  it("that was committed says in-band what the engine answers with a status", async () => {
    const { caller, attempt } = await stream(id, engine);
    plane.clock.advance(10_500);
    attempt.answer(400, { error: "the prompt is longer than the context: 9000 tokens, 4096 maximum" });
    const text = await caller.untilClosed();
    expect(text).toMatch(/the prompt is longer than the context|prompt is too long/);
    expect(bodySoFar(caller)).not.toMatch(STREAMED[id]?.terminator ?? /./);
  });

  it("that stands still is kept alive between its records, and ended in-band", async () => {
    const { caller, attempt } = await stream(id, engine);
    headOf(engine, attempt);
    attempt.data(`${STREAMED[engine]?.begin}${STREAMED[engine]?.word}`);
    await caller.until("word");
    const before = bodySoFar(caller);
    plane.clock.advance(15_500);
    attempt.handler.onFailure({ phase: "body", kind: "reset", detail: "reset" });
    await expectBrokenOff(id, caller, "link_lost");
    const added = bodySoFar(caller).slice(before.length);
    const cut = added.lastIndexOf(
      family === "ollama"
        ? '{"error"'
        : family === "anthropic"
          ? "event: error"
          : id === "openai.responses"
            ? "event: error"
            : "data: {",
    );
    expect(added.slice(0, cut)).toMatch(STREAMED[id]?.aliveLater ?? /^$/);
  });

  it.each([
    ["engine_stalled", () => plane.clock.advance(121_000)],
    ["shutting_down", () => plane.pipeline.stopAll()],
    ["revoked", () => plane.changeKey(plane.keyId, { revokedAtMs: plane.clock.nowMs() })],
  ] as const)("ends with %s in-band after its first word", async (code, trouble) => {
    const { caller, attempt } = await stream(id, engine);
    headOf(engine, attempt);
    attempt.data(`${STREAMED[engine]?.begin}${STREAMED[engine]?.word}`);
    await caller.until("word");
    trouble();
    await expectBrokenOff(id, caller, code);
  });

  it("that the engine ends without its finish is cut, for its caller", async () => {
    const { caller, attempt } = await stream(id, engine);
    headOf(engine, attempt);
    attempt.data(`${STREAMED[engine]?.begin}${STREAMED[engine]?.word}`);
    attempt.handler.onEnd();
    await expectBrokenOff(id, caller, "engine_cut");
  });
});

it("a model that Ollama loads longer than the hold ends its stream as it does", async () => {
  const { caller, attempt } = await stream("ollama.generate", "ollama.generate");
  plane.clock.advance(10_500);
  await caller.until("\r\n\r\n");
  attempt.answer(200, { ...CHUNK, response: "", done: true, done_reason: "load" });
  await caller.until("\r\n0\r\n\r\n");
  expect(bodySoFar(caller)).toContain('"done_reason":"load"');
  expect(plane.closed).toMatchObject([{ outcome: "ok", status: 200 }]);
  caller.socket.destroy();
});

/** What the gateway answers from its catalogue: method, path, family, and what an Anthropic client says of itself. */
const OWN: [string, string, Family, Record<string, string>][] = [
  ["GET", "/v1/models", "openai", {}],
  ["GET", "/v1/models", "anthropic", { "anthropic-version": "2023-06-01" }],
  ["GET", "/v1/models/nobody", "openai", {}],
  ["GET", "/v1/models/nobody", "anthropic", { "anthropic-version": "2023-06-01" }],
  ["GET", "/api/tags", "ollama", {}],
  ["GET", "/api/ps", "ollama", {}],
  ["GET", "/api/version", "ollama", {}],
  ["POST", "/api/show", "ollama", {}],
];

describe.each(OWN)("%s %s of an %s client refuses", (method, path, family, headers) => {
  function ask(extra: Record<string, string> = {}, body = '{"model":"nobody"}', at = path): Promise<Response> {
    return fetch(`http://127.0.0.1:${plane.port}${at}`, {
      method,
      headers: { authorization: `Bearer ${plane.key}`, ...headers, ...extra },
      ...(method === "POST" ? { body } : {}),
    });
  }

  it("a wrong key, a key in the URL and a gateway that goes down", async () => {
    await start("openai.chat");
    await expectRefusal(family, "unauthorized", await ask({ authorization: "Bearer no" }));
    // What the caller speaks is known from the path alone then.
    const pathFamily = family === "ollama" ? "ollama" : "openai";
    await expectRefusal(pathFamily, "key_in_query", await ask({}, "{}", `${path}?key=x`));
    plane.pipeline.stopAll();
    await expectRefusal(family, "shutting_down", await ask());
  });

  if (/nobody|show/.test(path))
    it("a model that nobody has", async () => {
      await start("openai.chat");
      await expectRefusal(family, "model_not_found", await ask());
    });

  if (method === "POST")
    it("what is no body", async () => {
      await start("openai.chat");
      await expectRefusal(family, "body_not_json", await ask({}, "{"));
      await expectRefusal(family, "body_encoding", await ask({ "content-encoding": "br" }));
      await expectRefusal(family, "model_missing", await ask({}, "{}"));
      await expectRefusal(family, "body_ambiguous", await ask({}, '{"model":"m","Model":"m"}'));
    });
});

it.each(["/v1/unknown", "/api/pull", "/api/blobs/sha256:0", "/v1/messages/batches", "/V1/messages"])(
  "%s is nobody's, and is refused in the generic shape",
  async (path) => {
    await start("openai.chat");
    await expectRefusal("openai", "unknown_operation", await get("", path));
  },
);
