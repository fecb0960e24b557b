import type { Duplex } from "node:stream";
import { afterEach, describe, expect, test } from "vitest";
import { ManualClock, systemClock } from "../lib/clock.ts";
import type { ExchangeHandler } from "../lib/exchange.ts";
import { line } from "./__fixtures__/line.ts";
import { frame, rawPeer, settings } from "./__fixtures__/raw-peer.ts";
import { AgentLink } from "./agent-link.ts";
import { DATA_FRAME_BYTES, PROMPT_WINDOW_BYTES, SOCKET_HIGH_BYTES } from "./constants.ts";
import { FRAME, LAST, STREAM_SLOTS } from "./frames.ts";
import { type Attempt, BodyBudget } from "./serve.ts";
import { Session } from "./session.ts";
import { startExchange } from "./stream-exchange.ts";

const closers: Array<() => void> = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

function gatewaySession(carrier: Duplex): { session: Session; opened: Promise<void>; over: string[] } {
  const opened = Promise.withResolvers<void>();
  const over: string[] = [];
  const session = new Session({
    carrier,
    clock: systemClock,
    windowBytes: 1024,
    capacity: 0,
    events: {
      onSettings: () => opened.resolve(),
      onControl: () => {},
      onOpen: () => {},
      onOver: (reason, detail) => over.push(`${reason}: ${detail}`),
    },
  });
  closers.push(() => session.end("the test is over", 0));
  return { session, opened: opened.promise, over };
}

const OWNER = { bytesIn: 0, bytesOut: 0, onExchangeEnd() {} };
const SILENT: ExchangeHandler = { onHead() {}, onData() {}, onEnd() {}, onFailure() {} };
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

function request(bytes: number) {
  return { method: "POST" as const, path: "/x", headers: {}, body: Buffer.alloc(bytes, "x") };
}

describe("Session at the gateway", () => {
  test("writes all that one turn of the event loop leads to in one piece", async () => {
    const [near, far] = line();
    const { session, opened } = gatewaySession(near);
    far.write(settings());
    await opened;
    await turn();
    const pieces: number[] = [];
    far.on("data", (chunk: Buffer) => pieces.push(chunk.length));
    for (let n = 0; n < 20; n++) startExchange(session, request(10), OWNER, SILENT);
    await turn();
    await turn();
    // The first is the gateway's settings.
    expect(pieces).toHaveLength(2);
  });

  test("lets a short request pass a long one on a slow line", async () => {
    const [near, far] = line();
    const { session, opened } = gatewaySession(near);
    far.write(settings(64 * 1024 * 1024));
    await opened;
    near.isSlow = true;
    startExchange(session, request(16 * 1024 * 1024), OWNER, SILENT);
    await turn();
    startExchange(session, request(10), OWNER, SILENT);
    await turn();
    expect(session.outbox.backlogBytes).toBeLessThanOrEqual(SOCKET_HIGH_BYTES + 2 * DATA_FRAME_BYTES);
    let longBytes = 0;
    const ahead = new Promise<number>((resolve) => {
      rawPeer(far, {
        onData: (id, bytes, isLast) => {
          if (id === STREAM_SLOTS) longBytes += bytes;
          else if (isLast) resolve(longBytes);
        },
      });
    });
    near.goOn();
    expect(await ahead).toBeLessThanOrEqual(SOCKET_HIGH_BYTES + 2 * DATA_FRAME_BYTES);
  });

  test("uses a slot again with another id, and a late frame for the old one harms nobody", async () => {
    const [near, far] = line();
    const { session, opened, over } = gatewaySession(near);
    const ids: number[] = [];
    rawPeer(far, {
      onOpen: (stream) => {
        ids.push(stream.id);
        stream.ok();
        // Crosses the end of the stream at the gateway.
        far.write(frame(FRAME.reset, stream.id, Buffer.from([3, 3])));
      },
    });
    far.write(settings());
    await opened;
    for (let n = 0; n < 5; n++) {
      const outcome = await new Promise((resolve) => {
        startExchange(session, request(3), OWNER, { ...SILENT, onEnd: () => resolve("end"), onFailure: resolve });
      });
      expect(outcome).toBe("end");
    }
    expect(new Set(ids).size).toBe(5);
    expect(new Set(ids.map((id) => id % STREAM_SLOTS))).toEqual(new Set([0]));
    expect(over).toEqual([]);
    expect(session.running).toBe(0);
  });

  test("stops sending a request whose answer is complete, and frees the stream at both ends", async () => {
    const [near, far] = line();
    const { session, opened } = gatewaySession(near);
    const reset = Promise.withResolvers<number>();
    rawPeer(far, { onOpen: (stream) => stream.ok(), onReset: (id) => reset.resolve(id) });
    far.write(settings(1000));
    await opened;
    const outcome = await new Promise((resolve) => {
      startExchange(session, request(100_000), OWNER, { ...SILENT, onEnd: () => resolve("end"), onFailure: resolve });
    });
    expect(outcome).toBe("end");
    expect(await reset.promise).toBe(STREAM_SLOTS);
    expect(session.running).toBe(0);
  });

  test("gives up a far side that does not read what it must be told", async () => {
    const [near, far] = line();
    const { session, opened, over } = gatewaySession(near);
    far.write(settings());
    await opened;
    near.isSlow = true;
    for (let n = 0; n < 200; n++) session.control("x".repeat(512 * 1024));
    expect(over).toEqual(["dead: the far side does not read"]);
  });
});

