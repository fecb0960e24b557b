import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, test } from "vitest";
import {
  answerUrl,
  CLOSES,
  chunked,
  get,
  KEEPS,
  LAST_WORDS,
  Listener,
  MAX_BEHIND_BYTES,
  ok,
  post,
  READ_BYTES,
} from "../../test/support/http-listener.ts";

let listener: Listener;
beforeEach(async () => {
  listener = new Listener();
  await listener.start();
});
afterEach(() => listener.stop());

describe("a connection answers its requests", () => {
  test("that came in one packet one after the other, in order, however long each takes", async () => {
    const { caller } = await listener.call(get("/1") + post("/2", "two") + get("/3"));
    expect(listener.urls).toEqual(["/1"]);
    listener.exchanges[0]!.answer("a");
    expect(listener.urls).toEqual(["/1", "/2"]);
    await listener.aside();
    expect(listener.urls).toEqual(["/1", "/2"]);
    listener.exchanges[1]!.answer("b");
    listener.exchanges[2]!.answer("c");
    await caller.until("\r\n\r\nc");
    expect(caller.text).toBe(ok("a") + ok("b") + ok("c"));
    expect(listener.exchanges[1]).toMatchObject({ body: "two", told: ["end"] });
  });

  test("that came in one packet at once, many of them, without running out of stack", async () => {
    listener.handle = answerUrl;
    const count = 20_000;
    const all = Array.from({ length: count }, (_, at) => `GET /${at} HTTP/1.1\r\n\r\n`).join("");
    const { caller } = await listener.call(all + get("/last", "Connection: close\r\n"));
    await caller.untilClosed();
    expect(listener.exchanges).toHaveLength(count + 1);
    expect(caller.text.endsWith(ok("/last", CLOSES))).toBe(true);
  });

  test("one after the other on the same connection, each when it comes", async () => {
    listener.handle = answerUrl;
    const { caller, peer } = await listener.call(get("/1"));
    await caller.until("/1");
    await listener.send(caller, peer, get("/2"));
    await caller.until("/2");
    expect(caller.text).toBe(ok("/1") + ok("/2"));
    expect(listener.peers).toHaveLength(1);
  });

  test("HEAD without a body, so that the next answer is where it should be", async () => {
    listener.handle = (exchange) => exchange.answer("body");
    const { caller } = await listener.call(get("/1", "", "HEAD") + get("/2"));
    await caller.until("\r\n\r\nbody");
    expect(caller.text).toBe(`HTTP/1.1 200 OK\r\nContent-Length: 4\r\n${KEEPS}\r\n${ok("body")}`);
  });

  test("behind up to two empty lines, and not behind three", async () => {
    listener.handle = answerUrl;
    const { caller, peer } = await listener.call(`\r\n\r\n${get("/1")}\r\n\r\n${get("/2")}`);
    await caller.until("/2");
    await listener.send(caller, peer, `\r\n\r\n\r\n${get("/3")}`);
    expect(await caller.untilClosed()).toBe(ok("/1") + ok("/2") + LAST_WORDS.malformed);
    expect(listener.urls).toEqual(["/1", "/2"]);
  });

  test("and sends the head of an answer that streams with its first part", async () => {
    const { caller } = await listener.call(get("/"));
    listener.exchanges[0]!.stream("first");
    await caller.until("first\r\n");
    listener.exchanges[0]!.response.end(Buffer.from("0\r\n\r\n"));
    await caller.until("first\r\n0\r\n\r\n");
    expect(caller.text).toBe(`HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n${KEEPS}\r\n5\r\nfirst\r\n0\r\n\r\n`);
  });
});

/**
 * Found in the field: an answer that closes the connection ended, and what waited behind it was handled all the same; the work was
 * done for nobody.
 */
