import { createHmac } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { makeCertificate } from "../../../test/support/certificate.ts";
import { type Received, type Receiver, startReceiver } from "../../../test/support/receiver.ts";
import { Secret } from "../../lib/secret.ts";
import { alertOf, GATEWAY, NOW_MS, notificationOf, partsOf } from "./__fixtures__/alert.ts";
import { createWebhook } from "./webhook.ts";

const never = new AbortController().signal;

let receiver: Receiver;
beforeEach(async () => {
  receiver = await startReceiver();
});
afterEach(() => receiver.close());

describe("a webhook", () => {
  test("is sent in the form of Alertmanager's webhook, version 4", async () => {
    const channel = createWebhook(partsOf(), { url: new Secret(`${receiver.url}/hook?room=1`), secret: null });
    const resolved = alertOf({ key: "anvil", labels: { node: "anvil" }, resolvedAtMs: NOW_MS });
    const outcome = await channel.send(notificationOf({ alerts: [alertOf(), resolved] }), never);
    expect(outcome).toEqual({ isDelivered: true, detail: "it answered with HTTP 200" });
    const [first] = receiver.received;
    expect([first?.method, first?.path, first?.headers["content-type"]]).toEqual([
      "POST",
      "/hook?room=1",
      "application/json",
    ]);
    expect(first?.json()).toMatchObject({
      version: "4",
      groupKey: '{}:{alertname="node-away"}',
      truncatedAlerts: 0,
      status: "firing",
      receiver: "ops",
      groupLabels: { alertname: "node-away" },
      commonLabels: { alertname: "node-away", severity: "warning", service: "postern", gateway: GATEWAY },
      externalURL: GATEWAY,
      alerts: [
        { status: "firing", labels: { node: "forge", key: "forge" }, endsAt: "0001-01-01T00:00:00Z" },
        { status: "resolved", startsAt: "2023-11-14T22:13:20.000Z", endsAt: "2023-11-14T22:13:20.000Z" },
      ],
    });
  });

  test.each([
    ["a text", "correct horse", Buffer.from("correct horse")],
    [
      "whsec_ and base64",
      `whsec_${Buffer.from("0123456789abcdef").toString("base64")}`,
      Buffer.from("0123456789abcdef"),
    ],
  ])("is signed over id, timestamp and the very bytes, with a key that is %s", async (_form, secret, key) => {
    const channel = createWebhook(partsOf(), { url: new Secret(receiver.url), secret: new Secret(secret) });
    await channel.send(notificationOf(), never);
    const { headers, body } = receiver.received[0] as Received;
    expect(headers["webhook-timestamp"]).toBe("1700000000");
    const signed = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`;
    const expected = createHmac("sha256", key).update(signed).digest("base64");
    expect(headers["webhook-signature"]).toBe(`v1,${expected}`);
    // The same id over retries, so that a receiver can know a repetition.
    await channel.send(notificationOf(), never);
    expect(receiver.received[1]?.headers["webhook-id"]).toBe(headers["webhook-id"]);
  });

  test("labels of an agent's making cannot pass for ours", async () => {
    const channel = createWebhook(partsOf(), { url: new Secret(receiver.url), secret: null });
    await channel.send(notificationOf({ alerts: [alertOf({ labels: { severity: "none", alertname: "x" } })] }), never);
    const { alerts } = receiver.received[0]?.json<{ alerts: Array<{ labels: object }> }>() ?? { alerts: [] };
    expect(alerts[0]?.labels).toMatchObject({ severity: "warning", alertname: "node-away" });
  });

  test("a test says so, and names no rule", async () => {
    const channel = createWebhook(partsOf(), { url: new Secret(receiver.url), secret: null });
    await channel.send(notificationOf({ kind: "test", rule: "test", alerts: [] }), never);
    expect(receiver.received[0]?.json()).toMatchObject({
      groupLabels: { alertname: "postern-test" },
      alerts: [{ labels: { alertname: "postern-test", severity: "info" } }],
    });
  });

  test("follows no redirect, and says that it would have to", async () => {
    const other = await startReceiver();
    receiver.answers.push({ status: 307, headers: { location: `${other.url}/elsewhere` } });
    const channel = createWebhook(partsOf(), { url: new Secret(receiver.url), secret: null });
    const outcome = await channel.send(notificationOf(), never);
    expect(outcome).toMatchObject({
      isDelivered: false,
      isPermanent: true,
      detail: "it answered with HTTP 307, a redirect",
    });
    expect(other.received).toEqual([]);
    await other.close();
  });

  test.each([
    [500, false],
    [503, false],
    [429, false],
    [408, false],
    [400, true],
    [401, true],
    [404, true],
    [410, true],
  ])("an answer with %i is final: %s", async (status, isPermanent) => {
    receiver.answers.push(status);
    const channel = createWebhook(partsOf(), { url: new Secret(receiver.url), secret: null });
    expect(await channel.send(notificationOf(), never)).toMatchObject({ isDelivered: false, isPermanent });
  });

  test("obeys Retry-After in seconds and as a date, up to five minutes", async () => {
    const channel = createWebhook(partsOf(), { url: new Secret(receiver.url), secret: null });
    const later = new Date(NOW_MS + 30_000).toUTCString();
    for (const [text, ms] of [
      ["7", 7_000],
      ["86400", 300_000],
      [later, 30_000],
      ["soon", null],
    ] as const) {
      receiver.answers.push({ status: 503, headers: { "retry-after": text } });
      expect(await channel.send(notificationOf(), never), text).toMatchObject({ retryAfterMs: ms });
    }
  });

  test("gives a receiver that does not answer ten seconds", async () => {
    const parts = partsOf();
    receiver.answers.push("hang");
    const channel = createWebhook(parts, { url: new Secret(receiver.url), secret: null });
    const sending = channel.send(notificationOf(), never);
    await receiver.got(1);
    parts.clock.advance(10_000);
    expect(await sending).toMatchObject({
      isDelivered: false,
      isPermanent: false,
      detail: "there was no answer within 10 s",
    });
    expect(parts.clock.pendingTimers).toBe(0);
  });

  test("verifies TLS: a certificate that nobody vouches for is refused, one of the authority named is taken", async () => {
    const { cert, key } = makeCertificate();
    const secure = await startReceiver({ cert, key });
    const url = new Secret(secure.url);
    const outcome = await createWebhook(partsOf(), { url, secret: null }).send(notificationOf(), never);
    expect(outcome).toMatchObject({ isDelivered: false, detail: expect.stringMatching(/certificate is not good/) });
    expect(secure.received).toEqual([]);
    const trusting = createWebhook(partsOf({ ca: cert }), { url, secret: null });
    expect(await trusting.send(notificationOf(), never)).toMatchObject({ isDelivered: true });
    await secure.close();
  });

  test("never says where it is posted: not in an outcome, whatever goes wrong", async () => {
    const url = new Secret("http://no-such-host.invalid/secret-path");
    const refused = new Secret(`${receiver.url}/secret-path`);
    await receiver.close();
    receiver = await startReceiver();
    for (const one of [url, refused]) {
      const outcome = await createWebhook(partsOf(), { url: one, secret: null }).send(notificationOf(), never);
      expect(outcome.isDelivered).toBe(false);
      expect(JSON.stringify(outcome)).not.toMatch(/secret-path|no-such-host|127\.0\.0\.1/);
    }
  });
});
