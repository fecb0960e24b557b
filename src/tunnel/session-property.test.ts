import fc from "fast-check";
import { expect, test } from "vitest";
import { ManualClock } from "../lib/clock.ts";
import type { Exchange } from "../lib/exchange.ts";
import { line } from "./__fixtures__/line.ts";
import { AgentLink } from "./agent-link.ts";
import { type Attempt, BodyBudget } from "./serve.ts";
import { Session } from "./session.ts";
import { startExchange } from "./stream-exchange.ts";

/** One request, what the agent does with it, and what its caller does. */
interface Plan {
  bodyBytes: number;
  answerBytes: number;
  /** Length of the pieces in which the agent answers. */
  pieceBytes: number;
  hasLength: boolean;
  /** Chunks that still come after the agent was told to wait, as from an engine whose bytes are under way. */
  late: number;
  /** The caller pauses after every so many chunks, for a few turns. */
  pauseEvery: number;
  /** The caller leaves after so many bytes. */
  leaveAfterBytes: number | null;
  /** The engine fails after so many bytes. */
  failAfterBytes: number | null;
}

const plan: fc.Arbitrary<Plan> = fc.record({
  bodyBytes: fc.oneof(fc.nat(300), fc.nat(200_000)),
  answerBytes: fc.oneof(fc.nat(300), fc.nat(400_000)),
  pieceBytes: fc.oneof(fc.integer({ min: 20, max: 300 }), fc.integer({ min: 1_000, max: 150_000 })),
  hasLength: fc.boolean(),
  late: fc.nat(3),
  pauseEvery: fc.integer({ min: 1, max: 50 }),
  leaveAfterBytes: fc.option(fc.nat(100_000), { freq: 4 }),
  failAfterBytes: fc.option(fc.nat(100_000), { freq: 4 }),
});

/** Bytes that tell their place, so that a byte out of order shows. */
function pattern(seed: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let at = 0; at < length; at++) bytes[at] = (seed * 31 + at * 7 + (at >>> 8)) & 0xff;
  return bytes;
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Answers as the plan of the request says; null where the body is not what was sent. */
function answer(attempt: Attempt, plans: readonly Plan[], onWrongBody: () => void): void {
  const index = Number(attempt.request.path.slice(1));
  const { bodyBytes, answerBytes, pieceBytes, hasLength, late, failAfterBytes } = plans[index] as Plan;
  attempt.collectBody((body) => {
    if (!body.equals(pattern(index, bodyBytes))) onWrongBody();
    const bytes = pattern(index + 100, answerBytes);
    attempt.head(200, hasLength ? { "content-length": String(answerBytes) } : {});
    let at = 0;
    const pump = () => {
      let left = late;
      while (at < bytes.length) {
        if (failAfterBytes !== null && at >= failAfterBytes) return attempt.fail("cut", "as planned");
        const piece = bytes.subarray(at, at + pieceBytes);
        at += piece.length;
        if (!attempt.write(piece) && left-- === 0) return;
      }
      attempt.end();
    };
    attempt.worker = { onCancel() {}, onResume: pump };
    pump();
  });
}

/** Asks, and resolves with how it ended once it has; what came is checked byte for byte. */
function ask(session: Session, index: number, { bodyBytes, pauseEvery, leaveAfterBytes }: Plan, chunks: Buffer[]) {
  const ended = Promise.withResolvers<string>();
  let exchange: Exchange | null = null;
  let count = 0;
  let bytes = 0;
  const request = { method: "POST" as const, path: `/${index}`, headers: {}, body: pattern(index, bodyBytes) };
  exchange = startExchange(
    session,
    request,
    { bytesIn: 0, bytesOut: 0, onExchangeEnd() {} },
    {
      onHead() {},
      onData(chunk) {
        chunks.push(Buffer.from(chunk));
        bytes += chunk.length;
        count += 1;
        if (leaveAfterBytes !== null && bytes > leaveAfterBytes) {
          exchange?.cancel("caller_left");
          ended.resolve("left");
        } else if (count % pauseEvery === 0) {
          exchange?.pause();
          void turn()
            .then(turn)
            .then(() => exchange?.resume());
        }
      },
      onEnd: () => ended.resolve("end"),
      onFailure: (failure) => ended.resolve(failure.kind),
    },
  );
  if (exchange === null) ended.resolve("none");
  return ended.promise;
}

test("whatever runs side by side on a link, each caller gets just the bytes of its own answer, or is told that it is cut", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(plan, { minLength: 1, maxLength: 8 }),
      fc.infiniteStream(fc.integer({ min: 1, max: 90_000 })),
      async (plans, cuts) => {
        const clock = new ManualClock();
        const [near, far] = line();
        near.cut = far.cut = () => cuts.next().value as number;
        const over: string[] = [];
        let wrongBodies = 0;
        const agent = new AgentLink({
          carrier: far,
          capacity: 16,
          budget: new BodyBudget(),
          clock,
          onAttempt: (attempt) => answer(attempt, plans, () => (wrongBodies += 1)),
          events: { onOpen() {}, onMessage() {}, onClosed: (detail) => over.push(detail) },
        });
        const opened = Promise.withResolvers<void>();
        const session = new Session({
          carrier: near,
          clock,
          windowBytes: 40_000,
          capacity: 0,
          events: {
            onSettings: () => opened.resolve(),
            onControl() {},
            onOpen() {},
            onOver: (_reason, detail) => over.push(detail),
          },
        });
        await opened.promise;
        const received = plans.map((): Buffer[] => []);
        const endings = await Promise.all(
          plans.map((one, index) => ask(session, index, one, received[index] as Buffer[])),
        );
        plans.forEach((one, index) => {
          const got = Buffer.concat(received[index] as Buffer[]);
          expect(got.equals(pattern(index + 100, one.answerBytes).subarray(0, got.length))).toBe(true);
          if (endings[index] === "end") expect(got.length).toBe(one.answerBytes);
          else if (endings[index] === "cut") expect(one.failAfterBytes).not.toBeNull();
          else expect([endings[index], one.leaveAfterBytes === null]).toEqual(["left", false]);
        });
        expect(wrongBodies).toBe(0);
        for (let n = 0; n < 20 && agent.running + session.running > 0; n++) await turn();
        expect([agent.running, session.running, over]).toEqual([0, 0, []]);
        session.end("done", 0);
        const closed = agent.close("done");
        clock.advance(60_000);
        await closed;
      },
    ),
    { numRuns: 60 },
  );
});
