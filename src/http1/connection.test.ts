import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer, TLSSocket, Server as TlsServer } from "node:tls";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, test } from "vitest";
import { makeCertificate } from "../../test/support/certificate.ts";
import { RawConnection } from "../../test/support/raw-connection.ts";
import { ManualClock } from "../lib/clock.ts";
import type { ConnectionFault } from "./connection.ts";
import type { BodyReader, HttpRequest } from "./request.ts";
import type { HttpResponse, ResponseOwner } from "./response.ts";
import { HttpServer } from "./server.ts";

const MAX_HEAD_BYTES = 2048;
const HEAD_MS = 15_000;
const BODY_MS = 30_000;
const IDLE_MS = 60_000;
/** As in server.ts: how exactly connections are timed. */
const LOOK_EVERY_MS = 5_000;
/** As in connection.ts. */
const MAX_BEHIND_BYTES = 64 * 1024;
/** Node reads a socket in parts of this size at most. */
const READ_BYTES = 64 * 1024;

const DATE = "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\n";
const KEEPS = `${DATE}Connection: keep-alive\r\nKeep-Alive: timeout=60\r\n`;
const CLOSES = `${DATE}Connection: close\r\n`;
const LAST_WORDS = {
  malformed: "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
  head_too_large: "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
  slow_head: "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
};

/** Tells those who wait for something whenever it may have come. */
class Signal {
  #waiting: Array<() => void> = [];

  notify(): void {
    for (const one of [...this.#waiting]) one();
  }

  when(isSo: () => boolean): Promise<void> {
    if (isSo()) return Promise.resolve();
    return new Promise((resolve) => {
      const check = () => {
        if (!isSo()) return;
        this.#waiting = this.#waiting.filter((one) => one !== check);
        resolve();
      };
      this.#waiting.push(check);
    });
  }
}

/** A request that reached the listener, and what its handler was told. */
class Exchange implements ResponseOwner {
  body = "";
  /** What was told, in order: "end" and "cut" of the body, "gone" of the answer. */
  told: string[] = [];
  readonly request: HttpRequest;
  readonly response: HttpResponse;
  readonly #signal: Signal;

  constructor(request: HttpRequest, response: HttpResponse, signal: Signal) {
    this.request = request;
    this.response = response;
    this.#signal = signal;
    response.owner = this;
  }

  get reader(): BodyReader {
    return {
      onData: (chunk) => {
        this.body += chunk.toString("latin1");
        this.#signal.notify();
      },
      onEnd: () => this.#tell("end"),
      onClose: () => this.#tell("cut"),
    };
  }

  onDrain(): void {}

  onClose(): void {
    this.#tell("gone");
  }

  until(isSo: (exchange: Exchange) => boolean): Promise<void> {
    return this.#signal.when(() => isSo(this));
  }

  answer(text: string): void {
    const body = Buffer.from(text, "latin1");
    this.response.writeHead(200, ["Content-Length", String(body.length)]).end(body);
  }

  /** Begins an answer that goes on. */
  stream(text: string): void {
    this.response.writeHead(200, [], true).write(Buffer.from(`${text.length.toString(16)}\r\n${text}\r\n`));
  }

  #tell(what: string): void {
    this.told.push(what);
    this.#signal.notify();
  }
}

/** The listener's end of a connection. */
interface Peer {
  socket: Socket;
  receivedBytes: number;
  isClosed: boolean;
}

interface Upgrade {
  request: HttpRequest;
  socket: Socket;
  head: string;
}

class Listener {
  readonly clock = new ManualClock();
  readonly server: Server;
  readonly http: HttpServer;
  readonly exchanges: Exchange[] = [];
  readonly upgrades: Upgrade[] = [];
  readonly faults: ConnectionFault[] = [];
  readonly peers: Peer[] = [];
  readonly #signal = new Signal();
  readonly #callers: Socket[] = [];
  /** Called with each request, its body being read already. */
  handle: (exchange: Exchange) => void = () => {};

