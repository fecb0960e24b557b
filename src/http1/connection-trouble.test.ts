import type { Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  answerUrl,
  chunked,
  type Exchange,
  get,
  LAST_WORDS,
  Listener,
  MAX_HEAD_BYTES,
  ok,
  post,
} from "../../test/support/http-listener.ts";

let listener: Listener;
beforeEach(async () => {
  listener = new Listener();
  await listener.start();
});
afterEach(() => listener.stop());

describe("a body", () => {
  test.each([
    ["of a known length", post("/", "hello, world"), "hello, world"],
    ["in chunks", chunked("/", '5;a="b"\r\nhello\r\n7\r\n, world\r\n0\r\nX-Sum: 1\r\n\r\n'), "hello, world"],
    [
      "of every byte",
      post("/", "\0\xff\r\n\r\n\x80GET / HTTP/1.1\r\n\r\n"),
      "\0\xff\r\n\r\n\x80GET / HTTP/1.1\r\n\r\n",
    ],
  ])("%s comes through whole when every byte is a packet of its own", async (_name, bytes, body) => {
    const { caller, peer } = await listener.call();
    for (const byte of bytes) await listener.send(caller, peer, byte);
    const exchange = await listener.exchange(0);
    expect(exchange).toMatchObject({ body, told: ["end"] });
    exchange.answer("done");
    await listener.send(caller, peer, get("/next"));
    expect(listener.urls).toEqual(["/", "/next"]);
    expect(listener.faults).toEqual([]);
  });

  test("is given as it comes, before its end", async () => {
    const { caller, peer } = await listener.call(post("/", "hello").slice(0, -2));
    const exchange = await listener.exchange(0);
    expect(exchange).toMatchObject({ body: "hel", told: [] });
    expect(exchange.request.complete).toBe(false);
    await listener.send(caller, peer, "lo");
    expect(exchange).toMatchObject({ body: "hello", told: ["end"] });
    expect(exchange.request.complete).toBe(true);
  });

  test("of no bytes has ended when its head is there", async () => {
    await listener.call(post("/", ""));
    expect(listener.exchanges[0]).toMatchObject({ body: "", told: ["end"] });
  });

  test("of several megabytes comes through byte for byte", async () => {
    const body = Buffer.from(Array.from({ length: 3_000_000 }, (_, at) => at % 251)).toString("latin1");
    const { caller } = await listener.call(post("/", ""));
    listener.exchanges[0]!.answer("");
    caller.socket.write(Buffer.from(post("/big", body), "latin1"));
    const exchange = await listener.exchange(1);
    await exchange.until(({ told }) => told.length > 0);
    expect(exchange.body === body).toBe(true);
  });

  test.each([
    ["of a known length", (body: string) => post("/1", body)],
    ["in chunks", (body: string) => chunked("/1", `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`)],
  ])("%s that was refused is dropped as it comes, and the connection kept", async (_name, make) => {
    listener.handle = (exchange) => {
      exchange.request.drop();
      answerUrl(exchange);
    };
    // What is in it must not be taken for a request.
    const bytes = make(get("/inside").repeat(3_000));
    const { caller, peer } = await listener.call(bytes.slice(0, 100));
    await caller.until("/1");
    expect(listener.exchanges[0]!.response.isEnded).toBe(true);
    caller.socket.write(bytes.slice(100) + get("/2"));
    await caller.until("/2");
    expect(caller.text).toBe(ok("/1") + ok("/2"));
    expect(listener.urls).toEqual(["/1", "/2"]);
    expect(listener.exchanges[0]).toMatchObject({ body: "", told: [] });
    expect(peer.isClosed).toBe(false);
  });

  test("that was answered before its end does not let the next request begin before its end", async () => {
    listener.handle = answerUrl;
    const { caller, peer } = await listener.call(post("/1", "hello").slice(0, -1));
    await caller.until("/1");
    expect(peer.socket.isPaused()).toBe(false);
    await listener.send(caller, peer, `o${get("/2")}`);
    await caller.until("/2");
    expect(caller.text).toBe(ok("/1") + ok("/2"));
  });

  test("dropped in the middle leaves its reader alone from then on", async () => {
    const { caller, peer } = await listener.call(post("/1", "hello world").slice(0, -6));
    const exchange = listener.exchanges[0]!;
    exchange.request.drop();
    await listener.send(caller, peer, " world");
    exchange.answer("no");
    await caller.until("no");
    expect(exchange).toMatchObject({ body: "hello", told: [] });
  });
});

