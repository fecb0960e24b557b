import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type AnswerFields, readAnswerFields } from "./answer-fields.ts";
import { AnswerReader, type AnswerSink, MAX_HEAD_BYTES } from "./answer-reader.ts";

/** Notes what a reader says. */
class Notes implements AnswerSink {
  isReading = true;
  heads: AnswerFields[] = [];
  body = "";
  ends = 0;
  violations: string[] = [];

  onHead(head: AnswerFields): void {
    this.heads.push(head);
  }

  onBody(chunk: Buffer): void {
    this.body += chunk.toString("latin1");
  }

  onEnd(): void {
    this.ends += 1;
  }

  onViolation(detail: string): void {
    this.violations.push(detail);
  }
}

/** Reads bytes in pieces. `used`: how many of them the reader took. */
function read(bytes: string, cuts: readonly number[] = []): { notes: Notes; used: number; reader: AnswerReader } {
  const notes = new Notes();
  const reader = new AnswerReader(notes);
  reader.reset();
  const edges = [0, ...cuts, bytes.length];
  let used = 0;
  for (let index = 1; index < edges.length; index += 1) {
    used += reader.push(Buffer.from(bytes.slice(edges[index - 1], edges[index]), "latin1"));
  }
  return { notes, used, reader };
}

const OK = "HTTP/1.1 200 OK\r\n";
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`;

describe("AnswerReader", () => {
  test.each([
    ["a length", `${OK}Content-Length: 3\r\n\r\nabc`, "abc"],
    ["no body", `${OK}Content-Length: 0\r\n\r\n`, ""],
    ["a status without a body", "HTTP/1.1 204 No Content\r\n\r\n", ""],
    ["chunks", `${CHUNKED}3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n`, "abc0123456789"],
    ["chunks with extensions and zeros", `${CHUNKED}0003;a=b;c="d"\r\nabc\r\n000\r\n\r\n`, "abc"],
    ["chunks and a trailer", `${CHUNKED}1\r\na\r\n0\r\nX: y\r\nZ: \tw\r\n\r\n`, "a"],
    ["interim answers before it", `HTTP/1.1 103 Early\r\nLink: x\r\n\r\n${OK}Content-Length: 1\r\n\r\nx`, "x"],
    ["an empty reason", "HTTP/1.1 200 \r\ncontent-length:1\r\n\r\nx", "x"],
    ["no reason", "HTTP/1.1 200\r\ncontent-length: \t 1 \t\r\n\r\nx", "x"],
  ])("reads an answer with %s, and not a byte behind it, however it is cut", (_name, bytes, body) => {
    const property = fc.property(fc.array(fc.nat(bytes.length + 5), { maxLength: 12 }), (cuts) => {
      const { notes, used } = read(
        `${bytes}EXTRA`,
        cuts.sort((a, b) => a - b),
      );
      expect(notes).toMatchObject({ body, ends: 1, violations: [] });
      expect(notes.heads).toHaveLength(1);
      expect(used).toBe(bytes.length);
    });
    fc.assert(property, { numRuns: 200 });
  });

  test.each([
    ["another protocol, at its first bytes", "SSH"],
    ["an empty line before it", `\r\n${OK}Content-Length: 0\r\n\r\n`],
    ["a version that is none", "HTTP/1.2 200 OK\r\nContent-Length: 0\r\n\r\n"],
    ["a status of two digits", "HTTP/1.1 99 X\r\nContent-Length: 0\r\n\r\n"],
    ["a status of four", "HTTP/1.1 2000 X\r\nContent-Length: 0\r\n\r\n"],
    ["a status with a sign", "HTTP/1.1 +20 X\r\nContent-Length: 0\r\n\r\n"],
    ["an interim answer that nobody asked for", "HTTP/1.1 100 Continue\r\n\r\n"],
    ["a change of protocol", "HTTP/1.1 101 X\r\n\r\n"],
    ["a header without a colon", `${OK}Content-Length\r\n\r\n`],
    ["a name before a space", `${OK}Content-Length : 0\r\n\r\n`],
    ["an empty name", `${OK}: x\r\n\r\n`],
    ["a folded line", `${OK}X: a\r\n b\r\nContent-Length: 0\r\n\r\n`],
    ["a bare LF", `${OK}X: a\nContent-Length: 0\r\n\r\n`],
    ["a bare CR", `${OK}X: a\rY: b\r\nContent-Length: 0\r\n\r\n`],
    ["a NUL", `${OK}X: \0\r\nContent-Length: 0\r\n\r\n`],
    ["a length twice", `${OK}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx`],
    ["a list of lengths", `${OK}Content-Length: 1, 1\r\n\r\nx`],
    ["a length with a sign", `${OK}Content-Length: +1\r\n\r\nx`],
    ["a length in hex", `${OK}Content-Length: 0x1\r\n\r\nx`],
    ["a length without digits", `${OK}Content-Length:\r\n\r\n`],
    ["a length beyond what a double holds", `${OK}Content-Length: 9999999999999999\r\n\r\n`],
    ["a length and chunks", `${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ["chunks and a length", `${OK}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`],
    ["chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ["chunks twice", `${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ["chunks inside of something", `${OK}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
    ["something else than chunks", `${OK}Transfer-Encoding: identity\r\n\r\n`],
    ["a chunk without a size", `${CHUNKED}\r\nabc`],
    ["a chunk with a sign", `${CHUNKED}-1\r\n`],
    ["a chunk with 0x", `${CHUNKED}0x1\r\na`],
    ["a size before a space", `${CHUNKED}1 \r\na`],
    ["a size behind a space", `${CHUNKED} 1\r\na`],
    ["a size before a bare LF", `${CHUNKED}1\na\r\n`],
    ["a size before a bare CR", `${CHUNKED}1\rXa\r\n`],
    ["a size beyond what a double holds", `${CHUNKED}${"f".repeat(14)}\r\n`],
    ["an endless extension", `${CHUNKED}1;${"a".repeat(300)}`],
    ["a bare LF in an extension", `${CHUNKED}1;a\nb\r\na`],
    ["a chunk longer than its size", `${CHUNKED}1\r\nab\r\n`],
    ["a chunk before a bare LF", `${CHUNKED}1\r\na\n`],
    ["a chunk before a bare CR", `${CHUNKED}1\r\na\rX`],
    ["a bare LF in a trailer", `${CHUNKED}0\r\nX: a\n\r\n`],
    ["a bare CR in a trailer", `${CHUNKED}0\r\nX: a\rb\r\n\r\n`],
    ["an endless trailer", `${CHUNKED}0\r\n${"X: y\r\n".repeat(4000)}`],
    ["an endless head", `${OK}${"X: y\r\n".repeat(4000)}`],
    ["a head above the limit", `${OK}X: ${"y".repeat(MAX_HEAD_BYTES)}\r\n\r\n`],
    ["a flood of interim answers", "HTTP/1.1 103 X\r\n\r\n".repeat(17)],
  ])("refuses %s, once, at any cut, and ends no such answer", (_name, bytes) => {
    for (const cuts of [[], Array.from({ length: Math.min(bytes.length - 1, 400) }, (_, index) => index + 1)]) {
      const { notes, reader } = read(bytes, cuts);
      expect(notes.violations).toHaveLength(1);
      expect(notes.ends).toBe(0);
      expect(reader.isDone).toBe(true);
    }
  });

  test("stops where it is while its sink wants nothing, but for the head", () => {
    const notes = new Notes();
    const reader = new AnswerReader(notes);
    reader.reset();
    notes.isReading = false;
    const bytes = Buffer.from(`${CHUNKED}3\r\nabc\r\n0\r\n\r\n`);
    const used = reader.push(bytes);
    expect(notes).toMatchObject({ body: "", ends: 0 });
    expect(notes.heads).toHaveLength(1);
    notes.isReading = true;
    expect(reader.push(bytes.subarray(used))).toBe(bytes.length - used);
    expect(notes).toMatchObject({ body: "abc", ends: 1 });
  });

  test("takes the end of the connection for the end of an answer only where nothing else tells it", () => {
    const open = read(`${OK}\r\nabc`);
    expect(open.notes).toMatchObject({ body: "abc", ends: 0 });
    expect(open.reader.finish()).toBe(true);
    expect(open.notes.ends).toBe(1);
    for (const bytes of [
      "",
      "HTT",
      OK,
      `${OK}Content-Length: 4\r\n\r\nabc`,
      `${CHUNKED}3\r\nabc\r\n`,
      `${CHUNKED}0\r\n`,
    ]) {
      const { reader, notes } = read(bytes);
      expect(reader.finish()).toBe(false);
      expect(notes.ends).toBe(0);
    }
  });

  test("survives any bytes", () => {
    const piece = fc.oneof(
      fc.constantFrom(
        "HTTP/1.1 200 OK\r\n",
        "\r\n",
        "\r\n\r\n",
        "Content-Length: 2\r\n",
        "Transfer-Encoding: chunked\r\n",
        "1\r\n",
      ),
      fc.string({ maxLength: 8 }),
    );
    const property = fc.property(
      fc.array(piece, { maxLength: 12 }),
      fc.array(fc.nat(60), { maxLength: 4 }),
      (pieces, cuts) => {
        const { notes } = read(
          pieces.join(""),
          cuts.sort((a, b) => a - b),
        );
        expect(notes.ends + notes.violations.length).toBeLessThanOrEqual(1);
        if (notes.ends === 1) expect(notes.heads).toHaveLength(1);
      },
    );
    fc.assert(property, { numRuns: 2000 });
  });
});

describe("readAnswerFields()", () => {
  test.each([
    ["HTTP/1.1 200 OK\r\nContent-Length: 1", true],
    ["HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close", false],
    ["HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: Keep-Alive, Close", false],
    ["HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: x-close", true],
    ["HTTP/1.1 200 OK", false],
    ["HTTP/1.0 200 OK\r\nContent-Length: 1", false],
    ["HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive", true],
  ])("says of %j whether the connection is kept: %s", (text, isKept) => {
    expect(readAnswerFields(`${text}\r\n`)).toMatchObject({ isKept });
  });

  test("reads how long an idle connection is kept, and takes values without the space around them", () => {
    expect(
      readAnswerFields("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nKeep-Alive: max=100, timeout=5\r\nX-Y:\t z \t\r\n"),
    ).toEqual({
      status: 200,
      fields: ["content-length", "1", "keep-alive", "max=100, timeout=5", "x-y", "z"],
      bodyBytes: 1,
      isKept: true,
      keepAliveMs: 5000,
    });
  });
});
