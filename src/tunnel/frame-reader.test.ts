import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { frame } from "./__fixtures__/raw-peer.ts";
import { FrameReader, type FrameSink } from "./frame-reader.ts";
import { FRAME, LAST } from "./frames.ts";

/** Notes what comes; data of one frame is joined, since it may come in any pieces. */
class Notes implements FrameSink {
  isOver = false;
  readonly seen: string[] = [];
  #data = "";

  onFrame(type: number, isLast: boolean, id: number, payload: Buffer): void {
    this.#flush();
    this.seen.push(`${type} ${isLast} ${id} ${payload.toString("latin1")}`);
  }

  onData(id: number, chunk: Buffer, isLast: boolean): void {
    this.#data += chunk.toString("latin1");
    if (isLast) this.seen.push(`last ${id}`);
  }

  onViolation(what: string): void {
    this.#flush();
    this.seen.push(`violation: ${what}`);
    this.isOver = true;
  }

  text(): string[] {
    this.#flush();
    return this.seen;
  }

  #flush(): void {
    if (this.#data.length > 0) this.seen.push(`data ${this.#data}`);
    this.#data = "";
  }
}

function read(bytes: Buffer, cuts: readonly number[]): string[] {
  const notes = new Notes();
  const reader = new FrameReader(notes);
  const points = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
  points.forEach((point, index) => {
    if (index > 0) reader.push(bytes.subarray(points[index - 1], point));
  });
  return notes.text();
}

const text = fc.string({ maxLength: 60 });
const id = fc.integer({ min: 1, max: 0xffff_ffff });
const anyFrame = fc.oneof(
  fc
    .tuple(id, text, fc.boolean())
    .map(([on, words, isLast]) => frame(isLast ? FRAME.head | LAST : FRAME.head, on, words)),
  fc
    .tuple(
      id,
      text.filter((words) => words.length > 0),
    )
    .map(([on, words]) => frame(FRAME.data, on, words)),
  fc.tuple(id, text).map(([on, words]) => frame(FRAME.data | LAST, on, words)),
  text.map((words) => frame(FRAME.control, 0, words)),
  fc.constant(frame(FRAME.ping, 0, Buffer.alloc(8, 1))),
);

describe("FrameReader", () => {
  test("reads the same frames however the bytes are cut", () => {
    fc.assert(
      fc.property(fc.array(anyFrame, { maxLength: 12 }), fc.array(fc.nat(2000), { maxLength: 40 }), (frames, cuts) => {
        const bytes = Buffer.concat(frames);
        expect(read(bytes, cuts)).toEqual(read(bytes, []));
      }),
    );
  });

  test("reads a frame that comes byte by byte", () => {
    const bytes = Buffer.concat([frame(FRAME.head, 8192, "[200,{}]"), frame(FRAME.data | LAST, 8192, "abc")]);
    const everyByte = Array.from({ length: bytes.length }, (_, at) => at);
    expect(read(bytes, everyByte)).toEqual(["3 false 8192 [200,{}]", "last 8192", "data abc"]);
  });

  test("never throws on garbage, and stops at the first violation", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.array(fc.nat(300), { maxLength: 5 }), (garbage, cuts) => {
        const seen = read(Buffer.from(garbage), cuts);
        const violation = seen.findIndex((one) => one.startsWith("violation"));
        expect(violation === -1 || violation === seen.length - 1).toBe(true);
      }),
    );
  });
});
