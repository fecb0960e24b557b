import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createCodecs } from "../dialects/codecs.ts";
import { DEFAULT_FIELD_POLICY } from "../dialects/field-policy.ts";
import { operationById } from "../dialects/operations.ts";
import { answerFrom, type FakeEngine, startFakeEngine } from "../engines/__fixtures__/fake-engine.ts";
import { systemClock } from "../lib/clock.ts";
import { parseForm, readBoundary } from "../lib/multipart.ts";
import { type Admitted, Guard, type GuardedRequest, isFailure } from "./guard.ts";
import { WatchedEngine } from "./watched-engine.ts";

let fake: FakeEngine;
let engine: WatchedEngine;
let guard: Guard;

beforeEach(async () => {
  fake = await startFakeEngine(
    answerFrom({
      "/api/version": { version: "0.33.0" },
      "/api/tags": { models: [{ name: "here" }, { name: "big:cloud" }, { name: "allowed:cloud" }] },
      "/api/ps": { models: [] },
    }),
  );
  engine = new WatchedEngine(
    {
      name: "ollama",
      url: fake.url,
      kind: null,
      apiKey: null,
      host: null,
      caFile: null,
      serverName: null,
      exposureAccepted: false,
    },
    systemClock,
  );
  await engine.read();
  guard = new Guard({
    findEngine: (name) => (name === "ollama" ? engine : undefined),
    remoteModels: new Set(["allowed:cloud"]),
    codecs: createCodecs(DEFAULT_FIELD_POLICY),
  });
});

afterEach(async () => {
  await engine.stop();
  await fake.close();
});

const CHAT: GuardedRequest = {
  method: "POST",
  path: "/v1/chat/completions",
  engine: "ollama",
  operation: "openai.chat",
};

function inspect(body: string | Buffer, request: GuardedRequest = CHAT) {
  const admitted = guard.admit(request);
  if (isFailure(admitted)) throw new Error(admitted.detail);
  return guard.inspect(admitted as Admitted, Buffer.from(body));
}

describe("Guard.admit()", () => {
  test("lets the operations of the table through", () => {
    for (const path of [
      "/v1/chat/completions",
      "/v1/completions",
      "/v1/embeddings",
      "/v1/messages",
      "/api/chat",
      "/api/generate",
      "/api/embed",
      "/api/embeddings",
    ]) {
      expect(isFailure(guard.admit({ ...CHAT, path, operation: "" }))).toBe(false);
    }
  });

  test.each([
    ["GET", "/v1/chat/completions"],
    ["DELETE", "/api/delete"],
    ["POST", "/api/pull"],
    ["POST", "/api/create"],
    ["POST", "/api/push"],
    ["POST", "/api/copy"],
    ["POST", "/api/blobs/sha256:0"],
    ["HEAD", "/api/blobs/sha256:0"],
    ["POST", "/api/show"],
    ["POST", "/api/me"],
    ["POST", "/api/signout"],
    ["POST", "/api/experimental/web_search"],
    ["GET", "/api/tags"],
    ["GET", "/api/ps"],
    ["GET", "/api/version"],
    ["HEAD", "/"],
    ["HEAD", "/api/hello"],
    ["POST", "/api/chat/"],
    ["POST", "/api//chat"],
    ["POST", "/api/generate/../pull"],
    ["POST", "/api/%70ull"],
    ["POST", "/v1/chat/completions/../../api/pull"],
    ["POST", "/v1/messages/batches"],
    ["POST", "/v1/responses/input_tokens"],
    ["POST", "/completion"],
    ["POST", "/slots/0?action=erase"],
    ["POST", "/models/load"],
    ["POST", "/props"],
    ["POST", "/tools"],
    ["POST", "/v1/load_lora_adapter"],
    ["POST", "/invocations"],
    ["POST", "/update_weights_from_disk"],
    ["POST", "/api/v1/chat"],
    ["POST", "/api/v1/models/load"],
    ["GET", "/v1/models"],
    ["POST", "/v1/models"],
    ["POST", "/v1/chat/completions/"],
    ["POST", "/v1/chat/completions?x=1"],
    ["POST", "/V1/chat/completions"],
    ["POST", "//v1/chat/completions"],
    ["POST", "/v1/./chat/completions"],
    ["POST", "/v1/%63hat/completions"],
    ["POST", "/v1/chat/completions/control"],
    ["POST", "http://169.254.169.254/v1/chat/completions"],
    ["POST", "constructor"],
    ["post", "/v1/chat/completions"],
  ])("denies %s %s", (method, path) => {
    expect(guard.admit({ ...CHAT, method, path, operation: "" })).toMatchObject({ kind: "denied", phase: "connect" });
  });

  test("denies an operation that is not the announced one, and engines that it does not know", () => {
    expect(guard.admit({ ...CHAT, operation: "openai.embeddings" })).toMatchObject({ kind: "denied" });
    for (const name of ["", "other", "__proto__", fake.url.href]) {
      expect(guard.admit({ ...CHAT, engine: name })).toMatchObject({ kind: "denied" });
    }
  });

  test("denies what this version of the engine does not speak", () => {
    // Ollama answers 404 to it, and clients would then count with whole requests.
    expect(guard.admit({ ...CHAT, path: "/v1/messages/count_tokens", operation: "" })).toMatchObject({
      kind: "denied",
    });
  });

  test("says that an engine is away, so that another target is tried", async () => {
    fake.answerWith(({ socket }) => socket.destroy());
    await engine.read();
    expect(guard.admit(CHAT)).toMatchObject({ kind: "unreachable", phase: "connect" });
  });
});

