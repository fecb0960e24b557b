import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer, TLSSocket } from "node:tls";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { makeCertificate } from "../../test/support/certificate.ts";
import {
  answerUrl,
  BODY_MS,
  CLOSES,
  get,
  HEAD_MS,
  IDLE_MS,
  LAST_WORDS,
  Listener,
  LOOK_EVERY_MS,
  MAX_BEHIND_BYTES,
  ok,
  post,
} from "../../test/support/http-listener.ts";

let listener: Listener;
beforeEach(async () => {
  listener = new Listener();
  await listener.start();
});
afterEach(() => listener.stop());

describe("time", () => {
  test("a head may take as long as it may, counted from the connection's begin", async () => {
    const { caller, peer } = await listener.call("GET / HT");
    listener.clock.advance(HEAD_MS);
    await listener.send(caller, peer, "TP/1.1\r\n\r\n");
    expect(listener.urls).toEqual(["/"]);
    expect(listener.faults).toEqual([]);
  });

  test.each([
    ["nothing", ""],
    ["a part of a head", "GET / HT"],
  ])("%s for longer than a head may take is answered with 408", async (_name, bytes) => {
    const { caller } = await listener.call(bytes);
    listener.clock.advance(HEAD_MS + LOOK_EVERY_MS);
    expect(await caller.untilClosed()).toBe(LAST_WORDS.slow_head);
    expect(listener.faults).toEqual(["slow_head"]);
  });

  test("a head that drips has no more of it", async () => {
    const { caller, peer } = await listener.call("G");
    for (const byte of "ET /") {
      listener.clock.advance(LOOK_EVERY_MS);
      await listener.send(caller, peer, byte);
    }
    expect(await caller.untilClosed()).toBe(LAST_WORDS.slow_head);
  });

  test("a head behind an answer has its time from its own first byte on", async () => {
    listener.handle = answerUrl;
    const { caller, peer } = await listener.call(get("/1"));
    listener.clock.advance(IDLE_MS);
    await listener.send(caller, peer, "GET /2");
    listener.clock.advance(HEAD_MS);
    await listener.send(caller, peer, " HTTP/1.1\r\n\r\n");
    expect(listener.urls).toEqual(["/1", "/2"]);
    await listener.send(caller, peer, "GET /3");
    listener.clock.advance(HEAD_MS + LOOK_EVERY_MS);
    expect((await caller.untilClosed()).endsWith(`\r\n\r\n/2${LAST_WORDS.slow_head}`)).toBe(true);
  });

  test("a body may take as long as it may, and is answered with 408 after", async () => {
    const { caller, peer } = await listener.call(post("/1", "hello").slice(0, -2));
    const exchange = listener.exchanges[0]!;
    listener.clock.advance(HEAD_MS + BODY_MS);
    await listener.send(caller, peer, "l");
    expect(exchange).toMatchObject({ body: "hell", told: [] });
    listener.clock.advance(LOOK_EVERY_MS);
    expect(await caller.untilClosed()).toBe(LAST_WORDS.slow_head);
    expect(exchange.told).toEqual(["cut", "gone"]);
    expect(listener.faults).toEqual(["slow_head"]);
  });

  test("a slow body in the middle of its answer breaks the connection without last words", async () => {
    const { caller } = await listener.call(post("/1", "hello").slice(0, -2));
    listener.exchanges[0]!.stream("part");
    await caller.until("part");
    listener.clock.advance(HEAD_MS + BODY_MS + LOOK_EVERY_MS);
    expect(await caller.untilClosed()).toMatch(/part\r\n$/);
    expect(listener.exchanges[0]!.told).toEqual(["cut", "gone"]);
  });

  test("an answer has all of it", async () => {
    const { caller } = await listener.call(get("/1"));
    listener.clock.advance(3_600_000);
    await listener.aside();
    listener.exchanges[0]!.answer("at last");
    await caller.until("at last");
    expect(caller.text).toContain("200 OK");
    expect(listener.faults).toEqual([]);
  });

  test("between requests closes the connection without a word, and not before it is over", async () => {
    listener.handle = answerUrl;
    const { caller, peer } = await listener.call(get("/1"));
    listener.clock.advance(IDLE_MS);
    await listener.send(caller, peer, get("/2"));
    await caller.until("/2");
    listener.clock.advance(IDLE_MS + LOOK_EVERY_MS);
    expect(await caller.untilClosed()).toMatch(/\r\n\r\n\/2$/);
    expect(listener.faults).toEqual([]);
  });

  test("between requests begins with the end of an answer, however long that took", async () => {
    const { caller, peer } = await listener.call(get("/1"));
    listener.clock.advance(3 * IDLE_MS);
    listener.exchanges[0]!.answer("late");
    await caller.until("late");
    listener.clock.advance(IDLE_MS);
    await listener.send(caller, peer, get("/2"));
    expect(listener.urls).toEqual(["/1", "/2"]);
  });

  test("is not looked at any more once no connection is left", async () => {
    const { caller, peer } = await listener.call();
    expect(listener.clock.pendingTimers).toBe(1);
    caller.socket.destroy();
    await listener.until(() => peer.isClosed);
    listener.clock.advance(LOOK_EVERY_MS);
    expect(listener.clock.pendingTimers).toBe(0);
    await listener.call();
    expect(listener.clock.pendingTimers).toBe(1);
  });

  test("stands in the head of every answer", async () => {
    listener.handle = answerUrl;
    const { caller, peer } = await listener.call(get("/1"));
    await caller.until("/1");
    listener.clock.advance(1_000);
    await listener.send(caller, peer, get("/2"));
    await caller.until("/2");
    expect(caller.text.match(/Date: .*/g)).toEqual([
      "Date: Tue, 14 Nov 2023 22:13:20 GMT",
      "Date: Tue, 14 Nov 2023 22:13:21 GMT",
    ]);
  });
});

