import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SseReader } from "./sse-reader.ts";

type Event = [data: string, name: string | null];

function readAll(chunks: readonly Buffer[], limit = 1024): Event[] {
  const events: Event[] = [];
  const reader = new SseReader(limit, (data, name) => events.push([data, name]));
  for (const chunk of chunks) reader.push(chunk);
  reader.end();
  return events;
}

describe("SseReader", () => {
  test("joins data lines, keeps names, leaves comments out", () => {
    const text = ': hello\n\nevent: a\ndata: 1\ndata:2\n\ndata: {"x": 1}\r\n\r\nid: 7\nretry: 1\n\ndata\n\n';
    expect(readAll([Buffer.from(text)])).toEqual([
      ["1\n2", "a"],
      ['{"x": 1}', null],
    ]);
  });

  test("hands over a last event without its blank line, at the end only", () => {
    const events: Event[] = [];
    const reader = new SseReader(1024, (data, name) => events.push([data, name]));
    reader.push(Buffer.from("data: a\n\ndata: b"));
    expect(events).toEqual([["a", null]]);
    reader.end();
    expect(events).toEqual([
      ["a", null],
      ["b", null],
    ]);
    reader.end();
    expect(events).toHaveLength(2);
  });

  test.each(["\n", "\r\n"])("hands over an event with its last byte, lines ending in %j", (end) => {
    const events: Event[] = [];
    const reader = new SseReader(1024, (data, name) => events.push([data, name]));
    for (let count = 1; count <= 3; count++) {
      const bytes = Buffer.from(`data: ${count}${end}${end}`);
      for (let at = 0; at < bytes.length; at++) {
        expect(events).toHaveLength(count - 1);
        reader.push(bytes.subarray(at, at + 1));
      }
      expect(events).toHaveLength(count);
    }
  });

  test("understands the error field of older llama.cpp", () => {
    expect(readAll([Buffer.from('error: {"message":"x"}\n\n')])).toEqual([['{"message":"x"}', "error"]]);
  });

  test("gives up on an event that does not end", () => {
    const reader = new SseReader(100, () => {});
    reader.push(Buffer.alloc(100, "x"));
    expect(() => reader.push(Buffer.from("x"))).toThrow(expect.objectContaining({ code: "engine_bad_answer" }));
  });

  test("reads the same events however the bytes are cut", () => {
    const line = fc.oneof(
      fc.string({ unit: "grapheme", maxLength: 12 }).map((text) => text.replace(/[\r\n]/g, "·")),
      fc.constantFrom("é", "日本語", "🙂🙂", ""),
    );
    const event = fc.tuple(fc.array(line, { minLength: 1, maxLength: 3 }), fc.boolean(), fc.boolean(), fc.boolean());
    fc.assert(
      fc.property(fc.array(event, { maxLength: 6 }), fc.array(fc.nat(40), { maxLength: 40 }), (list, cuts) => {
        let text = "";
        const wanted: Event[] = [];
        for (const [lines, isWindows, isNamed, isCommented] of list) {
          const end = isWindows ? "\r\n" : "\n";
          if (isCommented) text += `: ping${end}${end}`;
          if (isNamed) text += `event: n${end}`;
          for (const one of lines) text += `data: ${one}${end}`;
          text += end;
          wanted.push([lines.join("\n"), isNamed ? "n" : null]);
        }
        const bytes = Buffer.from(text);
        const chunks: Buffer[] = [];
        let at = 0;
        for (const cut of cuts) {
          chunks.push(bytes.subarray(at, at + cut));
          at = Math.min(bytes.length, at + cut);
        }
        chunks.push(bytes.subarray(at));
        expect(readAll(chunks)).toEqual(wanted);
        expect(readAll(Array.from(bytes, (byte) => Buffer.from([byte])))).toEqual(wanted);
      }),
      { numRuns: 200 },
    );
  });
});
