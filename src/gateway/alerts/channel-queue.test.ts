import { describe, expect, test } from "vitest";
import { ManualClock } from "../../lib/clock.ts";
import { notificationOf } from "./__fixtures__/alert.ts";
import type { Channel, SendOutcome } from "./channel.ts";
import { ChannelQueue, type Delivery, MAX_WAITING } from "./channel-queue.ts";

const taken: SendOutcome = { isDelivered: true, detail: "it answered with HTTP 200" };
const busy: SendOutcome = {
  isDelivered: false,
  detail: "it answered with HTTP 500",
  isPermanent: false,
  retryAfterMs: null,
  nextStep: "",
};
const gone: SendOutcome = { ...busy, detail: "it answered with HTTP 410", isPermanent: true };

function setUp(fields: Partial<Channel> = {}, random = 0.5) {
  const clock = new ManualClock();
  const sent: Array<{ id: string; atMs: number }> = [];
  const ended: Delivery[] = [];
  const outcomes: SendOutcome[] = [];
  const channel: Channel = {
    name: "ops",
    type: "webhook",
    filter: { severity: "info", rules: null },
    minGapMs: 0,
    refreshMs: null,
    async send({ id }) {
      sent.push({ id, atMs: clock.monotonicMs() });
      return outcomes.shift() ?? taken;
    },
    ...fields,
  };
  const queue = new ChannelQueue({
    channel,
    clock,
    random: () => random,
    onEnd: (delivery) => void ended.push(delivery),
    onRetry: () => {},
  });
  /** Lets time pass in small steps, and what is sent meanwhile come back. */
  async function pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 500) {
      await settle();
      clock.advance(Math.min(500, left));
    }
    await settle();
  }
  return { queue, clock, sent, ended, outcomes, pass };
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await Promise.resolve();
}

const message = (id: string) => notificationOf({ id });

describe("ChannelQueue", () => {
  test("sends in order, one at a time", async () => {
    const { queue, sent, ended } = setUp();
    for (const id of ["a", "b", "c"]) queue.push(message(id));
    expect(sent.map(({ id }) => id)).toEqual(["a"]);
    await settle();
    await settle();
    expect(ended.map(({ notification, isDelivered, attempts }) => [notification.id, isDelivered, attempts])).toEqual([
      ["a", true, 1],
      ["b", true, 1],
      ["c", true, 1],
    ]);
    expect(queue.waiting).toBe(0);
  });

  test("tries again with growing waits, and says meanwhile what the trouble is", async () => {
    const { queue, sent, ended, outcomes, pass } = setUp();
    outcomes.push(busy, busy, busy);
    queue.push(message("a"));
    await pass(500);
    expect(queue.trouble).toBe("it answered with HTTP 500");
    await pass(60_000);
    expect(sent.map(({ atMs }) => atMs)).toEqual([0, 1_000, 3_000, 7_000]);
    expect(ended).toMatchObject([{ isDelivered: true, attempts: 4 }]);
    expect(queue.trouble).toBeNull();
  });

  test("waits as long as the receiver asks", async () => {
    const { queue, sent, outcomes, pass } = setUp();
    outcomes.push({ ...busy, retryAfterMs: 30_000 });
    queue.push(message("a"));
    await pass(60_000);
    expect(sent.map(({ atMs }) => atMs)).toEqual([0, 30_000]);
  });

  test("does not try again what was refused for good", async () => {
    const { queue, sent, ended, outcomes, pass } = setUp();
    outcomes.push(gone);
    queue.push(message("a"));
    await pass(120_000);
    expect([sent.length, ended.length]).toEqual([1, 1]);
    expect(ended[0]).toMatchObject({ isDelivered: false, detail: "it answered with HTTP 410" });
    expect(queue.trouble).toBe("it answered with HTTP 410");
  });

  test("gives a message up after an hour, and goes on with the next", async () => {
    const { queue, ended, outcomes, pass } = setUp({}, 0.999);
    outcomes.push(...Array.from({ length: 70 }, () => busy));
    queue.push(message("a"));
    await pass(3_600_000);
    expect(ended).toMatchObject([{ notification: { id: "a" }, isDelivered: false }]);
    outcomes.length = 0;
    queue.push(message("b"));
    await pass(1_000);
    expect(ended.at(-1)).toMatchObject({ notification: { id: "b" }, isDelivered: true });
  });

  test("keeps the gap that the receiver needs", async () => {
    const { queue, sent, pass } = setUp({ minGapMs: 1_000 });
    for (const id of ["a", "b", "c"]) queue.push(message(id));
    await pass(5_000);
    expect(sent.map(({ atMs }) => atMs)).toEqual([0, 1_000, 2_000]);
  });

  test(`keeps ${MAX_WAITING} messages while a receiver hangs, gives the oldest up, and says so`, async () => {
    const { queue, ended } = setUp({ send: () => new Promise(() => {}) });
    for (let index = 0; index < MAX_WAITING + 5; index++) queue.push(message(`m-${index}`));
    expect(queue.waiting).toBe(MAX_WAITING);
    // The one that is being tried is not given up.
    expect(ended.map(({ notification }) => notification.id)).toEqual(["m-1", "m-2", "m-3", "m-4", "m-5"]);
    expect(ended[0]).toMatchObject({ isDelivered: false, attempts: 0, detail: "too many messages waited before it" });
  });

  test("goes on when a message cannot even be made", async () => {
    const { queue, ended } = setUp({ send: () => Promise.reject(new Error("a fault of ours")) });
    queue.push(message("a"));
    await settle();
    expect(ended).toMatchObject([{ isDelivered: false, detail: "the message could not be made" }]);
  });

  test("stops with no timer left, and sends nothing any more", async () => {
    const { queue, clock, sent, outcomes, pass } = setUp();
    outcomes.push(busy);
    queue.push(message("a"));
    await settle();
    queue.stop();
    queue.push(message("b"));
    await pass(60_000);
    expect([sent.length, clock.pendingTimers]).toEqual([1, 0]);
  });
});
