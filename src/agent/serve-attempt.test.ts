import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createCodecs } from "../dialects/codecs.ts";
import { DEFAULT_FIELD_POLICY } from "../dialects/field-policy.ts";
import {
  answer,
  answerFrom,
  chunk,
  type FakeAnswer,
  type FakeEngine,
  gone,
  LAST_CHUNK,
  raw,
  STREAM_HEAD,
  startFakeEngine,
} from "../engines/__fixtures__/fake-engine.ts";
import { Recorder } from "../engines/__fixtures__/recorder.ts";
import { systemClock } from "../lib/clock.ts";
import type { Exchange, ExchangeFailure } from "../lib/exchange.ts";
import { AgentLink } from "../tunnel/agent-link.ts";
import { ENGINE_HEADER } from "../tunnel/constants.ts";
import { type Attempt, BodyBudget } from "../tunnel/serve.ts";
import { Session } from "../tunnel/session.ts";
import { startExchange } from "../tunnel/stream-exchange.ts";
import { Guard } from "./guard.ts";
import { serveAttempt } from "./serve-attempt.ts";
import { WatchedEngine } from "./watched-engine.ts";

let fake: FakeEngine;
let engine: WatchedEngine;
let gateway: Session;
let agent: AgentLink;
const failures: ExchangeFailure[] = [];
const closers: Array<() => unknown> = [];

/** A link without its handshake: the tunnel's own sessions over a socket pair of loopback. */
beforeEach(async () => {
  fake = await startFakeEngine(answerFrom({ "/v1/models": { data: [{ id: "m", owned_by: "x" }] } }));
  engine = new WatchedEngine(
    {
      name: "e",
      url: fake.url,
      kind: "openai",
      apiKey: null,
      host: null,
      caFile: null,
      serverName: null,
      exposureAccepted: false,
    },
    systemClock,
  );
  await engine.read();
  const guard = new Guard({
    findEngine: (name) => (name === "e" ? engine : undefined),
    remoteModels: new Set(),
    codecs: createCodecs(DEFAULT_FIELD_POLICY),
  });
  failures.length = 0;
  const events = {
    onDenied: (_attempt: Attempt, failure: ExchangeFailure) => failures.push(failure),
    onEngineFailure: (_attempt: Attempt, _engine: WatchedEngine, failure: ExchangeFailure) => failures.push(failure),
  };
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const dialled = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [[accepted]] = await Promise.all([once(server, "connection"), once(dialled, "connect")]);
  agent = new AgentLink({
    carrier: dialled,
    capacity: 16,
    budget: new BodyBudget(),
    clock: systemClock,
    onAttempt: (attempt) => serveAttempt(attempt, guard, events),
    events: { onOpen: () => {}, onMessage: () => {}, onClosed: () => {} },
  });
  const opened = Promise.withResolvers<void>();
  gateway = new Session({
    carrier: accepted,
    clock: systemClock,
    windowBytes: 256 * 1024,
    capacity: 0,
    events: { onSettings: () => opened.resolve(), onControl: () => {}, onOpen: () => {}, onOver: () => {} },
  });
  await opened.promise;
  closers.push(
    () => server.close(),
    () => agent.close("the test is over"),
    () => accepted.destroy(),
    () => engine.stop(),
    () => fake.close(),
  );
});

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

const BODY = '{"model":"m","messages":[],"stream":true}';

function ask(recorder: Recorder, body = BODY, path = "/v1/chat/completions"): Exchange {
  const request = {
    method: "POST" as const,
    path,
    headers: { [ENGINE_HEADER]: "e", cookie: "a=b" },
    body: Buffer.from(body),
  };
  const exchange = startExchange(gateway, request, { bytesIn: 0, bytesOut: 0, onExchangeEnd: () => {} }, recorder);
  if (exchange === null) throw new Error("no stream");
  return exchange;
}

async function whole(behaviour: FakeAnswer, body = BODY): Promise<Recorder> {
  fake.answerWith(behaviour);
  const recorder = new Recorder();
  ask(recorder, body);
  await recorder.finished;
  return recorder;
}

