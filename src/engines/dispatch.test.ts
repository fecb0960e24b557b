import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { ManualClock } from "../lib/clock.ts";
import { Secret } from "../lib/secret.ts";
import {
  answer,
  chunk,
  type FakeAnswer,
  type FakeEngine,
  gone,
  LAST_CHUNK,
  raw,
  STREAM_HEAD,
  silent,
  startFakeEngine,
} from "./__fixtures__/fake-engine.ts";
import { Recorder } from "./__fixtures__/recorder.ts";
import { connectEngine, type EngineConnectionOptions, type EngineConnections } from "./dispatch.ts";

const opened: Array<() => Promise<void>> = [];

afterEach(async () => {
  for (const close of opened.splice(0)) await close();
});

async function fake(behaviour: FakeAnswer = silent): Promise<FakeEngine> {
  const engine = await startFakeEngine(behaviour);
  opened.push(() => engine.close());
  return engine;
}

function connect(engine: FakeEngine, options: Partial<EngineConnectionOptions> = {}): EngineConnections {
  const connections = connectEngine({ url: engine.url, host: "localhost:1", apiKey: null, ...options });
  opened.unshift(() => connections.destroy());
  return connections;
}

const CHAT = {
  method: "POST",
  path: "/v1/chat/completions",
  headers: { "content-type": "application/json", accept: "text/event-stream" },
  body: Buffer.from('{"model":"m"}'),
} as const;

async function exchange(behaviour: FakeAnswer): Promise<Recorder> {
  const recorder = new Recorder();
  connect(await fake(behaviour)).start(CHAT, recorder);
  await recorder.finished;
  return recorder;
}