describe("Guard.inspect()", () => {
  test("hands on the very bytes when there is nothing to change, under headers of our own", () => {
    const body = Buffer.from('{"model":"here","messages":[{"role":"user","content":"hi"}],"stream":true}');
    const admitted = guard.admit(CHAT) as Admitted;
    const request = guard.inspect(admitted, body);
    if (isFailure(request)) throw new Error(request.detail);
    expect(request.body).toBe(body);
    expect(request).toMatchObject({ method: "POST", path: "/v1/chat/completions" });
    expect(request.headers).toEqual({
      "content-type": "application/json",
      accept: "text/event-stream",
      "user-agent": "postern",
    });
  });

  test.each([
    ["/api/chat", '{"model":"here","messages":[]}', "application/x-ndjson"],
    ["/api/chat", '{"model":"here","messages":[],"stream":false}', "application/json"],
    ["/api/generate", '{"model":"here","prompt":"x"}', "application/x-ndjson"],
    ["/api/embed", '{"model":"here","input":"x"}', "application/json"],
    ["/v1/messages", '{"model":"here","max_tokens":1,"messages":[],"stream":true}', "text/event-stream"],
    ["/v1/messages", '{"model":"here","max_tokens":1,"messages":[]}', "application/json"],
  ])("asks for the answer that %s of %s has", (path, body, accept) => {
    const request = inspect(body, { ...CHAT, path, operation: "" });
    if (isFailure(request)) throw new Error(request.detail);
    expect(request.headers).toEqual({ "content-type": "application/json", accept, "user-agent": "postern" });
    expect(request.path).toBe(path);
  });

  test.each([
    ["/api/chat", '{"model":"here","messages":[],"keep_alive":0}'],
    ["/api/generate", '{"model":"here","prompt":"","keep_alive":-1}'],
    ["/api/chat", '{"model":"here","messages":[],"options":{"num_gpu":0,"main_gpu":7}}'],
  ])("lets nobody load, unload or move models with %s %s", (path, body) => {
    const request = inspect(body, { ...CHAT, path, operation: "" });
    if (isFailure(request)) return;
    expect(String(request.body)).not.toMatch(/keep_alive|num_gpu|main_gpu/);
  });

  test("keeps to this machine's policy, whatever the gateway's is", () => {
    const narrow = { ...DEFAULT_FIELD_POLICY, unknown: "refuse" as const, maxTokens: 100, maxChoices: 1 };
    guard = new Guard({
      findEngine: () => engine,
      remoteModels: new Set(),
      codecs: createCodecs(narrow),
    });
    expect(inspect('{"model":"here","messages":[],"made_up":1}')).toMatchObject({ kind: "denied" });
    const request = inspect('{"model":"here","messages":[],"n":4,"max_tokens":100000}');
    if (isFailure(request)) throw new Error(request.detail);
    expect(JSON.parse(String(request.body))).toMatchObject({ n: 1, max_tokens: 100 });
  });

  test("takes out what no table lists and clamps what has a bound, even if the gateway did not", () => {
    const request = inspect('{"model":"here","messages":[],"made_up":1,"n":100000}');
    if (isFailure(request)) throw new Error(request.detail);
    expect(JSON.parse(String(request.body))).toEqual({ model: "here", messages: [], n: 8 });
  });

  test.each([
    ["a dangerous field", '{"model":"here","messages":[],"n_discard":-1}', "field_refused (n_discard)"],
    ["two models", '{"model":"here","Model":"big:cloud","messages":[]}', "body_ambiguous (Model)"],
    ["two models in escapes", '{"model":"here","mod\\u0065l":"big:cloud","messages":[]}', "body_ambiguous (model)"],
    ["no JSON", "{", "body_not_json"],
    ["no UTF-8", Buffer.from([0x7b, 0xff, 0x7d]), "body_encoding"],
    ["no model", '{"messages":[]}', "model_missing (model)"],
    ["a model of another engine", '{"model":"elsewhere","messages":[]}', "the engine does not serve this model"],
    ["a name of every object", '{"model":"constructor","messages":[]}', "the engine does not serve this model"],
    ["somebody else's cloud", '{"model":"big:cloud","messages":[]}', "the model runs in somebody else's cloud"],
  ])("denies %s", (_name, body, detail) => {
    expect(inspect(body)).toEqual({ phase: "connect", kind: "denied", detail });
  });

  test("lets a cloud model through that the operator listed on this machine", () => {
    expect(isFailure(inspect('{"model":"allowed:cloud","messages":[]}'))).toBe(false);
  });

  test("repeats nothing of a body in what it says", () => {
    const outcome = inspect('{"model":"my secret prompt","messages":[]}');
    expect(JSON.stringify(outcome)).not.toContain("secret");
  });
});