describe("a request behind one that closes the connection is never handled", () => {
  test("one that is ended after it was destroyed", async () => {
    const { peer } = await listener.call(get("/1") + get("/2"));
    listener.exchanges[0]!.response.destroy();
    listener.exchanges[0]!.answer("too late");
    await listener.until(() => peer.isClosed);
    expect(listener.urls).toEqual(["/1"]);
  });
  test("one that is destroyed and ended within its body", async () => {
    listener.handle = (exchange) => {
      exchange.response.destroy();
      exchange.answer("too late");
    };
    const { peer } = await listener.call(post("/1", "hello") + get("/2"));
    await listener.until(() => peer.isClosed);
    expect(listener.urls).toEqual(["/1"]);
  });

  const closing = "Connection: close\r\n";
  const cases: ReadonlyArray<readonly [name: string, first: string, body: string]> = [
    ["a caller's Connection: close", get("/1", closing), ""],
    ["the same, with a body", post("/1", "hello", closing), "hello"],
    ["HTTP/1.0", "GET /1 HTTP/1.0\r\n\r\n", ""],
  ];

  test.each(cases)("%s, answered at once", async (_name, first) => {
    listener.handle = answerUrl;
    const { caller } = await listener.call(first + get("/2"));
    expect(await caller.untilClosed()).toBe(ok("/1", CLOSES));
    expect(listener.urls).toEqual(["/1"]);
  });

  test.each(cases)("%s, answered later", async (_name, first, body) => {
    const { caller } = await listener.call(first + get("/2") + get("/3"));
    await listener.aside();
    expect(listener.exchanges[0]!.body).toBe(body);
    listener.exchanges[0]!.answer("late");
    expect(await caller.untilClosed()).toBe(ok("late", CLOSES));
    expect(listener.urls).toEqual(["/1"]);
  });

  test.each([
    ["known length", post("/1", "hello")],
    ["chunks", chunked("/1", "5\r\nhello\r\n0\r\n\r\n")],
  ])("a refusal that closes before the body was read, of %s", async (_name, first) => {
    listener.handle = (exchange) => {
      exchange.response.shouldKeepAlive = false;
      exchange.answer("no");
    };
    const { caller } = await listener.call(first + get("/2"));
    expect(await caller.untilClosed()).toBe(ok("no", CLOSES));
    expect(listener.urls).toEqual(["/1"]);
  });

  test.each([
    ["known length", post("/1", "hello")],
    ["chunks", chunked("/1", "5\r\nhello\r\n0\r\n\r\n")],
    ["chunks that are broken behind", chunked("/1", "5\r\nhello\r\nnonsense\r\n")],
  ])("a refusal that closes at the last part of the body, of %s", async (_name, first) => {
    listener.handle = (exchange) => {
      exchange.request.read({
        onData() {
          exchange.request.drop();
          exchange.response.shouldKeepAlive = false;
          exchange.answer("no");
        },
        onEnd() {},
        onClose() {},
      });
    };
    const { caller } = await listener.call(first + get("/2"));
    expect(await caller.untilClosed()).toBe(ok("no", CLOSES));
    expect(listener.urls).toEqual(["/1"]);
    expect(listener.faults).toEqual([]);
  });

  test("one that the listener destroys", async () => {
    const { caller, peer } = await listener.call(get("/1") + get("/2"));
    listener.exchanges[0]!.stream("part");
    listener.exchanges[0]!.response.destroy();
    await caller.untilClosed();
    await listener.until(() => peer.isClosed);
    expect(listener.urls).toEqual(["/1"]);
    expect(listener.exchanges[0]!.told).toEqual(["end", "gone"]);
  });

  test("one with a fault", async () => {
    listener.handle = answerUrl;
    const { caller } = await listener.call(`GET /1 HTTP/1.1\nHost: a\r\n\r\n${get("/2")}`);
    expect(await caller.untilClosed()).toBe(LAST_WORDS.malformed);
    expect(listener.urls).toEqual([]);
  });

  test("nor what comes while the last answer is leaving", async () => {
    const large = "x".repeat(4 * 1024 * 1024);
    listener.handle = (exchange) => exchange.answer(large);
    const { caller, peer } = await listener.call();
    caller.socket.pause();
    await listener.send(caller, peer, get("/1", closing));
    await listener.send(caller, peer, get("/2"));
    caller.socket.resume();
    expect((await caller.untilClosed()) === ok(large, CLOSES)).toBe(true);
    expect(listener.urls).toEqual(["/1"]);
  });
});

