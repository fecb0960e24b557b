import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DEFAULT_ALERTS } from "../../config/alerts.ts";
import type { Finding } from "../../continuity/alerts/alert-book.ts";
import type { Notification } from "../../continuity/alerts/grouping.ts";
import { ManualClock } from "../../lib/clock.ts";
import { createUuidV7 } from "../../lib/uuidv7.ts";
import type { AlertStore } from "../../storage/alert-store.ts";
import { memoryAlertStore } from "./__fixtures__/memory-alert-store.ts";
import { Alerts, EVALUATE_EVERY_MS } from "./alerts.ts";
import type { Channel, SendOutcome } from "./channel.ts";

const forge: Finding = { rule: "node-away", key: "forge", summary: "Node forge is away", labels: { node: "forge" } };
const HOUR_MS = 3_600_000;

let store: AlertStore;
let clock: ManualClock;
let wrong: Finding[];
const opened: Alerts[] = [];

beforeEach(() => {
  clock = new ManualClock();
  store = memoryAlertStore();
  wrong = [];
});
afterEach(async () => {
  for (const alerts of opened.splice(0)) await alerts.stop();
});

/** A channel that answers as it is told, and keeps what it was sent. Unlike a real one it takes no time. */
interface FakeChannel extends Channel {
  sent: Notification[];
  /** Next answers; after them it takes everything. */
  outcomes: SendOutcome[];
}

function channelOf(name: string, fields: Partial<Channel> = {}): FakeChannel {
  const sent: Notification[] = [];
  const outcomes: SendOutcome[] = [];
  return {
    name,
    type: "webhook",
    filter: { severity: "info", rules: null },
    minGapMs: 0,
    refreshMs: null,
    async send(notification) {
      sent.push(notification);
      return outcomes.shift() ?? { isDelivered: true, detail: "it answered with HTTP 200" };
    },
    sent,
    outcomes,
    ...fields,
  };
}

function refusal(isPermanent: boolean): SendOutcome {
  const detail = `it answered with HTTP ${isPermanent ? 404 : 500}`;
  return { isDelivered: false, detail, isPermanent, retryAfterMs: null, nextStep: "" };
}

async function start(...channels: Channel[]): Promise<Alerts> {
  const alerts = new Alerts({
    config: DEFAULT_ALERTS,
    channels,
    sources: [() => wrong],
    store,
    clock,
    random: () => 0.5,
    newId: createUuidV7({ nowMs: () => clock.nowMs() }),
    onFiring: () => {},
    onResolved: () => {},
    onTrouble: () => {},
  });
  opened.push(alerts);
  await alerts.start();
  return alerts;
}

/** Lets time pass, look by look, and what is sent meanwhile come back. */
async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= EVALUATE_EVERY_MS) {
    clock.advance(Math.min(EVALUATE_EVERY_MS, left));
    for (let turn = 0; turn < 8; turn++) await Promise.resolve();
  }
}

const history = () => store.list({ rule: null, sinceMs: null, before: null, limit: 50 });
/** What became of messages, as the history has it. */
const evidence = async () =>
  (await history()).flatMap(({ deliveries }) =>
    deliveries.map((one) => `${one.channel} ${one.kind} ${one.status} ${one.isDelivered}`),
  );
const told = ({ sent }: FakeChannel) => sent.map(({ kind, rule, status }) => `${kind} ${rule} ${status}`);