describe("a head", () => {
  const pad = (bytes: number) => {
    const empty = get("/", "X-Pad: \r\n").length - "\r\n\r\n".length;
    return get("/", `X-Pad: ${"x".repeat(bytes - empty)}\r\n`);
  };

  test("in packets of one byte becomes a request", async () => {
    const { caller, peer } = await listener.call();
    const bytes = get("/");
    for (const byte of bytes.slice(0, -1)) await listener.send(caller, peer, byte);
    expect(listener.exchanges).toEqual([]);
    await listener.send(caller, peer, "\n");
    expect(listener.urls).toEqual(["/"]);
  });

  test("of the largest size is taken, and of one byte more answered with 431", async () => {
    listener.handle = answerUrl;
    const { caller, peer } = await listener.call(pad(MAX_HEAD_BYTES));
    await caller.until("\r\n\r\n/");
    await listener.send(caller, peer, pad(MAX_HEAD_BYTES + 1) + get("/behind"));
    expect(await caller.untilClosed()).toBe(ok("/") + LAST_WORDS.head_too_large);
    expect(listener.faults).toEqual(["head_too_large"]);
    expect(listener.urls).toEqual(["/"]);
  });

  test("of the largest size is taken wherever it is cut", async () => {
    listener.handle = answerUrl;
    const { caller, peer } = await listener.call();
    const bytes = pad(MAX_HEAD_BYTES);
    for (let behind = 1; behind <= 5; behind++) {
      await listener.send(caller, peer, bytes.slice(0, -behind));
      await listener.send(caller, peer, bytes.slice(-behind));
    }
    expect(listener.faults).toEqual([]);
    expect(listener.urls).toHaveLength(5);
  });

  test("without an end is answered with 431 once it is too large", async () => {
    const { caller } = await listener.call(pad(MAX_HEAD_BYTES + 100).slice(0, MAX_HEAD_BYTES + 4));
    expect(await caller.untilClosed()).toBe(LAST_WORDS.head_too_large);
    expect(listener.faults).toEqual(["head_too_large"]);
  });

  test("of trailers too large is answered with 431, and tells who runs", async () => {
    const { caller } = await listener.call(chunked("/", `0\r\nX-Pad: ${"x".repeat(MAX_HEAD_BYTES)}\r\n\r\n`));
    expect(await caller.untilClosed()).toBe(LAST_WORDS.head_too_large);
    expect(listener.exchanges[0]!.told).toEqual(["cut", "gone"]);
    expect(listener.faults).toEqual(["head_too_large"]);
  });

  test.each([
    ["TLS", "\x16\x03\x01\x02\x00\x01\x00"],
    ["HTTP/2", "PRI * HTTP/2.0\r\n"],
    ["CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"],
    ["an LF alone", "GET / HTTP/1.1\n"],
    ["two lengths", "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"],
  ])("that is %s is answered with 400 without waiting for more", async (_name, bytes) => {
    const { caller } = await listener.call(bytes);
    expect(await caller.untilClosed()).toBe(LAST_WORDS.malformed);
    expect(listener.faults).toEqual(["malformed"]);
    expect(listener.exchanges).toEqual([]);
  });
});

describe("a fault in a body", () => {
  const broken = chunked("/1", "5\r\nhello\r\nnonsense\r\n");
  const at = broken.indexOf("nonsense");

  test("before an answer has begun is answered with 400, and tells reader and owner once", async () => {
    const { caller, peer } = await listener.call(broken + get("/2"));
    expect(await caller.untilClosed()).toBe(LAST_WORDS.malformed);
    await listener.until(() => peer.isClosed);
    expect(listener.exchanges[0]).toMatchObject({ body: "hello", told: ["cut", "gone"] });
    expect(listener.faults).toEqual(["malformed"]);
    expect(listener.urls).toEqual(["/1"]);
  });

  test("in the middle of an answer breaks the connection, without last words in it", async () => {
    const { caller, peer } = await listener.call(broken.slice(0, at));
    const exchange = listener.exchanges[0]!;
    exchange.stream("first words");
    await caller.until("first words");
    await listener.send(caller, peer, broken.slice(at) + get("/2"));
    const text = await caller.untilClosed();
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1);
    expect(text.endsWith("first words\r\n")).toBe(true);
    await listener.until(() => peer.isClosed);
    expect(exchange.told).toEqual(["cut", "gone"]);
    expect(listener.faults).toEqual(["malformed"]);
    expect(listener.urls).toEqual(["/1"]);
  });

  test("leaves nothing that a handler may still write", async () => {
    const { caller, peer } = await listener.call(broken);
    const { response } = listener.exchanges[0]!;
    expect(response.destroyed).toBe(true);
    listener.exchanges[0]!.answer("late");
    expect(await caller.untilClosed()).toBe(LAST_WORDS.malformed);
    await listener.until(() => peer.isClosed);
  });

  test("that was refused already closes the connection behind the whole answer", async () => {
    listener.handle = answerUrl;
    const { caller, peer } = await listener.call(broken.slice(0, at));
    await caller.until("/1");
    await listener.send(caller, peer, broken.slice(at) + get("/2"));
    const text = await caller.untilClosed();
    expect(text.startsWith(ok("/1"))).toBe(true);
    expect(listener.faults).toEqual(["malformed"]);
    expect(listener.urls).toEqual(["/1"]);
  });
});