describe("what comes behind a running request", () => {
  test("a lone empty line behind an answer begins nothing: the connection is idle, and ends as one", async () => {
    listener.handle = (exchange) => exchange.answer("x");
    const { caller, peer } = await listener.call(get("/1"));
    await listener.send(caller, peer, "\r\n");
    caller.socket.end();
    expect(await caller.untilClosed()).toBe(ok("x"));
    expect(listener.faults).toEqual([]);
  });

  test("waits as bytes: it is not judged before its turn", async () => {
    const { caller } = await listener.call(`${get("/1")}NONSENSE\0\r\n\r\n`);
    await listener.aside();
    expect(listener.faults).toEqual([]);
    listener.exchanges[0]!.answer("whole");
    expect(await caller.untilClosed()).toBe(ok("whole") + LAST_WORDS.malformed);
    expect(listener.faults).toEqual(["malformed"]);
  });

  test("in many packets becomes one request when its turn comes", async () => {
    const { caller, peer } = await listener.call(get("/1"));
    for (const byte of post("/2", "hello")) await listener.send(caller, peer, byte);
    expect(listener.urls).toEqual(["/1"]);
    listener.exchanges[0]!.answer("a");
    expect(listener.urls).toEqual(["/1", "/2"]);
    expect(listener.exchanges[1]).toMatchObject({ body: "hello", told: ["end"] });
  });

  test("is not read beyond its bound, and all of it after", async () => {
    const { caller, peer } = await listener.call(get("/first"));
    const count = 1_000;
    const lines = `X-Pad: ${"x".repeat(1_000)}\r\n`;
    const behind = Array.from({ length: count }, (_, at) => get(`/${at}`, lines)).join("");
    expect(behind.length).toBeGreaterThan(10 * MAX_BEHIND_BYTES);
    caller.socket.write(behind);
    await listener.until(() => peer.socket.isPaused());
    const readBytes = peer.receivedBytes;
    expect(readBytes).toBeLessThan(get("/first").length + MAX_BEHIND_BYTES + READ_BYTES);
    await listener.aside();
    expect(peer.receivedBytes).toBe(readBytes);
    expect(listener.urls).toEqual(["/first"]);

    listener.handle = answerUrl;
    listener.exchanges[0]!.answer("first");
    await caller.until(ok(`/${count - 1}`));
    const urls = Array.from({ length: count }, (_, at) => `/${at}`);
    expect(listener.urls).toEqual(["/first", ...urls]);
    expect(caller.text).toBe([ok("first"), ...urls.map((url) => ok(url))].join(""));
  });

  test("stops being read again behind the next request that takes its time", async () => {
    const { caller, peer } = await listener.call(get("/1"));
    const body = "x".repeat(8 * MAX_BEHIND_BYTES);
    caller.socket.write(get("/2") + post("/3", body));
    await listener.until(() => peer.socket.isPaused());
    listener.exchanges[0]!.answer("a");
    expect(listener.urls).toEqual(["/1", "/2"]);
    await listener.until(() => peer.socket.isPaused());
    await listener.aside();
    expect(peer.receivedBytes).toBeLessThan(4 * MAX_BEHIND_BYTES);
    listener.exchanges[1]!.answer("b");
    const third = await listener.exchange(2);
    await third.until(({ told }) => told.length > 0);
    expect(third).toMatchObject({ told: ["end"] });
    expect(third.body === body).toBe(true);
  });
});

