import { pino } from "pino";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Receiver, startReceiver } from "../../../test/support/receiver.ts";
import { type AlertChannelConfig, type AlertsConfig, DEFAULT_ALERTS } from "../../config/alerts.ts";
import type { Finding } from "../../continuity/alerts/alert-book.ts";
import { ManualClock } from "../../lib/clock.ts";
import { Closers } from "../../lib/closers.ts";
import { Secret } from "../../lib/secret.ts";
import { createUuidV7 } from "../../lib/uuidv7.ts";
import { GATEWAY } from "./__fixtures__/alert.ts";
import { memoryAlertStore } from "./__fixtures__/memory-alert-store.ts";
import { openAlerts } from "./open-alerts.ts";

const forge: Finding = { rule: "node-away", key: "forge", summary: "Node forge is away", labels: {} };

let receiver: Receiver;
let clock: ManualClock;
let closers: Closers;
beforeEach(async () => {
  receiver = await startReceiver();
  clock = new ManualClock();
  closers = new Closers();
});
afterEach(async () => {
  await closers.close();
  await receiver.close();
});

const hook = (fields: Partial<AlertChannelConfig> = {}): AlertChannelConfig =>
  ({
    name: "ops",
    type: "webhook",
    severity: "info",
    rules: null,
    caFile: null,
    url: new Secret(receiver.url),
    secret: null,
    ...fields,
  }) as AlertChannelConfig;

function open(config: AlertsConfig, wrong: Finding[], store = memoryAlertStore()) {
  return openAlerts({
    config,
    sources: () => [() => wrong],
    store,
    clock,
    random: () => 0.5,
    newId: createUuidV7({ nowMs: () => clock.nowMs() }),
    log: pino({ level: "silent" }),
    closers,
    gateway: GATEWAY,
    isWell: () => true,
  });
}

function pass(ms: number): void {
  for (let left = ms; left > 0; left -= 5_000) clock.advance(5_000);
}

test("openAlerts() takes other channels and rules over, and what fires goes on firing and is told on them", async () => {
  const wrong = [forge];
  const alerts = await open(DEFAULT_ALERTS, wrong);
  pass(70_000);
  wrong.push({ rule: "contingency", key: "", summary: "Contingency is on", labels: {} });
  pass(5_000);
  const before = alerts.live.view().firing;
  expect(before.map(({ rule }) => rule)).toEqual(["node-away", "contingency"]);

  await alerts.reload({ ...DEFAULT_ALERTS, groupWaitMs: 0, channels: [hook()] });
  pass(5_000);
  const received = await receiver.got(2);
  expect(received.map((one) => one.json<{ groupLabels: object }>().groupLabels)).toEqual([
    { alertname: "node-away" },
    { alertname: "contingency" },
  ]);
  expect(alerts.live.view().firing.map(({ id }) => id)).toEqual(before.map(({ id }) => id));

  const rules = { ...DEFAULT_ALERTS.rules, "node-away": { ...DEFAULT_ALERTS.rules["node-away"], isEnabled: false } };
  await alerts.reload({ ...DEFAULT_ALERTS, rules });
  pass(5_000);
  expect(alerts.live.view()).toMatchObject({ firing: [{ rule: "contingency" }], channels: [] });
});

test("openAlerts() keeps everything as it was where a new channel cannot be opened", async () => {
  const alerts = await open({ ...DEFAULT_ALERTS, channels: [hook()] }, [forge]);
  const broken = { ...DEFAULT_ALERTS, channels: [hook({ caFile: "/no/such/ca.pem" })] };
  await expect(alerts.reload(broken)).rejects.toThrow("ENOENT");
  pass(80_000);
  await receiver.got(1);
});

// A configuration that was read while the store was locked left the gateway without alerts until the next one.
test("openAlerts() takes other rules over while the store is in trouble", async () => {
  const real = memoryAlertStore();
  const store = { ...real };
  const alerts = await open(DEFAULT_ALERTS, [forge], store);
  pass(70_000);
  const refuse = () => Promise.reject(new Error("locked"));
  Object.assign(store, { save: refuse, unresolved: refuse, silences: refuse });
  await alerts.reload({ ...DEFAULT_ALERTS, groupWaitMs: 0, channels: [hook()] });
  Object.assign(store, real);
  pass(5_000);
  await receiver.got(1);
  expect(alerts.live.view().firing).toMatchObject([{ rule: "node-away", key: "forge" }]);
  await expect.poll(() => real.unresolved()).toMatchObject([{ key: "forge" }]);
});

test("openAlerts() says of each channel what a test came to, with the next step where it failed", async () => {
  receiver.answers.push(404);
  const alerts = await open({ ...DEFAULT_ALERTS, channels: [hook()] }, []);
  const { signal } = new AbortController();
  expect(await alerts.live.test(null, signal)).toMatchObject([
    { channel: "ops", type: "webhook", isDelivered: false, nextStep: expect.stringContaining("URL") },
  ]);
  expect(await alerts.live.test("ops", signal)).toMatchObject([{ isDelivered: true, nextStep: null }]);
});
