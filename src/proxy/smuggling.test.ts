import { afterEach, describe, expect, it } from "vitest";
import { chatBody, chatRequest } from "../../test/support/chat.ts";
import { type DataPlane, startDataPlane } from "../../test/support/data-plane.ts";

/**
 * Requests that two programs could read in two ways, as bytes on a socket. Behind each stands a good request: where a head is
 * refused, whatever follows on the connection is of nobody, and must not be answered.
 */
let plane: DataPlane;
afterEach(() => plane.close());

const auth = (key: string) => `Authorization: Bearer ${key}\r\n`;
const TARGET = "/v1/chat/completions";

/** A GET of the list with these lines before the end of its head. */
function get(lines: string, key: string, line = "GET /v1/models HTTP/1.1"): string {
  return `${line}\r\nHost: localhost\r\n${auth(key)}${lines}\r\n`;
}

/** A POST with these lines in its head, and this behind it. */
function post(lines: string, body: string, key: string, line = `POST ${TARGET} HTTP/1.1`): string {
  return `${line}\r\nHost: localhost\r\n${auth(key)}Content-Type: application/json\r\n${lines}\r\n${body}`;
}

const BODY = JSON.stringify(chatBody("llama"));
const chunked = (size: string, data = BODY) => `${size}\r\n${data}\r\n0\r\n\r\n`;
const HEX = BODY.length.toString(16);
const CHUNKED = "Transfer-Encoding: chunked\r\n";

type Vector = readonly [name: string, bytes: (key: string) => string, status?: number];

const VERSIONS: readonly Vector[] = [
  ["HTTP/0.9", () => "GET /v1/models\r\n"],
  ["HTTP/1.0", (k) => get("", k, "GET /v1/models HTTP/1.0")],
  ["HTTP/1.0 with keep-alive", (k) => get("Connection: keep-alive\r\n", k, "GET /v1/models HTTP/1.0")],
  ["HTTP/1.2", (k) => get("", k, "GET /v1/models HTTP/1.2")],
  ["HTTP/2.0", (k) => get("", k, "GET /v1/models HTTP/2.0")],
  ["a protocol in lower case", (k) => get("", k, "GET /v1/models http/1.1")],
  ["a tab in the request line", (k) => get("", k, "GET\t/v1/models HTTP/1.1")],
];

const HOSTS: readonly Vector[] = [
  ["no Host", (k) => `GET /v1/models HTTP/1.1\r\n${auth(k)}\r\n`],
  ["an empty Host", (k) => `GET /v1/models HTTP/1.1\r\nHost:\r\n${auth(k)}\r\n`],
  ["two Host headers", (k) => get("Host: evil.example\r\n", k)],
  ["two equal Host headers", (k) => get("Host: localhost\r\n", k)],
  ["two Host headers in other letters", (k) => get("hOST: localhost\r\n", k)],
  ["a Host with a list", (k) => `GET /v1/models HTTP/1.1\r\nHost: localhost, evil.example\r\n${auth(k)}\r\n`],
  ["a Host with a user", (k) => `GET /v1/models HTTP/1.1\r\nHost: evil@localhost\r\n${auth(k)}\r\n`],
  ["a Host with a path", (k) => `GET /v1/models HTTP/1.1\r\nHost: localhost/v1\r\n${auth(k)}\r\n`],
  ["a Host with a question", (k) => `GET /v1/models HTTP/1.1\r\nHost: localhost?x\r\n${auth(k)}\r\n`],
  ["a Host with an odd port", (k) => `GET /v1/models HTTP/1.1\r\nHost: localhost:99999\r\n${auth(k)}\r\n`],
  ["a foreign Host", (k) => `GET /v1/models HTTP/1.1\r\nHost: evil.example\r\n${auth(k)}\r\n`, 421],
];

const TARGETS: readonly Vector[] = [
  ["absolute form", (k) => get("", k, "GET http://localhost/v1/models HTTP/1.1")],
  [
    "absolute form of another host",
    (k) => post("Content-Length: 0\r\n", "", k, "POST http://169.254.169.254/ HTTP/1.1"),
  ],
  ["two slashes", (k) => get("", k, "GET //v1/models HTTP/1.1")],
  ["dot segments", (k) => get("", k, "GET /v1/../api/tags HTTP/1.1")],
  ["a backslash", (k) => get("", k, "GET /v1\\models HTTP/1.1")],
  ["a fragment", (k) => get("", k, "GET /v1/models#x HTTP/1.1")],
  ["a key in the query", (k) => get("", k, "GET /v1/models?api_key=x HTTP/1.1")],
  ["bytes beyond ASCII", (k) => get("", k, "GET /v1/mod\xe9ls HTTP/1.1")],
];

const CREDENTIALS: readonly Vector[] = [
  ["two Authorization headers", (k) => get(auth(k), k)],
  ["two Authorization headers, the second of another key", (k) => get("authorization: Bearer pst_x\r\n", k)],
  ["two x-api-key headers", (k) => get("x-api-key: a\r\nX-Api-Key: b\r\n", k)],
  ["two api-key headers", (k) => get("api-key: a\r\napi-key: a\r\n", k)],
];

