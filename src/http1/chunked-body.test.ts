import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import { ChunkedBody } from "./chunked-body.ts";

const MAX_TRAILER_BYTES = 200;
/** As in chunked-body.ts. */
const MAX_SIZE_LINE_BYTES = 1024;
const MAX_EXTENSION_BYTES = 16 * 1024;

interface Outcome {
  data: string;
  behind: string;
  isDone: boolean;
  fault: ChunkedBody["fault"];
}

/** Gives a body these reads, one after the other, until it has its end or a fault. */
function take(reads: readonly string[], body = new ChunkedBody(MAX_TRAILER_BYTES)): Outcome {
  let data = "";
  let behind = "";
  for (const read of reads) {
    if (body.isDone || body.fault !== null) {
      behind += read;
      continue;
    }
    const bytes = Buffer.from(read, "latin1");
    const count = body.take(bytes);
    data += bytes.toString("latin1", 0, count);
    behind += bytes.toString("latin1", body.consumed);
  }
  return { data, behind, isDone: body.isDone, fault: body.fault };
}

/** The same in one read, and byte by byte. */
const WAYS: ReadonlyArray<readonly [name: string, (text: string) => Outcome]> = [
  ["in one read", (text) => take([text])],
  ["byte by byte", (text) => take([...text])],
];