describe("an upgrade", () => {
  const asking = get("/up", "Connection: Upgrade\r\nUpgrade: postern\r\n");

  test("hands the socket over, paused, with what came behind its head, and loses nothing after", async () => {
    const { caller } = await listener.call(`${asking}BEHIND`);
    const { request, socket, head } = listener.upgrades[0]!;
    expect(request).toMatchObject({ method: "GET", url: "/up" });
    expect(head).toBe("BEHIND");
    expect(socket.isPaused()).toBe(true);
    const more = "more\0\r\n\r\n".repeat(50_000);
    caller.socket.write(more);
    await listener.aside();
    expect((await collect(socket, more.length)) === more).toBe(true);
    socket.write("HTTP/1.1 101 Switching Protocols\r\n\r\n");
    await caller.until("101");
    expect(listener.exchanges).toEqual([]);
  });

  test("waits for its turn behind a running request", async () => {
    const behind = "x".repeat(4 * MAX_BEHIND_BYTES);
    const { caller, peer } = await listener.call(get("/1"));
    caller.socket.write(asking + behind);
    await listener.until(() => peer.socket.isPaused());
    expect(listener.upgrades).toEqual([]);
    listener.exchanges[0]!.answer("first");
    const { socket, head } = listener.upgrades[0]!;
    expect(socket.isPaused()).toBe(true);
    const rest = await collect(socket, behind.length - head.length);
    expect(head + rest === behind).toBe(true);
    await caller.until("first");
  });

  test("takes the connection out of the server's care", async () => {
    const { caller, peer } = await listener.call(asking);
    const { socket } = listener.upgrades[0]!;
    listener.http.closeIdle();
    listener.http.closeAll();
    listener.clock.advance(HEAD_MS + BODY_MS + IDLE_MS);
    await listener.aside();
    expect(socket.destroyed).toBe(false);
    expect(peer.isClosed).toBe(false);
    // Nor does it end the taker's side when the caller ends its own.
    const ended = once(socket, "end");
    caller.socket.end();
    socket.resume();
    await ended;
    await listener.aside();
    expect(socket.writable).toBe(true);
  });

  test.each([
    ["a length", "Content-Length: 2\r\n"],
    ["chunks", "Transfer-Encoding: chunked\r\n"],
  ])("with a body of %s is answered with 400", async (_name, lines) => {
    const { caller } = await listener.call(get("/up", `Connection: Upgrade\r\nUpgrade: postern\r\n${lines}`));
    expect(await caller.untilClosed()).toBe(LAST_WORDS.malformed);
    expect(listener.upgrades).toEqual([]);
  });
});

