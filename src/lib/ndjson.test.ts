import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { jsonLine, LineCutter } from "./ndjson.ts";

const LIMIT = 64;

function cutAt(bytes: Buffer, places: readonly number[]): Buffer[] {
  const borders = [0, ...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b);
  return borders.map((from, at) => Buffer.from(bytes.subarray(from, borders[at + 1] ?? bytes.length)));
}

describe("LineCutter", () => {
  test("hands whole lines on as the same buffer", () => {
    const cutter = new LineCutter(LIMIT);
    const chunk = Buffer.from('{"a":1}\n{"b":2}\r\n');
    expect(cutter.push(chunk)).toBe(chunk);
    expect(cutter.end()).toHaveLength(0);
  });

  test("gives the same lines however the stream is cut, in the middle of a character or of CRLF too", () => {
    const line = fc.string({ unit: "grapheme", maxLength: 12 }).map((text) => text.replaceAll("\n", ""));
    const end = fc.constantFrom("\n", "\r\n");
    fc.assert(
      fc.property(
        fc.array(fc.tuple(line, end), { maxLength: 8 }),
        line,
        fc.array(fc.nat(300)),
        (lines, rest, places) => {
          const bytes = Buffer.from(lines.map((parts) => parts.join("")).join("") + rest);
          const cutter = new LineCutter(1024);
          const pieces = cutAt(bytes, places).map((chunk) => cutter.push(chunk));
          for (const piece of pieces) if (piece.length > 0) expect(piece.at(-1)).toBe(0x0a);
          const whole = Buffer.concat(pieces);
          expect(whole).toEqual(bytes.subarray(0, bytes.lastIndexOf(0x0a) + 1));
          expect(Buffer.concat([whole, cutter.end()])).toEqual(bytes);
        },
      ),
    );
  });

  test("never writes to what it handed out", () => {
    const cutter = new LineCutter(LIMIT);
    cutter.push(Buffer.from("ab"));
    const first = cutter.push(Buffer.from("c\nde"));
    cutter.push(Buffer.from("fghij\nklm"));
    expect(first.toString()).toBe("abc\n");
  });

  test("holds no line beyond its limit", () => {
    const cutter = new LineCutter(LIMIT);
    expect(cutter.push(Buffer.alloc(LIMIT, 0x61))).toHaveLength(0);
    expect(() => cutter.push(Buffer.of(0x61))).toThrow(RangeError);
  });
});

test("jsonLine() is one line", () => {
  expect(jsonLine({ text: "a\nb" })).toBe('{"text":"a\\nb"}\n');
});