const FRAMING: readonly Vector[] = [
  ["Content-Length before Transfer-Encoding", (k) => post(`Content-Length: 4\r\n${CHUNKED}`, chunked(HEX), k)],
  ["Transfer-Encoding before Content-Length", (k) => post(`${CHUNKED}Content-Length: 4\r\n`, chunked(HEX), k)],
  ...[
    "gzip, chunked",
    "chunked, identity",
    "identity",
    "chunked, chunked",
    "xchunked",
    "chunked;q=1",
    "\x0bchunked",
    '"chunked"',
    "",
  ].map(
    (coding): Vector => [
      `Transfer-Encoding: ${JSON.stringify(coding)}`,
      (k) => post(`Transfer-Encoding: ${coding}\r\n`, chunked(HEX), k),
    ],
  ),
  ["two Transfer-Encoding headers", (k) => post(`${CHUNKED}${CHUNKED}`, chunked(HEX), k)],
  ["two Transfer-Encoding headers, one odd", (k) => post(`${CHUNKED}Transfer-Encoding: x\r\n`, chunked(HEX), k)],
  ["a space before the colon", (k) => post("Transfer-Encoding : chunked\r\n", chunked(HEX), k)],
  ...["+5", "0x5", "5, 5", "5,6", "-1", "5 5", "1e1", "5;", "99999999999999999999", "\uff15", ""].map(
    (length): Vector => [
      `Content-Length: ${JSON.stringify(length)}`,
      (k) => post(`Content-Length: ${length}\r\n`, "{}   ", k),
    ],
  ),
  ["two equal Content-Length headers", (k) => post("Content-Length: 2\r\nContent-Length: 2\r\n", "{}", k)],
  ["two Content-Length headers", (k) => post("Content-Length: 2\r\nContent-Length: 40\r\n", "{}", k)],
  ["a GET with a body", (k) => `${get("Content-Length: 2\r\n", k)}xx`],
  ["a GET with a chunked body", (k) => `${get(CHUNKED, k)}2\r\nxx\r\n0\r\n\r\n`],
  ["a HEAD with a body", (k) => `${get("Content-Length: 2\r\n", k, "HEAD / HTTP/1.1")}xx`],
  ...["0x5", "+5", "-1", "5 5", "", "g", "FFFFFFFFFFFFFFFFF"].map(
    (size): Vector => [`a chunk of size ${JSON.stringify(size)}`, (k) => post(CHUNKED, chunked(size, "hello"), k)],
  ),
  ["a chunk size that ends in a bare LF", (k) => post(CHUNKED, `${HEX}\n${BODY}\r\n0\r\n\r\n`, k)],
  ["a chunk extension that ends in a bare LF", (k) => post(CHUNKED, `${HEX};x\n${BODY}\r\n0\r\n\r\n`, k)],
  ["a chunk that is longer than its size", (k) => post(CHUNKED, chunked("2"), k)],
  ["a last chunk without its end", (k) => post(CHUNKED, `${HEX}\r\n${BODY}\r\n0\r\nGET / HTTP/1.1\r\n`, k)],
];

const LINES: readonly Vector[] = [
  ["bare LF line ends", (k) => `GET /v1/models HTTP/1.1\nHost: localhost\n${auth(k)}\n`],
  ["one bare LF", (k) => get("X-A: b\nX-B: c\r\n", k)],
  ["a bare CR within a value", (k) => get("X-A: b\rTransfer-Encoding: chunked\r\n", k)],
  ["a line that is folded", (k) => get("X-A: b\r\n c\r\n", k)],
  ["a Content-Length that is folded", (k) => post("Content-Length:\r\n 2\r\n", "{}", k)],
  ["a NUL in a value", (k) => get("X-A: b\0c\r\n", k)],
  ["a NUL in a name", (k) => get("X\0A: b\r\n", k)],
  ["a control character in a value", (k) => get("X-A: b\x01\r\n", k)],
  ["a space in a name", (k) => get("X A: b\r\n", k)],
  ["a line without a colon", (k) => get("Nonsense\r\n", k)],
  ["an empty name", (k) => get(": b\r\n", k)],
  ["a space before the first header", (k) => `GET /v1/models HTTP/1.1\r\n Host: localhost\r\n${auth(k)}\r\n`],
];

