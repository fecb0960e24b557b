import { afterAll, beforeAll, expect, test } from "vitest";
import { type Alertmanager, startAlertmanager } from "../../../test/support/alertmanager.ts";
import { eventually } from "../../../test/support/eventually.ts";
import { systemClock } from "../../lib/clock.ts";
import { Secret } from "../../lib/secret.ts";
import { alertOf, GATEWAY, notificationOf } from "./__fixtures__/alert.ts";
import { createAlertmanager } from "./alertmanager.ts";

const never = new AbortController().signal;

let alertmanager: Alertmanager | null = null;
beforeAll(async () => {
  alertmanager = await startAlertmanager();
});
afterAll(() => alertmanager?.stop());

test("the real Alertmanager takes an alert, shows it with our labels, and lets go of it when it is resolved", async () => {
  if (alertmanager === null) return;
  const { url, alerts } = alertmanager;
  const channel = createAlertmanager(
    { name: "am", filter: { severity: "info", rules: null }, clock: systemClock, gateway: GATEWAY, ca: null },
    { url: new Secret(url), token: null },
  );
  const firedAtMs = Date.now() - 5_000;
  expect(await channel.send(notificationOf({ alerts: [alertOf({ firedAtMs })] }), never)).toEqual({
    isDelivered: true,
    detail: "it answered with HTTP 200",
  });
  const [alert] = await eventually(async () => {
    const all = await alerts();
    return all.length > 0 ? all : undefined;
  }, "the alert");
  expect(alert?.labels).toEqual({
    alertname: "node-away",
    severity: "warning",
    service: "postern",
    gateway: GATEWAY,
    node: "forge",
    key: "forge",
  });
  expect(alert?.annotations["summary"]).toBe("Node forge is away");
  expect(alert?.annotations["description"]).toContain("postern nodes show");

  await channel.send(notificationOf({ alerts: [alertOf({ firedAtMs, resolvedAtMs: Date.now() - 1_000 })] }), never);
  await eventually(async () => ((await alerts()).length === 0 ? true : undefined), "the end of the alert");

  expect(
    await channel.send(notificationOf({ kind: "test", rule: "test", alerts: [], atMs: Date.now() }), never),
  ).toMatchObject({ isDelivered: true });
  const [tested] = await eventually(async () => {
    const all = await alerts();
    return all.length > 0 ? all : undefined;
  }, "the test");
  expect(tested?.labels).toMatchObject({ alertname: "postern-test", severity: "info" });
});