describe("closing", () => {
  test("closeIdle() lets an answer that is leaving leave, whole", async () => {
    const large = "x".repeat(16 * 1024 * 1024);
    listener.handle = (exchange) => exchange.answer(large);
    const { caller, peer } = await listener.call();
    caller.socket.pause();
    await listener.send(caller, peer, get("/1"));
    listener.http.closeIdle();
    caller.socket.resume();
    expect((await caller.untilClosed()) === ok(large)).toBe(true);
  });

  async function everyState() {
    listener.handle = (exchange) => {
      if (exchange.request.url === "/done") answerUrl(exchange);
    };
    const fresh = await listener.call();
    const done = await listener.call(get("/done"));
    await done.caller.until("/done");
    const head = await listener.call("GET /head");
    const body = await listener.call(post("/body", "hello").slice(0, -1));
    const running = await listener.call(get("/running"));
    const up = await listener.call(get("/up", "Connection: Upgrade\r\nUpgrade: postern\r\n"));
    return { fresh, done, head, body, running, up };
  }

  test("closeIdle() ends the connections on which nothing is under way, and no other", async () => {
    const { fresh, done, head, body, running, up } = await everyState();
    listener.http.closeIdle();
    await Promise.all([fresh.caller.untilClosed(), done.caller.untilClosed()]);
    listener.handle = answerUrl;
    await listener.send(head.caller, head.peer, " HTTP/1.1\r\n\r\n");
    await head.caller.until("/head");
    await listener.send(body.caller, body.peer, "o");
    for (const { request, response } of listener.exchanges) {
      if (!response.isEnded) response.writeHead(200, ["Content-Length", "0", "X-Url", request.url]).end();
    }
    await body.caller.until("X-Url: /body");
    await running.caller.until("X-Url: /running");
    expect(up.peer.isClosed).toBe(false);
  });

  test("closeAll() ends all that were not taken over, and tells who runs", async () => {
    const { up, ...others } = await everyState();
    listener.http.closeAll();
    await Promise.all(Object.values(others).map(({ caller }) => caller.untilClosed()));
    await listener.until(() => Object.values(others).every(({ peer }) => peer.isClosed));
    expect(listener.exchanges.map(({ request, told }) => [request.url, told])).toEqual([
      ["/done", ["end"]],
      ["/body", ["cut", "gone"]],
      ["/running", ["end", "gone"]],
    ]);
    expect(listener.faults).toEqual([]);
    expect(up.peer.isClosed).toBe(false);
  });
});

describe("a caller that does not read its answers", () => {
  test("gets no further ones, and all of them, in order, once it reads", async () => {
    const count = 200;
    const answerBytes = 256 * 1024;
    const body = Buffer.alloc(answerBytes, "x");
    let sawFull = 0;
    listener.handle = ({ request, response }) => {
      if (request.socket.writableNeedDrain) sawFull += 1;
      response.writeHead(200, ["Content-Length", String(answerBytes), "X-Url", request.url]).end(body);
    };
    const caller = connect(listener.port, "127.0.0.1");
    const lines = `X-Pad: ${"x".repeat(1_500)}\r\n`;
    const last = get("/last", "Connection: close\r\n");
    caller.write(Array.from({ length: count }, (_, at) => get(`/${at}`, lines)).join("") + last);
    // Until nothing has begun during many exchanges of others.
    for (let seen = -1, still = 0; still < 20; ) {
      await listener.aside();
      const begun = listener.exchanges.length;
      still = begun === seen && begun > 0 ? still + 1 : 0;
      seen = begun;
    }
    const { socket, receivedBytes } = listener.peers[0]!;
    expect(listener.exchanges.length).toBeLessThan(count);
    expect(socket.writableLength).toBeLessThan(2 * answerBytes);
    expect(socket.isPaused()).toBe(true);
    expect(receivedBytes).toBeLessThan(count * 1_500);

    const urls: string[] = [];
    caller.on("data", (chunk: Buffer) => {
      for (const [, url] of chunk.toString("latin1").matchAll(/X-Url: (\S+)\r\n/g)) urls.push(url ?? "");
    });
    await once(caller, "close");
    expect(listener.exchanges).toHaveLength(count + 1);
    expect(caller.bytesRead).toBeGreaterThan((count + 1) * answerBytes);
    // One whose line was cut by the end of a read is not seen.
    expect(urls.length).toBeGreaterThan(count * 0.8);
    expect(urls).toEqual(listener.urls.filter((url) => urls.includes(url)));
    expect(sawFull).toBe(0);
  });

  test("is told of by write(), and by the owner's onDrain once it reads", async () => {
    const { caller } = await listener.call(get("/"));
    const exchange = listener.exchanges[0]!;
    caller.socket.pause();
    const drained = new Promise<void>((resolve) => {
      exchange.onDrain = resolve;
    });
    exchange.response.writeHead(200, [], true);
    const part = Buffer.alloc(1024 * 1024, "x");
    let parts = 1;
    while (exchange.response.write(part)) parts += 1;
    expect(parts).toBeLessThan(64);
    caller.socket.resume();
    await drained;
    exchange.response.end();
  });
});

