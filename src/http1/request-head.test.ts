import { METHODS } from "node:http";
import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { mayBecomeHead, parseHead, type RequestHead } from "./request-head.ts";

/** A head with these lines behind its request line. */
function head(lines = "", line = "POST /v1/chat HTTP/1.1"): RequestHead | null {
  return parseHead(`${line}\r\n${lines}`);
}

const CHUNKED = "Transfer-Encoding: chunked\r\n";
const charOf = (codes: readonly number[]) => fc.constantFrom(...codes.map((code) => String.fromCharCode(code)));
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => from + at);
const TOKEN_CHARS = [..."!#$%&'*+-.^_`|~", ..."0123456789", ..."abcXYZ"];

describe("parseHead()", () => {
  test("reads method, target, version and fields, in their order, with repeated ones", () => {
    expect(head("Host: a.example\r\nX-B: 1\r\nx-b: 2\r\nContent-Length: 12\r\n", "POST /a?b=%20c HTTP/1.1")).toEqual({
      method: "POST",
      target: "/a?b=%20c",
      httpVersion: "1.1",
      rawHeaders: ["host", "a.example", "x-b", "1", "x-b", "2", "content-length", "12"],
      contentLength: 12,
      isChunked: false,
      wantsUpgrade: false,
      keepsAlive: true,
    });
  });

  test("reads a head without a field", () => {
    expect(head("", "GET / HTTP/1.1")?.rawHeaders).toEqual([]);
  });

  describe("of the request line", () => {
    test.each(METHODS)("knows the method %s", (method) => {
      expect(head("", `${method} / HTTP/1.1`)?.method).toBe(method);
    });

    test.each(["GETS", "get", "Get", "G", "", "G\0ET", "M_SEARCH", "GET\x80", "-", "PRI"])(
      "refuses the method %j",
      (method) => {
        expect(head("", `${method} / HTTP/1.1`)).toBeNull();
      },
    );

    test.each([
      "/",
      "*",
      "http://a.example/b?c#d",
      "a.example:443",
      "/%00",
      "/a;b=\"'<>\\^`{|}",
      `/${"x".repeat(10_000)}`,
    ])("keeps the target %.60s as it came", (target) => {
      expect(head("", `GET ${target} HTTP/1.1`)?.target).toBe(target);
    });

    test.each(["", "/a b", "/a\tb", "/a\0b", "/a\x7fb", "/a\xe9b", "/a\rb", "/a\nb"])(
      "refuses the target %j",
      (target) => {
        expect(head("", `GET ${target} HTTP/1.1`)).toBeNull();
      },
    );

    test.each([
      ["no version", "GET /"],
      ["nothing", ""],
      ["two blanks before the target", "GET  / HTTP/1.1"],
      ["two blanks before the version", "GET /  HTTP/1.1"],
      ["a tab", "GET\t/ HTTP/1.1"],
      ["a blank before it", " GET / HTTP/1.1"],
      ["a blank behind it", "GET / HTTP/1.1 "],
      ["an empty line before it", "\r\nGET / HTTP/1.1"],
      ["another protocol", "GET / ICY/1.1"],
      ["a protocol in lower case", "GET / http/1.1"],
      ["no minor version", "GET / HTTP/1"],
      ["a version with more digits", "GET / HTTP/1.10"],
      ["a version with a comma", "GET / HTTP/1,1"],
      ["a status line", "HTTP/1.1 200 OK"],
      ["a CR too many", "GET / HTTP/1.1\r"],
      ["an LF alone", "GET / HTTP/1.1\nHost: a"],
    ])("refuses %s", (_what, line) => {
      expect(head("Host: a\r\n", line)).toBeNull();
    });

    test.each(["0.9", "1.2", "1.9", "2.0", "3.0", "11", "1.1x"])("refuses the version %s", (version) => {
      expect(head("", `GET / HTTP/${version}`)).toBeNull();
    });

    test("refuses a text without a line's end", () => {
      expect(parseHead("GET / HTTP/1.1")).toBeNull();
      expect(parseHead("GET / HTTP/1.1\r")).toBeNull();
      expect(parseHead("")).toBeNull();
    });
  });

  test.each([
    ["a field that is none", "Nonsense\r\n"],
    ["a folded line", "X: a\r\n b\r\n"],
    ["a line that ends in an LF alone", "X: a\nY: b\r\n"],
    ["a control character", "X: a\x01\r\n"],
    ["a field without an end", "X: a"],
  ])("refuses %s, wherever it stands", (_what, lines) => {
    expect(head(lines)).toBeNull();
    expect(head(`Host: a\r\n${lines}`)).toBeNull();
  });

  describe("of Content-Length", () => {
    test.each([
      ["0", 0],
      ["7", 7],
      ["007", 7],
      [" \t42 ", 42],
      ["999999999999999", 999_999_999_999_999],
    ])("reads %j", (value, length) => {
      expect(head(`Content-Length:${value}\r\n`)).toMatchObject({ contentLength: length, isChunked: false });
    });

    test.each([
      ...[
        "",
        " ",
        "+5",
        "-1",
        "-0",
        "0x5",
        "5, 5",
        "5,6",
        "5 5",
        "1e1",
        "5;",
        "5.0",
        "5\t5",
        "\xb2",
        "five",
        "5,",
        ",5",
      ],
      ...["1000000000000000", "9007199254740993", "99999999999999999999"],
    ])("refuses %j", (value) => {
      expect(head(`Content-Length: ${value}\r\n`)).toBeNull();
    });

    test.each([
      ["equal", "Content-Length: 2\r\nContent-Length: 2\r\n"],
      ["different", "Content-Length: 2\r\nContent-Length: 40\r\n"],
      ["in other letters", "content-length: 2\r\nCONTENT-LENGTH: 2\r\n"],
      ["the first empty", "Content-Length:\r\nContent-Length: 2\r\n"],
      ["with others between", "Content-Length: 2\r\nHost: a\r\nContent-Length: 2\r\n"],
    ])("refuses two, %s", (_what, lines) => {
      expect(head(lines)).toBeNull();
    });

    test("is null where there is none", () => {
      expect(head()).toMatchObject({ contentLength: null, isChunked: false });
    });
  });

  describe("of Transfer-Encoding", () => {
    test.each(["chunked", "Chunked", "CHUNKED", " \tchunked \t"])("reads %j", (value) => {
      expect(head(`Transfer-Encoding:${value}\r\n`)).toMatchObject({ contentLength: null, isChunked: true });
    });

    test.each([
      ...["", "identity", "gzip", "gzip, chunked", "chunked, identity", "chunked, chunked", "chunked,", ",chunked"],
      ...["xchunked", "chunkedx", "chunked;q=1", '"chunked"', "chun ked", "\x0bchunked", "\xa0chunked", "chunke\u017f"],
    ])("refuses %j", (value) => {
      expect(head(`Transfer-Encoding: ${value}\r\n`)).toBeNull();
    });

    test.each([
      ["two", CHUNKED + CHUNKED],
      ["two, one of them odd", `${CHUNKED}Transfer-Encoding: x\r\n`],
      ["two, the first of them empty", `Transfer-Encoding:\r\n${CHUNKED}`],
      ["one behind a Content-Length", `Content-Length: 4\r\n${CHUNKED}`],
      ["one before a Content-Length", `${CHUNKED}Content-Length: 4\r\n`],
      ["one with a Content-Length of 0", `${CHUNKED}Content-Length: 0\r\n`],
    ])("refuses %s", (_what, lines) => {
      expect(head(lines)).toBeNull();
    });
  });

  describe("of Connection", () => {
    test.each(["close", "Close", "CLOSE", "keep-alive, close", "close,keep-alive", "x,\t close ,y", ",close,"])(
      "%j ends the connection",
      (value) => {
        expect(head(`Connection: ${value}\r\n`)?.keepsAlive).toBe(false);
      },
    );

    test("close in the second of two ends the connection", () => {
      expect(head("Connection: x\r\nConnection: close\r\n")?.keepsAlive).toBe(false);
      expect(head("Connection: close\r\nConnection: keep-alive\r\n")?.keepsAlive).toBe(false);
    });

    test.each(["", "keep-alive", "closed", "x-close", '"close"', "clo se"])("%j keeps it", (value) => {
      expect(head(`Connection: ${value}\r\n`)?.keepsAlive).toBe(true);
    });

    test("of HTTP/1.0, nothing keeps it", () => {
      expect(head("", "GET / HTTP/1.0")).toMatchObject({ httpVersion: "1.0", keepsAlive: false });
      expect(head("Connection: keep-alive\r\n", "GET / HTTP/1.0")?.keepsAlive).toBe(false);
    });

    test.each([
      ["both", "Connection: Upgrade\r\nUpgrade: postern\r\n", true],
      ["both, the other way round", "Upgrade: postern\r\nConnection: upgrade\r\n", true],
      ["one of several options", "Connection: keep-alive, UPGRADE\r\nUpgrade: postern\r\n", true],
      ["a second Connection", "Connection: keep-alive\r\nConnection: upgrade\r\nUpgrade: postern\r\n", true],
      ["Connection alone", "Connection: Upgrade\r\n", false],
      ["Upgrade alone", "Upgrade: postern\r\n", false],
      ["Upgrade and another Connection", "Connection: keep-alive\r\nUpgrade: postern\r\n", false],
      ["a word that only begins with it", "Connection: upgrades\r\nUpgrade: postern\r\n", false],
    ])("with Upgrade: %s", (_what, lines, wantsUpgrade) => {
      expect(head(lines)?.wantsUpgrade).toBe(wantsUpgrade);
    });
  });
});