describe("requests cut anywhere into packets", () => {
  interface Asked {
    method: string;
    framing: "none" | "length" | "chunked";
    body: string;
    /** When its answer comes: with its head, its body's end, or later. */
    mode: "early" | "end" | "later";
    closes: boolean;
    emptyLines: number;
    chunkAt: number;
  }

  const asked: fc.Arbitrary<Asked> = fc.record({
    method: fc.constantFrom("GET", "POST", "HEAD"),
    framing: fc.constantFrom("none", "length", "chunked"),
    body: fc.oneof(
      fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString("latin1")),
      fc.constant(get("/inside")),
      fc.constant("0\r\n\r\n"),
    ),
    mode: fc.constantFrom("early", "end", "later"),
    closes: fc.nat({ max: 9 }).map((one) => one === 0),
    emptyLines: fc.constantFrom(0, 0, 0, 1, 2),
    chunkAt: fc.nat({ max: 60 }),
  });
  const endings = fc.constantFrom("", "NONSENSE\r\n\r\n", "get / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nA : b\r\n\r\n");

  function bytesOf(one: Asked, at: number): string {
    const closing = one.closes ? "Connection: close\r\n" : "";
    const line = `${"\r\n".repeat(one.emptyLines)}${one.method} /${at} HTTP/1.1\r\nX-Mode: ${one.mode}\r\n${closing}`;
    const { body } = one;
    if (one.framing === "none") return `${line}\r\n`;
    if (one.framing === "length") return `${line}Content-Length: ${body.length}\r\n\r\n${body}`;
    const parts = [body.slice(0, one.chunkAt), body.slice(one.chunkAt)].filter((part) => part !== "");
    const chunks = parts.map((part) => `${part.length.toString(16)};x=y\r\n${part}\r\n`).join("");
    return `${line}Transfer-Encoding: chunked\r\n\r\n${chunks}0\r\nX-Sum: 1\r\n\r\n`;
  }

  function answerOf(one: Asked, at: number): string {
    const text = one.mode === "early" || one.framing === "none" ? `/${at} ` : `/${at} ${one.body}`;
    const whole = ok(text, one.closes ? CLOSES : KEEPS);
    return one.method === "HEAD" ? whole.slice(0, whole.length - text.length) : whole;
  }

  beforeEach(() => {
    listener.handle = (exchange) => {
      const { request } = exchange;
      const answer = () => exchange.answer(`${request.url} ${exchange.body}`);
      const mode = request.header("x-mode");
      if (mode === "early") {
        request.drop();
        answer();
      } else if (mode === "end") {
        if (request.complete) return answer();
        request.read({ ...exchange.reader, onEnd: answer });
      } else void exchange.until(({ told }) => told.includes("end")).then(() => setImmediate(answer));
    };
  });

  async function answersTo(packets: readonly string[]): Promise<string> {
    const { caller, peer } = await listener.call();
    for (const packet of packets) if (!peer.isClosed) await listener.send(caller, peer, packet);
    return await caller.untilClosed();
  }

  it("get the same answers, byte for byte, and nothing behind the end of the connection gets any", async () => {
    const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(fc.array(asked, { minLength: 1, maxLength: 6 }), endings, cuts, async (all, ending, at) => {
        const last: Asked = { ...all[0]!, emptyLines: 0, closes: true };
        const sequence = ending === "" ? [...all, last] : all;
        const bytes = sequence.map(bytesOf).join("") + ending;
        const closing = sequence.findIndex(({ closes }) => closes);
        const answered = closing === -1 ? sequence : sequence.slice(0, closing + 1);
        const expected = answered.map(answerOf).join("") + (closing === -1 ? LAST_WORDS.malformed : "");
        listener.exchanges.length = 0;
        expect(await answersTo(cut(bytes, at))).toBe(expected);
        expect(listener.exchanges).toHaveLength(answered.length);
      }),
      { numRuns: 200 },
    );
  });

  it("get the same answers when each byte is a packet", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(asked, { minLength: 1, maxLength: 3 }), async (all) => {
        const sequence = [...all.map((one) => ({ ...one, closes: false })), { ...all[0]!, closes: true }];
        expect(await answersTo([...sequence.map(bytesOf).join("")])).toBe(sequence.map(answerOf).join(""));
      }),
      { numRuns: 15 },
    );
  });
});

/** Cuts a text at these places, told as parts of its length. */
function cut(text: string, at: readonly number[]): string[] {
  const places = [0, ...at.map((part) => Math.floor(part * text.length)).sort((a, b) => a - b), text.length];
  return places
    .slice(1)
    .map((end, index) => text.slice(places[index], end))
    .filter((part) => part !== "");
}