describe("Guard.inspect() of a form", () => {
  const FORM: GuardedRequest = { ...CHAT, path: "/v1/audio/transcriptions", operation: "openai.transcriptions" };
  const OWN = `postern-${"0a".repeat(16)}`;
  const part = (name: string, value: string, more = "") =>
    `Content-Disposition: form-data; name="${name}"${more}\r\n\r\n${value}\r\n`;
  const form = (boundary: string, ...parts: string[]) =>
    Buffer.from(`${parts.map((one) => `--${boundary}\r\n${one}`).join("")}--${boundary}--\r\n`, "latin1");
  const FILE = part("file", "ID3", '; filename="/etc/passwd.mp3"');

  test("builds the engine's form anew, with a boundary, a type and a file name of its own", () => {
    const request = inspect(form(OWN, part("model", "here"), part("made_up", "1"), FILE), FORM);
    if (isFailure(request)) throw new Error(request.detail);
    const type = request.headers["content-type"];
    const boundary = readBoundary(type);
    expect(boundary).toMatch(/^postern-[0-9a-f]{32}$/);
    expect(boundary).not.toBe(OWN);
    expect(parseForm(request.body ?? Buffer.alloc(0), boundary)).toMatchObject([
      { name: "model", fileName: null, value: Buffer.from("here") },
      { name: "file", fileName: "audio.mp3", value: Buffer.from("ID3") },
    ]);
  });

  test.each([
    ["JSON", Buffer.from('{"model":"here"}'), "body_not_form"],
    ["nothing", Buffer.alloc(0), "body_not_form"],
    ["a boundary of somebody else's", form("----elsewhere-made", part("model", "here"), FILE), "body_not_form"],
    ["two models", form(OWN, part("model", "here"), part("model", "big:cloud"), FILE), "body_ambiguous (model)"],
    [
      "two models by case",
      form(OWN, part("model", "here"), part("Model", "big:cloud"), FILE),
      "body_ambiguous (Model)",
    ],
    ["somebody else's cloud", form(OWN, part("model", "big:cloud"), FILE), "the model runs in somebody else's cloud"],
    ["no file", form(OWN, part("model", "here")), "body_invalid (file)"],
    ["a dangerous field", form(OWN, part("model", "here"), part("n_discard", "1"), FILE), "field_refused (n_discard)"],
  ])("denies %s, whatever the gateway let through", (_name, body, detail) => {
    expect(inspect(body, FORM)).toEqual({ phase: "connect", kind: "denied", detail });
  });
});

describe("WatchedEngine.report()", () => {
  test("names no model of somebody else's cloud but those that the operator lists", () => {
    expect(engine.report().models.map((one) => one.name)).toEqual(["here"]);
    const allowed = engine.report(new Set(["allowed:cloud", "nowhere:cloud"])).models;
    expect(allowed.map((one) => [one.name, one.remote])).toEqual([
      ["here", false],
      ["allowed:cloud", true],
    ]);
  });

  test("offers only operations whose bodies this program can judge", () => {
    const { operations } = engine.report();
    expect(operations).toContain("ollama.chat");
    const unjudged = operations.filter((id) => !createCodecs(DEFAULT_FIELD_POLICY).has(id));
    expect(unjudged).toEqual([]);
    for (const id of operations) expect(operationById(id)).toBeDefined();
  });

  test("says what is wrong with an old version", async () => {
    fake.answerWith(
      answerFrom({
        "/api/version": { version: "0.12.0" },
        "/api/tags": { models: [{ name: "here" }] },
        "/api/ps": { models: [] },
      }),
    );
    const old = new WatchedEngine({ ...engine.settings, name: "old" }, systemClock);
    await old.read();
    expect(old.report().advisories?.map((one) => one.id)).toContain("CVE-2025-63389");
    expect(old.report().operations).not.toContain("anthropic.messages");
    await old.stop();
  });
});