  constructor(server: Server = createServer({ allowHalfOpen: true, noDelay: true })) {
    this.server = server;
    this.http = new HttpServer(server, {
      ...{ maxHeadBytes: MAX_HEAD_BYTES, headMs: HEAD_MS, bodyMs: BODY_MS, idleMs: IDLE_MS, clock: this.clock },
      onRequest: (request, response) => this.#onRequest(request, response),
      onUpgrade: (request, socket, head) => {
        this.upgrades.push({ request, socket, head: head.toString("latin1") });
        this.#signal.notify();
      },
      onFault: (fault) => this.faults.push(fault),
    });
    // Behind the server's own, so that what is counted here has been dealt with there.
    server.on(server instanceof TlsServer ? "secureConnection" : "connection", (socket: Socket) => {
      const peer: Peer = { socket, receivedBytes: 0, isClosed: false };
      this.peers.push(peer);
      socket.on("data", (chunk: Buffer) => {
        peer.receivedBytes += chunk.length;
        this.#signal.notify();
      });
      socket.on("pause", () => this.#signal.notify());
      socket.on("close", () => {
        peer.isClosed = true;
        this.#signal.notify();
      });
      this.#signal.notify();
    });
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  get urls(): string[] {
    return this.exchanges.map(({ request }) => request.url);
  }

  async start(): Promise<void> {
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
  }

  async stop(): Promise<void> {
    for (const one of this.#callers) one.destroy();
    for (const { socket } of this.peers) socket.destroy();
    this.server.close();
    await once(this.server, "close");
  }

  /** A caller whose bytes have been received and dealt with. */
  async call(bytes = ""): Promise<{ caller: RawConnection; peer: Peer }> {
    const at = this.peers.length;
    const caller = new RawConnection(this.port, Buffer.from(bytes, "latin1"));
    this.#callers.push(caller.socket);
    await this.until(() => this.peers.length > at);
    const peer = this.peers[at]!;
    await this.until(() => peer.receivedBytes === bytes.length || peer.isClosed);
    return { caller, peer };
  }

  /** Sends more, and resolves once it has been dealt with. */
  async send(caller: RawConnection, peer: Peer, bytes: string): Promise<void> {
    const due = peer.receivedBytes + bytes.length;
    caller.socket.write(Buffer.from(bytes, "latin1"));
    await this.until(() => peer.receivedBytes >= due || peer.isClosed);
  }

  /** The nth request that reaches the listener. */
  async exchange(at: number): Promise<Exchange> {
    await this.until(() => this.exchanges.length > at);
    return this.exchanges[at]!;
  }

  until(isSo: () => boolean): Promise<void> {
    return this.#signal.when(isSo);
  }

  /** A whole exchange beside all others: whatever was to happen meanwhile has. */
  async aside(): Promise<void> {
    const aside = new RawConnection(this.port, "GET /aside HTTP/1.1\r\nConnection: close\r\n\r\n");
    this.#callers.push(aside.socket);
    await aside.untilClosed();
  }

  #onRequest(request: HttpRequest, response: HttpResponse): void {
    const exchange = new Exchange(request, response, this.#signal);
    if (request.url === "/aside") return exchange.answer("");
    this.exchanges.push(exchange);
    request.read(exchange.reader);
    this.handle(exchange);
    this.#signal.notify();
  }
}

let listener: Listener;
beforeEach(async () => {
  listener = new Listener();
  await listener.start();
});
afterEach(() => listener.stop());

function get(url: string, lines = "", method = "GET"): string {
  return `${method} ${url} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`;
}

function post(url: string, body: string, lines = ""): string {
  return `POST ${url} HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n${lines}\r\n${body}`;
}

function chunked(url: string, coded: string): string {
  return `POST ${url} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${coded}`;
}

function ok(body: string, closing = KEEPS): string {
  return `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${closing}\r\n${body}`;
}

/** Answers each request with its URL, as soon as its head is there. */
function answerUrl(exchange: Exchange): void {
  exchange.answer(exchange.request.url);
}

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