const METHODS: readonly Vector[] = [
  ["CONNECT", () => "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n"],
  ["a method that nobody knows", (k) => get("", k, "GETS /v1/models HTTP/1.1")],
  ["a method in lower case", (k) => get("", k, "get /v1/models HTTP/1.1")],
  ["Expect of something else", (k) => post("Expect: 200-ok\r\nContent-Length: 2\r\n", "{}", k)],
  ["a response instead of a request", () => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"],
];

const SIZES: readonly Vector[] = [
  ["a head that is too large", (k) => get(`X-Pad: ${"x".repeat(20_000)}\r\n`, k), 431],
  ["too many fields", (k) => get(Array.from({ length: 120 }, (_, at) => `X-${at}: 1\r\n`).join(""), k), 431],
  ["a chunk extension that is too large", (k) => post(CHUNKED, chunked(`${HEX};${"x".repeat(20_000)}`), k)],
  ["a chunk extension without an end", (k) => post(CHUNKED, `${HEX};${"x".repeat(500_000)}`, k)],
  ["a chunk extension with a line end in quotes", (k) => post(CHUNKED, chunked(`${HEX};a="b\r\nGET / HTTP/1.1"`), k)],
  [
    "trailers that are too large",
    (k) => post(CHUNKED, `${HEX}\r\n${BODY}\r\n0\r\nX-Pad: ${"x".repeat(40_000)}\r\n\r\n`, k),
    431,
  ],
  [
    "a trailer that frames another body",
    (k) => post(CHUNKED, `${HEX}\r\n${BODY}\r\n0\r\nContent-Length: 300\r\n\r\n`, k),
  ],
  ["a target that is too long", (k) => get("", k, `GET /v1/models/${"x".repeat(5_000)} HTTP/1.1`)],
];

const ALL = { VERSIONS, HOSTS, TARGETS, CREDENTIALS, FRAMING, LINES, METHODS, SIZES };

describe.each(Object.entries(ALL))("raw requests that two programs could read differently: %s", (_group, vectors) => {
  const cases = vectors.map(([name, bytes, status]) => ({ name, bytes, status: status ?? 400 }));
  it.each(cases)("$name is refused, the connection closed, nothing behind it answered", async ({ bytes, status }) => {
    plane = await startDataPlane();
    const [target] = plane.serve("llama", "forge");
    const behind = chatRequest(plane.key, chatBody("llama"));
    const caller = plane.raw(Buffer.from(bytes(plane.key) + behind, "latin1"));
    await caller.untilClosed();
    expect(caller.status).toBe(status);
    expect(caller.text.match(/HTTP\/1\.1 \d/g)).toHaveLength(1);
    expect(caller.text.toLowerCase()).toContain("connection: close");
    expect(target!.attempts).toHaveLength(0);
    expect(plane.opened).toHaveLength(0);
  });
});

describe("raw requests that are odd and read in one way", () => {
  it("chunk extensions and trailers are dropped: one request goes on, with its body and nothing else", async () => {
    plane = await startDataPlane();
    const [target] = plane.serve("llama", "forge");
    const trailers = "Authorization: Bearer other\r\nHost: evil.example\r\nX-Postern-Node: anvil\r\n";
    const body = `${HEX};name=value;quoted="a;b"\r\n${BODY}\r\n0\r\n${trailers}\r\n`;
    const caller = plane.raw(post(`${CHUNKED}Trailer: Authorization\r\n`, body, plane.key));
    const attempt = await target!.next();
    expect(JSON.parse(String(attempt.request.body))).toEqual(JSON.parse(BODY));
    expect(JSON.stringify(attempt.request.headers)).not.toMatch(/evil|other|anvil|trailer/i);
    caller.socket.destroy();
    expect(target!.attempts).toHaveLength(1);
  });

  it.each(["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])(
    "%s is a 404 and goes nowhere",
    async (method) => {
      plane = await startDataPlane();
      const [target] = plane.serve("llama", "forge");
      for (const path of [TARGET, "/api/pull", "/v1/models"]) {
        const caller = plane.raw(get("X-HTTP-Method-Override: POST\r\n", plane.key, `${method} ${path} HTTP/1.1`));
        await caller.until("}}");
        expect(caller.status).toBe(404);
        expect(caller.text).not.toContain(plane.key);
        caller.socket.destroy();
      }
      expect(target!.attempts).toHaveLength(0);
    },
  );

  it("a broken request behind one that is being answered is refused behind it, and writes nothing into the answer", async () => {
    plane = await startDataPlane();
    const [target] = plane.serve("llama", "forge");
    const caller = plane.raw(chatRequest(plane.key, chatBody("llama", { stream: true })));
    const attempt = await target!.next();
    attempt.streamHead();
    attempt.token("first words");
    await caller.until("first words");
    caller.socket.write("NONSENSE\0\r\n\r\n");
    attempt.token("last words");
    await caller.until("last words");
    expect(plane.cuts).toEqual([]);
    attempt.finish();
    const text = await caller.untilClosed();
    expect(text).toMatch(/last words[\s\S]*\[DONE\]\n\n\r\n0\r\n\r\nHTTP\/1\.1 400 Bad Request\r\n/);
    expect(text.match(/HTTP\/1\.1 /g)).toHaveLength(2);
    expect(plane.cuts).toEqual(["malformed"]);
  });

  it("what follows a refused body on the connection is not read as a request", async () => {
    plane = await startDataPlane({ limits: { bodyBytes: 100 } });
    const [target] = plane.serve("llama", "forge");
    const inside = chatRequest(plane.key, chatBody("llama"));
    const caller = plane.raw(post("Content-Length: 300000\r\n", inside, plane.key) + inside);
    await caller.until("413");
    caller.socket.end();
    await caller.untilClosed();
    expect(caller.text.match(/HTTP\/1\.1 \d/g)).toHaveLength(1);
    expect(target!.attempts).toHaveLength(0);
  });
});