describe("Alerts", () => {
  test("tells of what fires and of its end, and keeps the evidence that the message was taken", async () => {
    const ops = channelOf("ops");
    const alerts = await start(ops);
    wrong = [forge];
    await pass(80_000);
    expect(told(ops)).toEqual(["change node-away firing"]);
    expect(alerts.firing()).toMatchObject([{ alert: { rule: "node-away", key: "forge" }, silence: null }]);
    wrong = [];
    await pass(120_000);
    expect(told(ops)).toEqual(["change node-away firing", "change node-away resolved"]);
    expect(await evidence()).toEqual(["ops change firing true", "ops change resolved true"]);
    expect(await history()).toMatchObject([
      { rule: "node-away", key: "forge", resolvedAtMs: expect.any(Number), toldAtMs: expect.any(Number) },
    ]);
    expect(alerts.channels()).toMatchObject([{ name: "ops", waiting: 0, last: { isDelivered: true }, trouble: null }]);
  });

  test("says once what many looks find, and again after the repeat time until it is acknowledged", async () => {
    const ops = channelOf("ops");
    const alerts = await start(ops);
    wrong = [forge];
    await pass(4 * HOUR_MS);
    expect(told(ops)).toEqual(["change node-away firing"]);
    await pass(120_000);
    expect(told(ops)).toEqual(["change node-away firing", "repeat node-away firing"]);
    const [{ alert } = { alert: null }] = alerts.firing();
    alerts.acknowledged(alert?.id ?? "", { atMs: clock.nowMs(), by: "user ada", note: null });
    await pass(9 * HOUR_MS);
    expect(ops.sent).toHaveLength(2);
  });

  test("is silent under a silence, and still has the alert; the end of the silence tells", async () => {
    const ops = channelOf("ops");
    const alerts = await start(ops);
    const [createdAtMs, untilMs] = [clock.nowMs(), clock.nowMs() + HOUR_MS];
    const words = { rule: "node-away", key: "forge", reason: "work", createdBy: "user ada" };
    await store.insertSilence({ id: "s1", ...words, createdAtMs, untilMs });
    await alerts.silencesChanged();
    wrong = [forge];
    await pass(HOUR_MS - 10_000);
    expect(alerts.firing()).toMatchObject([{ alert: { key: "forge" }, silence: { id: "s1" } }]);
    expect(ops.sent).toEqual([]);
    await pass(60_000);
    expect(told(ops)).toEqual(["change node-away firing"]);
  });

  test("goes on after a restart: no second message, and the end is told", async () => {
    const before = await start(channelOf("ops"));
    wrong = [forge];
    await pass(80_000);
    await before.stop();
    const ops = channelOf("ops");
    const after = await start(ops);
    await pass(120_000);
    expect(after.firing()).toHaveLength(1);
    expect(ops.sent).toEqual([]);
    wrong = [];
    await pass(120_000);
    expect(told(ops)).toEqual(["change node-away resolved"]);
  });

  test("tells after a restart what could not be delivered before it", async () => {
    const broken = channelOf("ops");
    broken.outcomes.push(...Array.from({ length: 20 }, () => refusal(false)));
    const before = await start(broken);
    wrong = [forge];
    await pass(80_000);
    expect(broken.sent.length).toBeGreaterThan(0);
    await before.stop();
    const ops = channelOf("ops");
    await start(ops);
    await pass(30_000);
    expect(told(ops)).toEqual(["change node-away firing"]);
  });

  test("a channel that hangs holds no other, and one that refuses is an alert on the others", async () => {
    const hanging = channelOf("hanging", { send: () => new Promise(() => {}) });
    const broken = channelOf("broken");
    const well = channelOf("well");
    broken.outcomes.push(refusal(true));
    const alerts = await start(hanging, broken, well);
    wrong = [forge];
    await pass(240_000);
    expect(told(well)).toEqual(["change node-away firing", "change channel firing"]);
    expect(well.sent[1]?.alerts).toMatchObject([
      { key: "broken", summary: "Alerts are not delivered on channel broken: it answered with HTTP 404" },
    ]);
    // Of its own trouble it is not told.
    expect(told(broken)).toEqual(["change node-away firing"]);
    expect(alerts.channels().map(({ name, waiting }) => [name, waiting])).toEqual([
      ["hanging", 2],
      ["broken", 0],
      ["well", 0],
    ]);
    // Once it works, a test is the proof of it.
    await alerts.test("broken", new AbortController().signal);
    await pass(120_000);
    expect(told(well).at(-1)).toBe("change channel resolved");
  });

  test("a channel gets only what it wants", async () => {
    const pager = channelOf("pager", { filter: { severity: "critical", rules: null } });
    const disk = channelOf("disk", { filter: { severity: "info", rules: ["store"] } });
    await start(pager, disk);
    wrong = [forge, { rule: "store", key: "store", summary: "The disk is full", labels: {} }];
    await pass(120_000);
    expect([told(pager), told(disk)]).toEqual([["change store firing"], ["change store firing"]]);
  });

  test("tells a receiver that forgets again each minute what fires, and no more when it is over", async () => {
    const prometheus = channelOf("prometheus", { refreshMs: 60_000 });
    await start(prometheus);
    wrong = [forge];
    await pass(300_000);
    expect(told(prometheus).slice(0, 4)).toEqual([
      "change node-away firing",
      "refresh node-away firing",
      "refresh node-away firing",
      "refresh node-away firing",
    ]);
    wrong = [];
    await pass(120_000);
    const count = prometheus.sent.length;
    expect(told(prometheus).at(-1)).toBe("change node-away resolved");
    await pass(600_000);
    expect(prometheus.sent).toHaveLength(count);
    // Refreshes are no messages to anybody: the history has two.
    expect(await evidence()).toHaveLength(2);
  });

  test("goes on while the store is in trouble, and writes down what it missed", async () => {
    const real = store;
    let isBroken = true;
    const save: AlertStore["save"] = (...args) =>
      isBroken ? Promise.reject(new Error("the disk is full")) : real.save(...args);
    store = { ...real, save };
    const ops = channelOf("ops");
    await start(ops);
    wrong = [forge];
    await pass(80_000);
    expect(told(ops)).toEqual(["change node-away firing"]);
    expect(await real.unresolved()).toEqual([]);
    isBroken = false;
    await pass(2 * EVALUATE_EVERY_MS);
    expect(await real.unresolved()).toMatchObject([{ key: "forge", toldAtMs: expect.any(Number) }]);
  });

  test("tests a channel at once, past what waits, and keeps no record of it", async () => {
    const ops = channelOf("ops");
    const broken = channelOf("broken");
    broken.outcomes.push(refusal(true));
    const alerts = await start(ops, broken);
    const results = await alerts.test(null, new AbortController().signal);
    expect(results.map(({ channel, outcome }) => [channel, outcome.isDelivered])).toEqual([
      ["ops", true],
      ["broken", false],
    ]);
    expect(told(ops)).toEqual(["test test firing"]);
    expect(await alerts.test("ops", new AbortController().signal)).toHaveLength(1);
    expect(alerts.firing()).toEqual([]);
  });

  test("leaves no timer behind, and takes nothing up after its end", async () => {
    const alerts = await start(channelOf("ops"));
    wrong = [forge];
    await pass(80_000);
    await alerts.stop();
    expect(clock.pendingTimers).toBe(0);
  });

  test("leaves no timer behind either where the store lets it not begin", async () => {
    store = { ...store, unresolved: () => Promise.reject(new Error("locked")) };
    await expect(start(channelOf("ops"))).rejects.toThrow("locked");
    expect(clock.pendingTimers).toBe(0);
  });
});
