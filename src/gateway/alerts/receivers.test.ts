import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Receiver, startReceiver } from "../../../test/support/receiver.ts";
import { Secret } from "../../lib/secret.ts";
import { alertOf, NOW_MS, notificationOf, partsOf } from "./__fixtures__/alert.ts";
import { createAlertmanager } from "./alertmanager.ts";
import { createNtfy } from "./ntfy.ts";
import { createSlack } from "./slack.ts";

// Stand-ins written from the receivers' documentation. Mail goes to a real server (smtp.test.ts), Alertmanager is run for real by
// real-alertmanager.test.ts; Debian has no ntfy.

const never = new AbortController().signal;

let receiver: Receiver;
beforeEach(async () => {
  receiver = await startReceiver();
});
afterEach(() => receiver.close());

describe("Slack", () => {
  const slack = () => createSlack(partsOf(), { url: new Secret(`${receiver.url}/services/T0/B0/x`) });

  interface Body {
    text: string;
    blocks: Array<{ type: string; text?: { type: string; text: string }; elements?: Array<{ text: string }> }>;
  }

  test("gets a text for notifications and blocks for the eye, with what to do", async () => {
    expect(await slack().send(notificationOf(), never)).toMatchObject({ isDelivered: true });
    const [first] = receiver.received;
    expect(first?.path).toBe("/services/T0/B0/x");
    const { text, blocks } = first?.json<Body>() ?? { text: "", blocks: [] };
    expect(text).toBe("Node forge is away (https://ai.example.org)");
    expect(blocks.map(({ type }) => type)).toEqual(["header", "section", "context"]);
    expect(blocks[1]?.text).toMatchObject({
      type: "mrkdwn",
      text: expect.stringContaining("warning: Node forge is away"),
    });
    expect(blocks[2]?.elements?.[0]?.text).toContain("postern nodes show");
  });

  test("is written to not more often than once a second", () => {
    expect(slack().minGapMs).toBe(1_000);
  });

  test("names cannot ping anybody or hide a link", async () => {
    await slack().send(
      notificationOf({ alerts: [alertOf({ summary: "Node <!channel> & <http://x|y> is away" })] }),
      never,
    );
    const { text, blocks } = receiver.received[0]?.json<Body>() ?? { text: "", blocks: [] };
    expect(text).toContain("Node &lt;!channel&gt; &amp; &lt;http://x|y&gt; is away");
    expect(blocks[1]?.text?.text).not.toContain("<!channel>");
  });

  test("stays within what Slack takes, however much fires", async () => {
    const alerts = Array.from({ length: 100 }, (_, index) => alertOf({ key: `n${index}`, summary: "x".repeat(300) }));
    await slack().send(notificationOf({ alerts }), never);
    const { blocks } = receiver.received[0]?.json<Body>() ?? { blocks: [] };
    expect(blocks[0]?.text?.text).toBe("node-away: 100 firing (https://ai.example.org)");
    expect(blocks[1]?.text?.text.length).toBeLessThanOrEqual(3_000);
  });
});

describe("ntfy", () => {
  const ntfy = (token: string | null) =>
    createNtfy(partsOf(), {
      url: new Secret(receiver.url),
      topic: new Secret("a-secret-topic"),
      token: token === null ? null : new Secret(token),
    });

  test("gets the topic in the body, where no log of URLs has it, and the token in a header", async () => {
    expect(await ntfy("tk_abc").send(notificationOf(), never)).toMatchObject({ isDelivered: true });
    const [first] = receiver.received;
    expect([first?.path, first?.headers.authorization]).toEqual(["/", "Bearer tk_abc"]);
    expect(first?.json()).toMatchObject({
      topic: "a-secret-topic",
      title: "Node forge is away (https://ai.example.org)",
      message: expect.stringContaining("postern nodes show"),
      priority: 4,
      tags: ["rotating_light"],
    });
  });

  test("is not reached with a token that no header may have, and the outcome says what to correct", async () => {
    const outcome = await ntfy("tk_\u2192").send(notificationOf(), never);
    expect(outcome).toMatchObject({ isDelivered: false, nextStep: expect.stringContaining("token") });
    expect(JSON.stringify(outcome)).not.toContain("tk_");
  });

  test("rings for what is critical, and does not for what is over", async () => {
    await ntfy(null).send(notificationOf({ alerts: [alertOf({ severity: "critical" })] }), never);
    const over = alertOf({ severity: "critical", resolvedAtMs: NOW_MS });
    await ntfy(null).send(notificationOf({ status: "resolved", alerts: [over] }), never);
    expect(receiver.received.map((one) => one.json<{ priority: number }>().priority)).toEqual([5, 3]);
    expect(receiver.received[0]?.headers.authorization).toBeUndefined();
    expect(receiver.received[1]?.json()).toMatchObject({ title: expect.stringMatching(/^Resolved: /) });
  });

  test("gets no message that it would turn into an attachment", async () => {
    const alerts = Array.from({ length: 100 }, (_, index) => alertOf({ key: `n${index}`, summary: "x".repeat(300) }));
    await ntfy(null).send(notificationOf({ alerts }), never);
    expect(receiver.received[0]?.json<{ message: string }>().message.length).toBeLessThan(4_096);
  });
});

describe("Alertmanager", () => {
  const alertmanager = () =>
    createAlertmanager(partsOf(), { url: new Secret(`${receiver.url}/am/`), token: new Secret("t") });

  test("gets what fires with an end a few minutes away, so that it ends by itself when nobody tells it again", async () => {
    await alertmanager().send(notificationOf(), never);
    const [first] = receiver.received;
    expect([first?.path, first?.headers.authorization]).toEqual(["/am/api/v2/alerts", "Bearer t"]);
    const [alert] = first?.json<Array<{ endsAt: string; startsAt: string; labels: object }>>() ?? [];
    expect(alert).toMatchObject({ labels: { alertname: "node-away", severity: "warning", key: "forge" } });
    expect(Date.parse(alert?.endsAt ?? "")).toBe(NOW_MS + 240_000);
    expect(alertmanager().refreshMs).toBe(60_000);
  });

  test("gets what is over with the time when it was over", async () => {
    await alertmanager().send(notificationOf({ alerts: [alertOf({ resolvedAtMs: NOW_MS - 5_000 })] }), never);
    expect(receiver.received[0]?.json()).toMatchObject([{ endsAt: new Date(NOW_MS - 5_000).toISOString() }]);
  });
});