describe("AgentLink with a hostile gateway", () => {
  function agent(onAttempt: (attempt: Attempt) => void = () => {}, capacity = 2) {
    const [near, far] = line();
    const closed = Promise.withResolvers<string>();
    const clock = new ManualClock();
    const link = new AgentLink({
      carrier: near,
      capacity,
      budget: new BodyBudget(10_000, 20_000),
      onAttempt,
      clock,
      events: { onOpen: () => {}, onMessage: () => {}, onClosed: (detail) => closed.resolve(detail) },
    });
    closers.push(() => {
      void link.close("the test is over");
      clock.advance(60_000);
    });
    far.on("error", () => {});
    const got: Buffer[] = [];
    far.on("data", (chunk: Buffer) => got.push(chunk));
    return { link, far, closed: closed.promise, got };
  }

  const open = (id: number, bodyBytes = 0) =>
    frame(bodyBytes === 0 ? FRAME.open | LAST : FRAME.open, id, JSON.stringify(["POST", "/v1/x", {}, bodyBytes]));

  test.each<[string, Buffer]>([
    ["a stream in a slot that is taken", Buffer.concat([open(STREAM_SLOTS, 5), open(STREAM_SLOTS * 2, 5)])],
    ["a stream of no generation", open(7)],
    ["a request that is not JSON", frame(FRAME.open | LAST, STREAM_SLOTS, "GET / HTTP/1.1")],
    ["a request without its length", frame(FRAME.open | LAST, STREAM_SLOTS, '["POST","/x",{}]')],
    ["a length that is none", frame(FRAME.open, STREAM_SLOTS, '["POST","/x",{},1.5]')],
    ["a body where none was announced", frame(FRAME.open, STREAM_SLOTS, '["POST","/x",{},0]')],
    ["a header with a line break", frame(FRAME.open | LAST, STREAM_SLOTS, '["POST","/x",{"a":"b\\nc"},0]')],
    ["data for nothing", frame(FRAME.data, STREAM_SLOTS * 3, "x")],
    [
      "more than a window",
      Buffer.concat([
        open(STREAM_SLOTS, 9_999),
        ...Array.from({ length: (2 * PROMPT_WINDOW_BYTES) / DATA_FRAME_BYTES }, () =>
          frame(FRAME.data, STREAM_SLOTS, Buffer.alloc(DATA_FRAME_BYTES)),
        ),
      ]),
    ],
  ])("ends the link on %s", async (_what, bytes) => {
    const { link, far, closed } = agent();
    far.write(Buffer.concat([settings(), bytes]));
    await closed;
    expect(link.running).toBe(0);
  });

  test("refuses attempts above its capacity and bodies above its memory, and goes on", async () => {
    const bodies: number[] = [];
    const { link, far, got } = agent((attempt) => attempt.collectBody((body) => bodies.push(body.length)));
    far.write(settings());
    far.write(open(STREAM_SLOTS, 20_001));
    far.write(open(STREAM_SLOTS + 1, 8_000));
    far.write(open(STREAM_SLOTS + 2, 8_000));
    far.write(open(STREAM_SLOTS + 3, 8_000));
    far.write(frame(FRAME.data | LAST, STREAM_SLOTS + 1, Buffer.alloc(8_000)));
    await turn();
    await turn();
    expect(bodies).toEqual([8_000]);
    expect(link.running).toBe(2);
    const text = Buffer.concat(got).toString("latin1");
    expect(text).toContain("the request body is too large");
    expect(text).toContain("the agent is at its capacity");
  });

  test.each([
    ["less", 50],
    ["more", 150],
  ])("never hands over a body with %s than was announced", async (_what, bytes) => {
    const bodies: number[] = [];
    const { link, far } = agent((attempt) => attempt.collectBody((body) => bodies.push(body.length)));
    far.write(Buffer.concat([settings(), open(STREAM_SLOTS, 100)]));
    far.write(frame(FRAME.data | LAST, STREAM_SLOTS, Buffer.alloc(bytes)));
    await turn();
    expect(bodies).toEqual([]);
    expect(link.running).toBe(0);
    expect(link.isOpen).toBe(true);
  });
});
