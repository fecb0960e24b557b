import fc from "fast-check";
import { expect, it } from "vitest";
import { frameChunk, frameEnd } from "./chunk-frame.ts";

/** Reads a chunked body to its end as RFC 9112 §7.1 says. */
function decode(bytes: Buffer): { data: Buffer; rest: Buffer } {
  const parts: Buffer[] = [];
  let at = 0;
  for (;;) {
    const lineEnd = bytes.indexOf("\r\n", at);
    const size = Number.parseInt(bytes.toString("latin1", at, lineEnd), 16);
    at = lineEnd + 2;
    if (size === 0) return { data: Buffer.concat(parts), rest: bytes.subarray(at + 2) };
    parts.push(bytes.subarray(at, at + size));
    expect(bytes.toString("latin1", at + size, at + size + 2)).toBe("\r\n");
    at += size + 2;
  }
}

it("frameChunk() and frameEnd() make a body that decodes to what went in, with nothing behind it", () => {
  const piece = fc.uint8Array({ minLength: 1, maxLength: 5000 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 5 }), fc.uint8Array({ maxLength: 300 }), (pieces, tail) => {
      const body = Buffer.concat([...pieces.map(frameChunk), frameEnd(Buffer.from(tail))]);
      const { data, rest } = decode(body);
      expect(data.equals(Buffer.concat([...pieces, Buffer.from(tail)]))).toBe(true);
      expect(rest).toHaveLength(0);
    }),
  );
});

it("frameChunk() leaves the data alone", () => {
  const data = Buffer.from("data: x\n\n");
  frameChunk(data)[4] = 0;
  expect(data.toString()).toBe("data: x\n\n");
});
