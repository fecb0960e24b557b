import { expect, test } from "vitest";
import { FRAME } from "./frames.ts";
import { LinkStream, type StreamHost, type StreamOwner } from "./link-stream.ts";

/** A stream whose frames and deliveries are noted. Its outbox, unlike the real one, writes nothing. */
function stream(creditBytes: number): { stream: LinkStream; sent: Uint8Array[]; delivered: Buffer[] } {
  const sent: Uint8Array[] = [];
  const delivered: Buffer[] = [];
  const outbox = {
    isFull: false,
    wait() {},
    text() {},
    frame(type: number, _id: number, payload: Uint8Array) {
      if (type === FRAME.data) sent.push(payload);
    },
  };
  const host: StreamHost = { outbox, violate() {}, release() {}, allowStray() {} };
  const owner: StreamOwner = {
    onHead() {},
    onBody: (chunk) => delivered.push(chunk),
    onBodyEnd() {},
    onReset() {},
    onLinkEnd() {},
    onDrain() {},
  };
  return { stream: new LinkStream(host, owner, 1, creditBytes, 1000), sent, delivered };
}

test("a small chunk that waits to be sent, or to be wanted, does not keep the memory that it came in", () => {
  const read = Buffer.alloc(64 * 1024, "x");
  const { stream: link, sent, delivered } = stream(0);
  expect(link.send(read.subarray(100, 300))).toBe(false);
  link.onCredit(1000);
  link.sendSome();
  link.pause();
  link.onData(read.subarray(100, 400), false);
  link.resume();
  expect([sent, delivered].map(([chunk]) => [chunk?.length, chunk?.buffer.byteLength])).toEqual([
    [200, 200],
    [300, 300],
  ]);
});

test("a large chunk that waits is not copied", () => {
  const { stream: link, sent } = stream(0);
  const chunk = Buffer.alloc(40_000);
  link.send(chunk);
  link.onCredit(40_000);
  link.sendSome();
  expect(sent[0]?.buffer).toBe(chunk.buffer);
});