describe("mayBecomeHead()", () => {
  test.each([
    ["nothing yet", ""],
    ["half of an empty line", "\r"],
    ["a method's begin", "P"],
    ["half a line", "POST /v1"],
    ["a line but for its LF", "GET / HTTP/1.1\r"],
    ["a line", "GET / HTTP/1.1\r\n"],
    ["a line, and half a field", "GET / HTTP/1.1\r\nHo"],
    ["all but the last LF", "GET / HTTP/1.1\r\nHost: a\r\n\r"],
  ])("waits for more behind %s", (_what, text) => {
    expect(mayBecomeHead(text)).toBe(true);
  });

  test.each([
    ["a TLS hello", "\x16\x03\x01"],
    ["lower case", "get"],
    ["a blank", " GET"],
    ["a NUL", "\0"],
    ["an LF", "\n"],
    ["an empty line", "\r\n"],
    ["an empty line with more behind", "\r\nGET"],
    ["a CR and something else", "\rG"],
    ["an LF alone behind the line", "GET / HTTP/1.1\n"],
    ["an LF alone behind a field", "GET / HTTP/1.1\r\nHost: a\n"],
    ["a line of HTTP/0.9", "GET /\r\n"],
    ["a line of HTTP/2", "PRI * HTTP/2.0\r\n"],
    ["a line that is none", "HELO example\r\n"],
  ])("does not wait behind %s", (_what, text) => {
    expect(mayBecomeHead(text)).toBe(false);
  });

  it("waits at every cut of a head that parseHead() reads, which gives what was put in", () => {
    const name = fc
      .string({ unit: fc.constantFrom(...TOKEN_CHARS), minLength: 1, maxLength: 12 })
      .map((one) => `x${one}`);
    const inner = charOf([0x09, ...range(0x20, 0x7e), ...range(0x80, 0xff)]);
    const value = fc.string({ unit: inner, maxLength: 20 }).map((one) => one.replace(/^[\t ]+|[\t ]+$/g, ""));
    const blanks = fc.string({ unit: fc.constantFrom(" ", "\t"), maxLength: 3 });
    const target = fc.string({ unit: charOf(range(0x21, 0x7e)), minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(
        fc.constantFrom(...METHODS),
        target,
        fc.array(fc.tuple(name, blanks, value, blanks), { maxLength: 5 }),
        (method, to, fields) => {
          const lines = fields.map(([one, before, said, behind]) => `${one}:${before}${said}${behind}\r\n`);
          const text = `${method} ${to} HTTP/1.1\r\n${lines.join("")}`;
          expect(parseHead(text)).toMatchObject({
            method,
            target: to,
            rawHeaders: fields.flatMap(([one, , said]) => [one.toLowerCase(), said]),
          });
          const whole = `${text}\r\n`;
          for (let end = 0; end < whole.length; end++) expect(mayBecomeHead(whole.slice(0, end))).toBe(true);
        },
      ),
      { numRuns: 200 },
    );
  });

  it("agrees with parseHead(): what it gives up is no head, whatever comes behind", () => {
    const bytes = fc.string({ unit: fc.constantFrom(..."GET/ HTP1.:a", "\r\n", "\r", "\n", "\0"), maxLength: 40 });
    fc.assert(
      fc.property(
        fc.constantFrom("", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\na: b"),
        bytes,
        bytes,
        (begin, more, rest) => {
          fc.pre(!mayBecomeHead(begin + more));
          expect(parseHead(`${begin}${more}${rest}\r\n`)).toBeNull();
        },
      ),
      { numRuns: 2000 },
    );
  });
});
