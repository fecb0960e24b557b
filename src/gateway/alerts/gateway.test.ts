import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { directNode, gatewayConfig } from "../../../test/support/gateway-config.ts";
import { type Receiver, startReceiver } from "../../../test/support/receiver.ts";
import { AdminClient } from "../../admin/client.ts";
import { socketTransport } from "../../admin/transport.ts";
import { DEFAULT_ALERTS } from "../../config/alerts.ts";
import { answerFrom, type FakeEngine, startFakeEngine } from "../../engines/__fixtures__/fake-engine.ts";
import { ManualClock } from "../../lib/clock.ts";
import { Secret } from "../../lib/secret.ts";
import { type RunningGateway, startGateway } from "../main.ts";

const LISTS = { "/v1/models": { object: "list", data: [{ id: "tiny", object: "model", owned_by: "x" }] } };

let folder: string;
let engine: FakeEngine;
let receiver: Receiver;
let clock: ManualClock;
let running: RunningGateway;
let admin: AdminClient;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "postern-alerting-"));
  clock = new ManualClock(Date.now());
  receiver = await startReceiver();
  engine = await startFakeEngine(answerFrom(LISTS));
  running = await startGateway(
    {
      ...gatewayConfig(folder),
      nodes: [directNode("lan", engine.url.origin)],
      alerts: {
        ...DEFAULT_ALERTS,
        channels: [
          {
            name: "ops",
            type: "webhook",
            severity: "info",
            rules: null,
            caFile: null,
            url: new Secret(`${receiver.url}/secret-path`),
            secret: null,
          },
        ],
      },
    },
    { log: pino({ level: "silent" }), clock },
  );
  admin = new AdminClient(socketTransport(running.socketPath));
});
afterEach(async () => {
  await admin.close();
  await running.stop();
  await engine.close();
  await receiver.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Lets seconds pass until it is so, and real requests come back between them. */
function untilSo(check: () => Promise<void> | void): Promise<void> {
  return vi.waitFor(
    async () => {
      clock.advance(2_000);
      await check();
    },
    { timeout: 60_000, interval: 20 },
  );
}

test("a gateway tells that its only node is away, once, and that it is back; the history has the proof", async () => {
  expect((await admin.alerts.list()).firing).toEqual([]);
  engine.answerWith(answerFrom({}));
  await untilSo(() => expect(receiver.received).toHaveLength(1));
  expect(receiver.received[0]?.json()).toMatchObject({
    status: "firing",
    alerts: [{ labels: { alertname: "all-nodes-away", severity: "critical" } }],
  });
  const { firing } = await admin.alerts.list();
  expect(firing.map(({ rule }) => rule).sort()).toEqual(["all-nodes-away", "node-away"]);
  const all = firing.find(({ rule }) => rule === "all-nodes-away");
  expect(all?.nextStep).toContain("postern nodes list");
  await admin.alerts.acknowledge(all?.id ?? "", "on my way");

  engine.answerWith(answerFrom(LISTS));
  await untilSo(() => expect(receiver.received).toHaveLength(2));
  expect(receiver.received[1]?.json()).toMatchObject({ status: "resolved" });
  await untilSo(async () => {
    const { alerts } = await admin.alerts.history({ rule: "all-nodes-away" });
    expect(alerts).toMatchObject([{ ack: { note: "on my way" }, resolvedAtMs: expect.any(Number) }]);
    expect(alerts[0]?.deliveries.map(({ status, isDelivered }) => [status, isDelivered])).toEqual([
      ["firing", true],
      ["resolved", true],
    ]);
  });
  // Nobody was told of the one node: it was the same thing.
  const { alerts } = await admin.alerts.history({ rule: "node-away" });
  expect(alerts).toMatchObject([{ deliveries: [] }]);
  const said = JSON.stringify([await admin.alerts.list(), alerts, await admin.listAudit({})]);
  expect(said).not.toContain("secret-path");
});