describe("serveAttempt()", () => {
  test("carries a stream through, and its end", async () => {
    const recorder = await whole(raw(STREAM_HEAD + chunk("data: 1\n\n") + chunk("data: [DONE]\n\n") + LAST_CHUNK));
    expect(recorder).toMatchObject({ status: 200, text: "data: 1\n\ndata: [DONE]\n\n", isEnded: true });
    expect(recorder.headers["content-type"]).toBe("text/event-stream");
    expect(fake.requests.at(-1)?.headers).not.toHaveProperty("cookie");
    expect(fake.requests.at(-1)?.body).toBe(BODY);
  });

  test("carries a whole answer with its length, and an engine's error with its body", async () => {
    const good = await whole(answer(200, "application/json", '{"ok":1}'));
    expect(good).toMatchObject({ status: 200, text: '{"ok":1}', isEnded: true });
    const bad = await whole(answer(400, "application/json", '{"error":{"message":"x"}}'));
    expect(bad).toMatchObject({ status: 400, text: '{"error":{"message":"x"}}', isEnded: true });
  });

  test("never ends an answer cleanly that the engine cut", async () => {
    const cut = await whole(({ socket }) => socket.end(STREAM_HEAD + chunk("data: 1\n\n")));
    expect(cut).toMatchObject({ isEnded: false, failure: { phase: "body", kind: "cut" } });
    expect(failures).toMatchObject([{ phase: "body", kind: "cut" }]);
    const short = await whole(({ socket }) => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"));
    expect(short).toMatchObject({ isEnded: false, failure: { phase: "body", kind: "cut" } });
    expect(failures.at(-1)).toMatchObject({ phase: "body", kind: "cut" });
  });

  test.each([
    ["a redirect", "HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n"],
    ["a page for people", "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n"],
    ["an endless head", `HTTP/1.1 200 OK\r\n${"X-A: b\r\n".repeat(8 * 1024)}`],
  ])("reports %s as a breach of protocol", async (_name, bytes) => {
    const recorder = await whole(raw(bytes));
    expect(recorder).toMatchObject({ status: 0, failure: { phase: "request", kind: "protocol" } });
  });

  test("reports an engine that is gone", async () => {
    await fake.close();
    closers.pop();
    const recorder = new Recorder();
    ask(recorder);
    await recorder.finished;
    expect(recorder.failure).toMatchObject({ phase: "connect", kind: "unreachable" });
  });

  test("asks no engine when the guard denies", async () => {
    const before = fake.requests.length;
    const recorder = new Recorder();
    ask(recorder, '{"model":"m","messages":[],"lora":1}');
    await recorder.finished;
    expect(recorder.failure).toMatchObject({ phase: "connect", kind: "denied", detail: "field_refused (lora)" });
    const other = new Recorder();
    ask(other, BODY, "/api/pull");
    await other.finished;
    expect(other.failure).toMatchObject({ kind: "denied" });
    expect(fake.requests.length).toBe(before);
    expect(failures.length).toBe(2);
  });

  test("stops the engine as soon as the gateway gives up", async () => {
    fake.answerWith(raw(STREAM_HEAD + chunk("data: 1\n\n")));
    const recorder = new Recorder();
    const exchange = ask(recorder);
    await recorder.until(() => recorder.chunks.length > 0);
    const socket = fake.requests.at(-1)?.socket;
    exchange.cancel("caller_left");
    await gone(socket);
    expect(agent.running).toBe(0);
    expect(failures).toEqual([]);
  });

  test("stops the engine when the link dies", async () => {
    const asked = new Promise<void>((resolve) => fake.answerWith(() => resolve()));
    const recorder = new Recorder();
    ask(recorder);
    await asked;
    gateway.end("the test ends it", 0);
    await gone(fake.requests.at(-1)?.socket);
  });

  test("slows the engine down with a slow caller, and loses nothing", async () => {
    const total = 8 * 1024 * 1024;
    let isTaken = false;
    fake.answerWith(({ socket }) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`);
      socket.write(Buffer.alloc(total, "x"), () => {
        isTaken = true;
      });
    });
    const recorder = new Recorder();
    const exchange = ask(recorder);
    exchange.pause();
    await recorder.until(() => recorder.status === 200);
    for (let turn = 0; turn < 300; turn += 1) await new Promise(setImmediate);
    expect(isTaken).toBe(false);
    expect(recorder.bytes).toBeLessThan(1024 * 1024);
    exchange.resume();
    await recorder.finished;
    expect(recorder).toMatchObject({ bytes: total, isEnded: true });
  });
});