describe.each(WAYS)("ChunkedBody %s", (_name, read) => {
  test.each([
    ["nothing", "0\r\n\r\n", ""],
    ["one chunk", "5\r\nhello\r\n0\r\n\r\n", "hello"],
    ["several", "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "hello"],
    [
      "sizes of both cases and with zeros before",
      "00A\r\n0123456789\r\na\r\nabcdefghij\r\n000\r\n\r\n",
      "0123456789abcdefghij",
    ],
    ["data that looks like framing", "7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n\r\n"],
    ["data of every byte", `4\r\n\0\xff\r\n\r\n0\r\n\r\n`, "\0\xff\r\n"],
    ["extensions", '5;a;b=c;d="e;\\"f\tg"\r\nhello\r\n0;last\r\n\r\n', "hello"],
    ["trailers", "5\r\nhello\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n", "hello"],
    ["a trailer whose value is a framing field's name", "0\r\nTrailer: content-length\r\n\r\n", ""],
    ["the longest size in digits", "0000000000005\r\nhello\r\n0000000000000\r\n\r\n", "hello"],
  ])("takes the coding off %s, and leaves what is behind it", (_what, coded, data) => {
    expect(read(`${coded}GET /`)).toEqual({ data, behind: "GET /", isDone: true, fault: null });
  });

  test.each([
    ["no size", "\r\n"],
    ["a size of other letters", "g\r\n"],
    ["a hex prefix", "0x5\r\nhello\r\n"],
    ["a sign", "+5\r\nhello\r\n"],
    ["a minus", "-1\r\n"],
    ["two numbers", "5 5\r\nhello\r\n"],
    ["a blank before the size", " 5\r\nhello\r\n"],
    ["a blank behind the size", "5 \r\nhello\r\n"],
    ["a tab behind the size", "5\t\r\nhello\r\n"],
    ["a size that no number holds", "00000000000005\r\nhello\r\n"],
    ["a size line that ends in an LF alone", "5\nhello\r\n"],
    ["a CR within the size line", "5\r;a\r\nhello\r\n"],
    ["a CR more", "5\r\r\nhello\r\n"],
    ["a NUL in the size line", "5\0\r\nhello\r\n"],
    ["an extension without a name", "5;\r\nhello\r\n"],
    ["an extension without a value", "5;a=\r\nhello\r\n"],
    ["an extension with blanks", "5; a\r\nhello\r\n"],
    ["an extension with blanks at the equals sign", "5;a =b\r\nhello\r\n"],
    ["an extension that ends in an LF alone", "5;a\nhello\r\n"],
    ["a quote that is not closed", '5;a="b\r\nhello\r\n'],
    ["a quote whose end is escaped", '5;a="b\\"\r\nhello\r\n'],
    ["a line's end in quotes", '5;a="b\r\nc"\r\nhello\r\n'],
    ["something behind a quote", '5;a="b"c\r\nhello\r\n'],
    ["bytes beyond ASCII in an extension", "5;a=\xe9\r\nhello\r\n"],
    ["data longer than its size", "2\r\nhello\r\n"],
    ["data shorter than its size", "6\r\nhello\r\n0\r\n\r\n"],
    ["data that ends in an LF alone", "5\r\nhello\n"],
    ["data with nothing before the next size", "5\r\nhello0\r\n\r\n"],
    ["an empty line more behind data", "5\r\nhello\r\n\r\n"],
    ["a trailer without a colon", "0\r\nGET / HTTP/1.1\r\n\r\n"],
    ["a trailer with a blank before its colon", "0\r\nA : b\r\n\r\n"],
    ["a trailer that is folded", "0\r\nA: b\r\n c\r\n\r\n"],
    ["a trailer that ends in an LF alone", "0\r\nA: b\n\r\n"],
    ["a trailer with a NUL", "0\r\nA: \0\r\n\r\n"],
    ["trailers that end in an LF alone", "0\r\n\n"],
    ["a Content-Length among trailers", "0\r\nA: b\r\nContent-LENGTH: 5\r\n\r\n"],
    ["a Transfer-Encoding among trailers", "0\r\ntransfer-encoding: chunked\r\n\r\n"],
  ])("gives up at %s", (_what, coded) => {
    expect(read(coded)).toMatchObject({ isDone: false, fault: "malformed" });
  });

  test("takes a size line up to its bound", () => {
    const line = (bytes: number) => `5;${"x".repeat(bytes - 4)}\r\n`;
    expect(line(MAX_SIZE_LINE_BYTES)).toHaveLength(MAX_SIZE_LINE_BYTES);
    expect(read(`${line(MAX_SIZE_LINE_BYTES)}hello\r\n0\r\n\r\n`)).toMatchObject({ data: "hello", isDone: true });
    expect(read(`${line(MAX_SIZE_LINE_BYTES + 1)}hello\r\n0\r\n\r\n`)).toMatchObject({ data: "", fault: "malformed" });
  });

  test("does not wait for the end of a size line beyond its bound", () => {
    expect(read(`5;${"x".repeat(MAX_SIZE_LINE_BYTES - 2)}`)).toMatchObject({ fault: null });
    expect(read(`5;${"x".repeat(MAX_SIZE_LINE_BYTES - 1)}`)).toMatchObject({ fault: "malformed" });
  });

  test("does not wait for the end of what stands where a chunk's end should, beyond the same bound", () => {
    expect(read(`1\r\na${"x".repeat(MAX_SIZE_LINE_BYTES + 1)}`)).toMatchObject({ data: "a", fault: "malformed" });
  });

  test("takes extensions of all chunks together up to their bound", () => {
    const chunk = `1;${"x".repeat(1023 - 4)}\r\na\r\n`;
    const perChunk = chunk.length - "1\r\na\r\n".length;
    const most = Math.floor(MAX_EXTENSION_BYTES / perChunk);
    const left = MAX_EXTENSION_BYTES - most * perChunk;
    expect(read(`${chunk.repeat(most)}0;${"x".repeat(left - 1)}\r\n\r\n`)).toMatchObject({ isDone: true });
    expect(read(`${chunk.repeat(most)}0;${"x".repeat(left)}\r\n\r\n`)).toMatchObject({ fault: "malformed" });
    expect(read(`${chunk.repeat(most + 1)}0\r\n\r\n`)).toMatchObject({ data: "a".repeat(most), fault: "malformed" });
  });

  test("takes trailers up to their bound, the empty line included", () => {
    const trailers = (bytes: number) => `0\r\nA: ${"x".repeat(bytes - 7)}\r\n\r\n`;
    expect(read(trailers(MAX_TRAILER_BYTES))).toMatchObject({ isDone: true });
    expect(read(trailers(MAX_TRAILER_BYTES + 1))).toMatchObject({ isDone: false, fault: "head_too_large" });
    expect(read(`0\r\n${"A: b\r\n".repeat(100)}`)).toMatchObject({ fault: "head_too_large" });
  });

  test("does not wait for the end of a trailer beyond the bound", () => {
    expect(read(`0\r\nA: ${"x".repeat(MAX_TRAILER_BYTES)}`)).toMatchObject({ fault: "head_too_large" });
  });
});

describe("ChunkedBody", () => {
  test("waits, without a fault, at every cut of a sound body", () => {
    const coded = '5;a="b"\r\nhello\r\n0\r\nX: y\r\n\r\n';
    for (let end = 0; end < coded.length; end++) {
      expect(take([coded.slice(0, end)])).toMatchObject({ behind: "", isDone: false, fault: null });
    }
  });

  test("moves data to the front of its read and leaves the bytes behind the body alone", () => {
    const bytes = Buffer.from("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nBEHIND", "latin1");
    const body = new ChunkedBody(MAX_TRAILER_BYTES);
    expect(bytes.toString("latin1", 0, body.take(bytes))).toBe("abcde");
    expect(bytes.toString("latin1", body.consumed)).toBe("BEHIND");
  });

  test("takes nothing once it has its end", () => {
    const body = new ChunkedBody(MAX_TRAILER_BYTES);
    body.take(Buffer.from("0\r\n\r\n"));
    expect(body.take(Buffer.from("5\r\nhello\r\n"))).toBe(0);
    expect(body.consumed).toBe(0);
  });

  test("takes nothing after a fault", () => {
    const body = new ChunkedBody(MAX_TRAILER_BYTES);
    body.take(Buffer.from("x\r\n"));
    expect(body.take(Buffer.from("5\r\nhello\r\n"))).toBe(0);
    expect(body.fault).toBe("malformed");
  });

  const token = fc.string({ unit: fc.constantFrom(..."!#$%&'*+-.^_`|~09azAZ"), minLength: 1, maxLength: 8 });
  const quoted = fc
    .array(fc.oneof(fc.constantFrom(..."\t !;=az"), fc.constantFrom('\\"', "\\\\", "\\;")), {
      maxLength: 6,
    })
    .map((parts) => `"${parts.join("")}"`);
  const extension = fc.tuple(token, fc.option(fc.oneof(token, quoted)));
  const extensions = fc
    .array(extension, { maxLength: 3 })
    .map((all) => all.map(([name, value]) => (value === null ? `;${name}` : `;${name}=${value}`)).join(""));
  const sizeForm = fc.record({ zeros: fc.nat({ max: 6 }), isUpper: fc.boolean() });
  const chunk = fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 80 }), sizeForm, extensions);
  const trailer = fc.tuple(token, token).map(([name, value]) => `x${name}: ${value}\r\n`);
  const coded = fc
    .tuple(fc.array(chunk, { maxLength: 8 }), extensions, fc.array(trailer, { maxLength: 4 }))
    .map(([chunks, last, trailers]) => {
      const data = Buffer.concat(chunks.map(([bytes]) => bytes)).toString("latin1");
      let text = "";
      for (const [bytes, { zeros, isUpper }, extra] of chunks) {
        const size = bytes.length.toString(16);
        text += `${"0".repeat(zeros)}${isUpper ? size.toUpperCase() : size}${extra}\r\n`;
        text += `${Buffer.from(bytes).toString("latin1")}\r\n`;
      }
      return { data, text: `${text}0${last}\r\n${trailers.join("")}\r\n` };
    });
  const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 });

  it("gives any body byte for byte, whatever its chunks, extensions and trailers, however it is cut, and not one byte behind it", () => {
    const behind = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString("latin1"));
    fc.assert(
      fc.property(coded, behind, cuts, ({ data, text }, rest, at) => {
        const reads = cut(text + rest, at);
        expect(take(reads)).toEqual({ data, behind: rest, isDone: true, fault: null });
      }),
      { numRuns: 1000 },
    );
  });

  it("comes to the same for any bytes, however they are cut", () => {
    const noise = fc.string({ unit: fc.constantFrom(...'015aA;="\\: x\0', "\r\n", "\r\n", "\r", "\n"), maxLength: 60 });
    const nearly = fc
      .tuple(coded, fc.double({ min: 0, max: 1, noNaN: true }), noise)
      .map(([{ text }, at, inserted]) => {
        const where = Math.floor(at * text.length);
        return text.slice(0, where) + inserted + text.slice(where);
      });
    fc.assert(
      fc.property(fc.oneof(noise, nearly), cuts, (text, at) => {
        const whole = take([text]);
        const { data, isDone, fault, behind } = take(cut(text, at));
        expect({ data, isDone, fault }).toEqual({ data: whole.data, isDone: whole.isDone, fault: whole.fault });
        if (isDone) expect(behind).toBe(whole.behind);
      }),
      { numRuns: 2000 },
    );
  });
});

/** Cuts a text at these places, told as parts of its length. */
function cut(text: string, at: readonly number[]): string[] {
  const places = [0, ...at.map((part) => Math.floor(part * text.length)).sort((a, b) => a - b), text.length];
  return places.slice(1).map((end, index) => text.slice(places[index], end));
}