describe("connectEngine()", () => {
  test("sends our own head: fixed host, the engine's key, no header that is not on the list", async () => {
    const engine = await fake(answer(200, "application/json", "{}"));
    const connections = connect(engine, { host: "localhost:11434", apiKey: new Secret("k1") });
    const recorder = new Recorder();
    connections.start(
      {
        ...CHAT,
        headers: {
          ...CHAT.headers,
          cookie: "a=b",
          origin: "http://evil",
          "x-conversation-id": "1",
          authorization: "Bearer x",
        },
      },
      recorder,
    );
    await recorder.finished;
    const [request] = engine.requests;
    expect(request).toMatchObject({ method: "POST", path: "/v1/chat/completions", body: '{"model":"m"}' });
    expect(request?.headers).toEqual({
      host: "localhost:11434",
      connection: "keep-alive",
      "accept-encoding": "identity",
      authorization: "Bearer k1",
      "content-type": "application/json",
      accept: "text/event-stream",
      "content-length": "13",
    });
  });

  test("puts the path of the engine's URL before the operation's, without the SDK's /v1", async () => {
    const engine = await fake(answer(200, "application/json", "{}"));
    const recorder = new Recorder();
    connect(engine, { url: new URL("/openai/v1", engine.url) }).start(CHAT, recorder);
    await recorder.finished;
    expect(engine.requests[0]?.path).toBe("/openai/v1/chat/completions");
  });

  test("passes a stream on chunk by chunk and ends it", async () => {
    const recorder = await exchange(({ socket }) => {
      socket.write(STREAM_HEAD + chunk("data: 1\n\n"));
      setImmediate(() => socket.write(chunk("data: 2\n\n") + LAST_CHUNK));
    });
    expect(recorder).toMatchObject({ status: 200, isEnded: true, text: "data: 1\n\ndata: 2\n\n" });
    expect(recorder.headers).toEqual({ "content-type": "text/event-stream" });
  });

  test("uses a connection again, and lets an engine's error status through with its body", async () => {
    const engine = await fake(answer(404, "application/json", '{"error":"x"}', ["Retry-After: 3"]));
    const connections = connect(engine);
    for (let round = 0; round < 10; round += 1) {
      const recorder = new Recorder();
      connections.start(CHAT, recorder);
      await recorder.finished;
      expect(recorder).toMatchObject({ status: 404, text: '{"error":"x"}', isEnded: true });
      expect(recorder.headers).toMatchObject({ "retry-after": "3" });
    }
    // A connection rests for a turn of the loop after its answer; a request in that turn takes another one.
    expect(engine.sockets.size).toBeLessThanOrEqual(2);
    expect(connections.active).toBe(0);
  });

  test.each([0, 1, 8 * 1024, 8 * 1024 + 1, 3_000_000])("sends a body of %d bytes whole", async (length) => {
    const engine = await fake(answer(200, "application/json", "{}"));
    const recorder = new Recorder();
    const body = Buffer.alloc(length, "\u00e9");
    connect(engine).start({ ...CHAT, body }, recorder);
    await recorder.finished;
    expect(engine.requests[0]?.headers["content-length"]).toBe(String(length));
    expect(Buffer.byteLength(engine.requests[0]?.body ?? "")).toBe(length - (length % 2) + (length % 2) * 3);
    expect(body.toString("utf8")).toBe(engine.requests[0]?.body);
  });

  test("does not send what cannot stand in a head", async () => {
    const engine = await fake(answer(200, "application/json", "{}"));
    const connections = connect(engine);
    for (const headers of [{ accept: "a\r\nX-Y: z" }, { accept: "a\nb" }]) {
      const recorder = new Recorder();
      connections.start({ ...CHAT, headers }, recorder);
      expect(recorder.failure).toBeNull();
      await recorder.finished;
      expect(recorder.failure).toMatchObject({ phase: "connect", kind: "protocol" });
    }
    expect(engine.requests).toHaveLength(0);
    expect(connections.active).toBe(0);
  });

  /** One exchange after the other with some time between them: how many connections that took. */
  async function connectionsFor(pauseMs: number, fields: readonly string[] = []): Promise<number> {
    const seen = new Set();
    const clock = new ManualClock();
    const engine = await fake((request) => {
      seen.add(request.socket);
      answer(200, "application/json", "{}", fields)(request);
    });
    const connections = connect(engine, { clock });
    for (let round = 0; round < 3; round += 1) {
      const recorder = new Recorder();
      connections.start(CHAT, recorder);
      await recorder.finished;
      await new Promise(setImmediate);
      clock.advance(pauseMs);
    }
    return seen.size;
  }

  test("keeps an idle connection for 4 s, or for 2 s less than the engine says it does, and does not write into an older one", async () => {
    expect(await connectionsFor(3_999)).toBe(1);
    expect(await connectionsFor(4_000)).toBe(3);
    expect(await connectionsFor(2_999, ["Keep-Alive: timeout=5"])).toBe(1);
    expect(await connectionsFor(3_000, ["Keep-Alive: timeout=5"])).toBe(3);
    expect(await connectionsFor(0, ["Keep-Alive: timeout=2"])).toBe(3);
    expect(await connectionsFor(0, ["Connection: close"])).toBe(3);
  });

  test("closes connections that have been idle for too long", async () => {
    const clock = new ManualClock();
    const engine = await fake(answer(200, "application/json", "{}"));
    const recorder = new Recorder();
    connect(engine, { clock }).start(CHAT, recorder);
    await recorder.finished;
    await new Promise(setImmediate);
    const [socket] = engine.sockets;
    clock.advance(5_000);
    await gone(socket);
    expect(clock.pendingTimers).toBe(0);
  });

  test("waits for a connection no longer than it was told", async () => {
    const clock = new ManualClock();
    const engine = await fake();
    const recorder = new Recorder();
    // The socket is opened in the turn after this one, and stands at the earliest in the one after that.
    connect(engine, { clock, connectTimeoutMs: 700 }).start(CHAT, recorder);
    await new Promise(setImmediate);
    clock.advance(699);
    expect(recorder.failure).toBeNull();
    clock.advance(1);
    await recorder.finished;
    expect(recorder.failure).toMatchObject({ phase: "connect", kind: "timeout" });
  });

  test("close() lets what runs come to its end, and takes nothing more", async () => {
    const engine = await fake(raw(STREAM_HEAD + chunk("a")));
    const connections = connect(engine);
    const running = new Recorder();
    connections.start(CHAT, running);
    await running.until(() => running.chunks.length === 1);
    const closed = connections.close();
    const late = new Recorder();
    connections.start(CHAT, late);
    await late.finished;
    expect(late.failure).toMatchObject({ phase: "connect" });
    engine.requests[0]?.socket.write(LAST_CHUNK);
    await closed;
    expect(running).toMatchObject({ isEnded: true, text: "a" });
    expect(connections.active).toBe(0);
  });

  test("destroy() fails what runs, waits or connects", async () => {
    const engine = await fake(raw(STREAM_HEAD + chunk("a")));
    const connections = connect(engine);
    const [running, connecting, waiting] = [new Recorder(), new Recorder(), new Recorder()];
    connections.start(CHAT, running);
    await running.until(() => running.chunks.length === 1);
    connections.start(CHAT, connecting);
    await new Promise(setImmediate);
    connections.start(CHAT, waiting);
    await connections.destroy();
    await Promise.all([running.finished, connecting.finished, waiting.finished]);
    expect(running.failure).toMatchObject({ phase: "body", kind: "reset" });
    expect(connecting.failure).toMatchObject({ phase: "connect" });
    expect(waiting.failure).toMatchObject({ phase: "connect", kind: "unreachable" });
    expect(connections.active).toBe(0);
  });

  test("does not use a connection again whose request was answered before it was written", async () => {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.once("data", () => {
        socket.pause();
        socket.write("HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
      });
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const connections = connectEngine({ url, host: "x", apiKey: null });
    for (let round = 0; round < 2; round += 1) {
      const recorder = new Recorder();
      connections.start({ ...CHAT, body: Buffer.alloc(16 * 1024 * 1024, " ") }, recorder);
      await recorder.finished;
      expect(recorder).toMatchObject({ status: 413, isEnded: true });
      await new Promise(setImmediate);
    }
    expect(sockets.size).toBe(2);
    await connections.destroy();
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });

  test("drops every header that is not on the list", async () => {
    const recorder = await exchange(
      answer(200, "application/json", "{}", [
        "Set-Cookie: a=b",
        "Strict-Transport-Security: max-age=1",
        "Trailer: x-y",
        "Location: http://elsewhere/",
        "Server: llama.cpp",
        "Access-Control-Allow-Origin: *",
        "Keep-Alive: timeout=5",
        "X-RateLimit-Remaining-Tokens: 7",
      ]),
    );
    expect(recorder.headers).toEqual({
      "content-type": "application/json",
      "content-length": "2",
      "x-ratelimit-remaining-tokens": "7",
    });
  });

  test("keeps trailers to itself", async () => {
    const recorder = await exchange(raw(`${STREAM_HEAD}${chunk("x")}0\r\nSet-Cookie: a=b\r\n\r\n`));
    expect(recorder).toMatchObject({ isEnded: true, text: "x" });
  });

  test("drops interim answers, and fails on a flood of them", async () => {
    const interim = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
    const some = await exchange(raw(`${interim}${interim}HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}`));
    expect(some).toMatchObject({ status: 200, text: "{}", isEnded: true });
    const flood = await exchange(raw(interim.repeat(100)));
    expect(flood.failure).toMatchObject({ phase: "request", kind: "protocol" });
  });
});

describe("connectEngine() with a hostile engine", () => {
  const rejected: Record<string, string> = {
    redirect: "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n",
    "redirect that keeps the body": "HTTP/1.1 307 X\r\nLocation: /v1/x\r\nContent-Length: 0\r\n\r\n",
    "not modified": "HTTP/1.1 304 Not Modified\r\n\r\n",
    "switching protocols": "HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "bare 101": "HTTP/1.1 101 X\r\n\r\n",
    "100 continue": "HTTP/1.1 100 Continue\r\n\r\n",
    "page for people": "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 4\r\n\r\n<p/>",
    "error page": "HTTP/1.1 502 X\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<p/>",
    "unasked gzip": "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nxxxx",
    "two content types": "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n",
    "length and chunks": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nxxxxxx",
    "bare CR in a value": "HTTP/1.1 200 OK\r\nRetry-After: 1\rSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n",
    "NUL in a value": "HTTP/1.1 200 OK\r\nRetry-After: 1\0\r\nContent-Length: 0\r\n\r\n",
    "endless header line": `HTTP/1.1 200 OK\r\nX-A: ${"a".repeat(64 * 1024)}`,
    "endless head": `HTTP/1.1 200 OK\r\n${"X-A: b\r\n".repeat(8 * 1024)}`,
    "another protocol": "SSH-2.0-OpenSSH_9.2\r\n",
    "odd status": "HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n",
  };

  test.each(Object.entries(rejected))("fails on %s before anything is passed on", async (_name, bytes) => {
    const recorder = await exchange(raw(bytes));
    expect(recorder.failure).toMatchObject({ phase: "request", kind: "protocol" });
    expect(recorder.status).toBe(0);
  });

  test("drops a value with bytes that the next hop could not carry", async () => {
    const recorder = await exchange(raw("HTTP/1.1 200 OK\r\nRetry-After: \xff\xfe\r\nContent-Length: 0\r\n\r\n"));
    expect(recorder.isEnded).toBe(true);
    expect(recorder.headers).toEqual({ "content-length": "0" });
  });

  const cut: Record<string, string> = {
    "a body shorter than its length": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
    "the same on a closing connection": "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\nabc",
    "a stream between chunks": STREAM_HEAD + chunk("abc"),
    "a stream inside a chunk": `${STREAM_HEAD}ff\r\nabc`,
    "a stream before the last line": `${STREAM_HEAD}${chunk("abc")}0\r\n`,
  };

  test.each(Object.entries(cut))("reports %s as cut", async (_name, bytes) => {
    const recorder = await exchange(({ socket }) => socket.end(bytes));
    expect(recorder).toMatchObject({ status: 200, isEnded: false, text: "abc" });
    expect(recorder.failure).toMatchObject({ phase: "body", kind: "cut" });
  });

  test("never ends an answer that was cut at any byte, however it is framed", async () => {
    const whole = [
      `${STREAM_HEAD}${chunk("data: 1\n\n")}${chunk("data: 2\n\n")}${LAST_CHUNK}`,
      'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n{"a":1}',
    ];
    for (const bytes of whole) {
      let end = 0;
      const engine = await fake(({ socket }) => socket.end(bytes.slice(0, end)));
      const connections = connect(engine);
      for (; end < bytes.length; end += 1) {
        const recorder = new Recorder();
        connections.start(CHAT, recorder);
        await recorder.finished;
        expect([end, recorder.isEnded]).toEqual([end, false]);
        expect(recorder.failure?.phase).toBe(recorder.status === 0 ? "request" : "body");
      }
    }
  });

  test("reads an answer the same however the engine's writes cut it up", async () => {
    const bytes = `${STREAM_HEAD}${chunk("data: \u00e9 1\n\n")}${chunk("data: 2\n\n")}${LAST_CHUNK}`;
    const property = fc.asyncProperty(fc.array(fc.nat(bytes.length), { maxLength: 8 }), async (cuts) => {
      const edges = [0, ...cuts.sort((a, b) => a - b), bytes.length];
      const recorder = await exchange(({ socket }) => {
        let index = 0;
        function writeNext(): void {
          if (index >= edges.length - 1) return;
          socket.write(bytes.slice(edges[index], edges[index + 1]), "utf8");
          index += 1;
          setImmediate(writeNext);
        }
        writeNext();
      });
      expect(recorder.isEnded).toBe(true);
      expect(Buffer.concat(recorder.chunks).toString("utf8")).toBe("data: \u00e9 1\n\ndata: 2\n\n");
      for (const close of opened.splice(0)) await close();
    });
    await fc.assert(property, { numRuns: 50 });
  });

  test("reports a broken chunk size as a breach of protocol", async () => {
    const recorder = await exchange(raw(`${STREAM_HEAD}${chunk("abc")}zz\r\n`));
    expect(recorder.failure).toMatchObject({ phase: "body", kind: "protocol" });
  });

  test("reports an engine that dies in the middle", async () => {
    const recorder = await exchange(({ socket }) =>
      socket.write(STREAM_HEAD + chunk("abc"), () => socket.resetAndDestroy()),
    );
    expect(recorder.failure?.phase).toBe("body");
    expect(["cut", "reset"]).toContain(recorder.failure?.kind);
  });

  test("reports an engine that hangs up before its head", async () => {
    const recorder = await exchange(({ socket }) => socket.end());
    expect(recorder.failure).toMatchObject({ phase: "request", kind: "reset" });
  });

  test("reports an engine that is not there", async () => {
    const engine = await fake();
    await engine.close();
    opened.length = 0;
    const recorder = new Recorder();
    connect(engine).start(CHAT, recorder);
    await recorder.finished;
    expect(recorder.failure).toMatchObject({ phase: "connect", kind: "unreachable", detail: "ECONNREFUSED" });
  });

  test("never gives bytes after the end to anybody", async () => {
    const smuggled = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nSTOLEN";
    const first = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";
    for (const extra of [smuggled, "garbage", "\r\nSTOLEN"]) {
      const engine = await fake(raw(first + extra));
      const connections = connect(engine);
      const before = new Recorder();
      connections.start(CHAT, before);
      await before.finished;
      expect(before).toMatchObject({ text: "{}", isEnded: true });
      // From the next turn on the connection could be used again.
      await new Promise(setImmediate);
      engine.answerWith(answer(200, "application/json", '{"mine":1}'));
      const after = new Recorder();
      connections.start(CHAT, after);
      await after.finished;
      expect(after).toMatchObject({ text: '{"mine":1}', isEnded: true });
      expect(engine.requests[1]?.socket).not.toBe(engine.requests[0]?.socket);
    }
  });

  test("closes an idle connection on which anything comes", async () => {
    const engine = await fake(answer(200, "application/json", "{}"));
    const recorder = new Recorder();
    connect(engine).start(CHAT, recorder);
    await recorder.finished;
    const [socket] = engine.sockets;
    await new Promise(setImmediate);
    socket?.write("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nSTOLEN");
    await gone(socket);
  });

  test("uses a connection at the earliest in the turn of the loop after its answer", async () => {
    const engine = await fake(answer(200, "application/json", "{}"));
    const connections = connect(engine);
    const again = new Recorder();
    const recorder = new Recorder();
    recorder.afterData = () => connections.start(CHAT, again);
    connections.start(CHAT, recorder);
    await again.finished;
    expect(engine.requests[1]?.socket).not.toBe(engine.requests[0]?.socket);
  });
});

describe("Exchange", () => {
  test("cancel() closes the engine's connection at once, and nothing follows", async () => {
    const engine = await fake(raw(STREAM_HEAD + chunk("a")));
    const connections = connect(engine);
    const recorder = new Recorder();
    const running = connections.start(CHAT, recorder);
    await recorder.until(() => recorder.chunks.length === 1);
    const [socket] = engine.sockets;
    running.cancel("caller_left");
    await gone(socket);
    expect(recorder).toMatchObject({ isEnded: false, failure: null });
    expect(connections.active).toBe(0);
  });

  test("cancel() before the engine answers reaches it too", async () => {
    const engine = await fake();
    const asked = new Promise<void>((resolve) => {
      engine.answerWith(({ socket }) => {
        socket.once("close", () => resolve());
        running.cancel("deadline");
      });
    });
    const recorder = new Recorder();
    const running = connect(engine).start(CHAT, recorder);
    await asked;
    expect(recorder).toMatchObject({ isEnded: false, failure: null });
  });

  test("cancel() in the tick of start() sends nothing", async () => {
    const engine = await fake(answer(200, "application/json", "{}"));
    const connections = connect(engine);
    const cancelled = new Recorder();
    connections.start(CHAT, cancelled).cancel("caller_left");
    const other = new Recorder();
    connections.start({ ...CHAT, path: "/v1/completions" }, other);
    await other.finished;
    expect(engine.requests.map((request) => request.path)).toEqual(["/v1/completions"]);
    expect(cancelled).toMatchObject({ status: 0, isEnded: false, failure: null });
  });

  test("pause() stops reading, so that the engine has to wait; resume() goes on without a loss", async () => {
    const total = 8 * 1024 * 1024;
    let drained = 0;
    const engine = await fake(({ socket }) => {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`);
      socket.write(Buffer.alloc(total, "x"), () => {
        drained += 1;
      });
    });
    const recorder = new Recorder();
    const running = connect(engine).start(CHAT, recorder);
    recorder.afterData = () => running.pause();
    await recorder.until(() => recorder.chunks.length === 1);
    // What the engine can still push goes into socket buffers; then it stands still, however often the loop turns.
    for (let turn = 0; turn < 200; turn += 1) await new Promise(setImmediate);
    expect(recorder.chunks.length).toBeLessThanOrEqual(2);
    expect(drained).toBe(0);
    recorder.afterData = null;
    running.resume();
    await recorder.finished;
    expect(recorder).toMatchObject({ isEnded: true, bytes: total });
  });

  test("pause() before the head holds the first byte back", async () => {
    const engine = await fake(answer(200, "application/json", "{}"));
    const recorder = new Recorder();
    const running = connect(engine).start(CHAT, recorder);
    running.pause();
    await recorder.until(() => recorder.status === 200);
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
    expect(recorder.bytes).toBe(0);
    running.resume();
    await recorder.finished;
    expect(recorder).toMatchObject({ isEnded: true, text: "{}" });
  });

  test("resume() from inside another exchange's callback is safe", async () => {
    const engine = await fake(raw(STREAM_HEAD + chunk("a")));
    const connections = connect(engine);
    const paused = new Recorder();
    const first = connections.start(CHAT, paused);
    paused.afterData = () => first.pause();
    await paused.until(() => paused.chunks.length === 1);
    engine.requests[0]?.socket.write(chunk("b") + chunk("c"));
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
    paused.afterData = null;
    const other = new Recorder();
    const second = connections.start(CHAT, other);
    other.afterData = () => first.resume();
    await paused.until(() => paused.text === "abc");
    await other.until(() => other.chunks.length === 1);
    first.cancel("shutdown");
    second.cancel("shutdown");
  });

  test("a late pause() or resume() does not touch the next exchange on the same connection", async () => {
    const engine = await fake(answer(200, "application/json", "{}"));
    const connections = connect(engine);
    const recorder = new Recorder();
    const old = connections.start(CHAT, recorder);
    await recorder.finished;
    const next = new Recorder();
    const running = connections.start(CHAT, next);
    running.pause();
    old.pause();
    old.resume();
    await next.until(() => next.status === 200);
    expect(next.bytes).toBe(0);
    running.resume();
    await next.finished;
  });

  test("refuses more exchanges at one time than allowed, after start() has returned", async () => {
    const engine = await fake();
    const connections = connect(engine, { maxExchanges: 2 });
    connections.start(CHAT, new Recorder());
    connections.start(CHAT, new Recorder());
    const third = new Recorder();
    connections.start(CHAT, third);
    expect(third.failure).toBeNull();
    await third.finished;
    expect(third.failure).toMatchObject({ phase: "connect", kind: "refused" });
  });

  test("a throwing client does not throw at the caller of start()", async () => {
    const connections = connect(await fake());
    await connections.destroy();
    const recorder = new Recorder();
    connections.start(CHAT, recorder);
    expect(recorder.failure).toBeNull();
    await recorder.finished;
    expect(recorder.failure).toMatchObject({ phase: "connect" });
    expect(connections.active).toBe(0);
  });
});