/** Not half open, as public-listener.ts makes it with TLS. */
describe("over TLS", () => {
  const certificate = makeCertificate();
  beforeEach(async () => {
    await listener.stop();
    listener = new Listener(createTlsServer({ ...certificate, noDelay: true }));
    await listener.start();
  });

  /** What a caller got, and who it is. */
  async function open(): Promise<{ socket: TLSSocket; text: () => string }> {
    const socket = connectTls({ port: listener.port, host: "127.0.0.1", rejectUnauthorized: false });
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
    });
    socket.on("error", () => {});
    await once(socket, "secureConnect");
    return { socket, text: () => text };
  }

  test("requests are answered in order, and the connection closed behind the last", async () => {
    listener.handle = (exchange) =>
      void exchange.until(({ told }) => told.includes("end")).then(() => answerUrl(exchange));
    const { socket, text } = await open();
    socket.write(get("/1") + post("/2", "hello") + get("/3", "Connection: close\r\n") + get("/4"));
    await once(socket, "close");
    expect(text()).toBe(ok("/1") + ok("/2") + ok("/3", CLOSES));
    expect(listener.urls).toEqual(["/1", "/2", "/3"]);
  });

  test.each(["end", "destroy"] as const)(
    "a caller that leaves within its answer by %s() is told of once",
    async (way) => {
      const { socket } = await open();
      socket.write(get("/1"));
      const exchange = await listener.exchange(0);
      exchange.stream("part");
      await once(socket, "data");
      socket[way]();
      await listener.until(() => listener.peers[0]?.isClosed === true);
      expect(exchange.told).toEqual(["end", "gone"]);
      expect(listener.faults).toEqual([]);
    },
  );

  test("a caller that leaves within a head is a fault, and the connection closes", async () => {
    const { socket } = await open();
    socket.write("GET / HT");
    await listener.until(() => listener.peers[0]?.receivedBytes === 8);
    socket.end();
    await once(socket, "close");
    await listener.until(() => listener.peers[0]?.isClosed === true);
    expect(listener.faults).toEqual(["malformed"]);
  });

  test("an upgrade hands over the socket inside TLS, and loses nothing", async () => {
    const { socket, text } = await open();
    const more = "more\0\r\n\r\n".repeat(50_000);
    socket.write(`${get("/up", "Connection: Upgrade\r\nUpgrade: postern\r\n")}${more}`);
    await listener.until(() => listener.upgrades.length > 0);
    const taken = listener.upgrades[0]!;
    expect(taken.socket).toBeInstanceOf(TLSSocket);
    const rest = more.length - taken.head.length;
    expect(taken.head + (rest === 0 ? "" : await collect(taken.socket, rest)) === more).toBe(true);
    const answered = once(socket, "data");
    taken.socket.write("101");
    await answered;
    expect(text()).toBe("101");
  });
});

/** Everything that comes on a socket that was taken over, up to this length. */
async function collect(socket: Socket, bytes: number): Promise<string> {
  let text = "";
  const whole = new Promise<void>((resolve) => {
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
      if (text.length >= bytes) resolve();
    });
  });
  socket.resume();
  await whole;
  return text;
}