describe("a caller that leaves", () => {
  interface Leaving {
    state: string;
    bytes: string;
    /** Before it leaves. */
    prepare?: (exchange: Exchange) => void;
    told: string[];
  }
  const half = post("/1", "hello").slice(0, -2);
  const whole = get("/1");
  const states: readonly Leaving[] = [
    { state: "before a request", bytes: "", told: [] },
    { state: "within a body", bytes: half, told: ["cut", "gone"] },
    { state: "within a body of chunks", bytes: chunked("/1", "5\r\nhel"), told: ["cut", "gone"] },
    { state: "within body and answer", bytes: half, prepare: (one) => one.stream("part"), told: ["cut", "gone"] },
    { state: "within a body that was answered", bytes: half, prepare: (one) => one.answer("early"), told: ["cut"] },
    { state: "within a body that is dropped", bytes: half, prepare: (one) => one.request.drop(), told: ["gone"] },
    { state: "before its answer", bytes: whole, told: ["end", "gone"] },
    { state: "before its answer, with a request behind", bytes: whole + get("/2"), told: ["end", "gone"] },
    { state: "within its answer", bytes: whole, prepare: (one) => one.stream("part"), told: ["end", "gone"] },
    { state: "after its answer", bytes: whole, prepare: (one) => one.answer("done"), told: ["end"] },
  ];
  const ways = [
    { way: "FIN", leave: (socket: Socket) => void socket.end() },
    { way: "RST", leave: (socket: Socket) => void socket.resetAndDestroy() },
  ];
  const cases = states.flatMap((state) => ways.map((way) => ({ ...state, ...way })));

  test.each(cases)(
    "$state by $way: reader and owner are told what they must know once, and the connection closes",
    async ({ bytes, prepare, told, leave }) => {
      const { caller, peer } = await listener.call(bytes);
      for (const exchange of listener.exchanges) prepare?.(exchange);
      await listener.aside();
      const before = caller.text;
      leave(caller.socket);
      await listener.until(() => peer.isClosed);
      await caller.untilClosed();
      expect(listener.exchanges.map((exchange) => exchange.told)).toEqual(bytes === "" ? [] : [told]);
      expect(listener.faults).toEqual([]);
      expect(caller.text).toBe(before);
    },
  );

  test("within a head by FIN gets 400; by RST nobody is told", async () => {
    const first = await listener.call("GET / HT");
    first.caller.socket.end();
    expect(await first.caller.untilClosed()).toBe(LAST_WORDS.malformed);
    expect(listener.faults).toEqual(["malformed"]);
    const second = await listener.call("GET / HT");
    second.caller.socket.resetAndDestroy();
    await listener.until(() => second.peer.isClosed);
    expect(listener.faults).toEqual(["malformed"]);
    expect(listener.exchanges).toEqual([]);
  });

  test("before its body is asked for: whoever asks then is told at once", async () => {
    const { caller, peer } = await listener.call(half);
    const { request } = listener.exchanges[0]!;
    request.drop();
    caller.socket.end();
    await listener.until(() => peer.isClosed);
    const told: string[] = [];
    request.read({ onData: () => told.push("data"), onEnd: () => told.push("end"), onClose: () => told.push("cut") });
    expect(told).toEqual(["cut"]);
  });

  test("without taking what it was sent: the owner is told all the same, at once", async () => {
    const { caller, peer } = await listener.call();
    caller.socket.pause();
    await listener.send(caller, peer, get("/1"));
    const exchange = listener.exchanges[0]!;
    exchange.stream("x".repeat(16 * 1024 * 1024));
    caller.socket.end();
    await exchange.until(({ told }) => told.includes("gone"));
    expect(peer.isClosed).toBe(false);
    caller.socket.destroy();
    await listener.until(() => peer.isClosed);
    expect(exchange.told).toEqual(["end", "gone"]);
  });

  test("gets nothing that its handler writes after", async () => {
    const { caller, peer } = await listener.call(get("/1") + get("/2"));
    caller.socket.end();
    await listener.exchanges[0]!.until(({ told }) => told.includes("gone"));
    listener.exchanges[0]!.answer("late");
    expect(await caller.untilClosed()).toBe("");
    await listener.until(() => peer.isClosed);
    expect(listener.urls).toEqual(["/1"]);
  });
});
