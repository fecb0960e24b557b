import { createHmac } from "node:crypto";
import type { WebhookConfig } from "../../config/alerts.ts";
import type { Notification } from "../../continuity/alerts/grouping.ts";
import type { Secret } from "../../lib/secret.ts";
import { commonOf, formAlerts } from "./alertmanager-form.ts";
import type { Channel, SendOutcome } from "./channel.ts";
import type { ChannelParts } from "./open-channels.ts";
import { post } from "./post.ts";

/** Alerts in one payload; `truncatedAlerts` counts the rest. */
const MAX_ALERTS = 100;

/**
 * Posts JSON in the form of Alertmanager's webhook, version 4, so that its receivers understand it, signed as Standard Webhooks says:
 * `webhook-id` stays the same over retries, and `webhook-signature` is over id, timestamp and body.
 *
 * @see https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
 * @see https://www.standardwebhooks.com
 */
export function createWebhook(parts: ChannelParts, { url, secret }: WebhookConfig): Channel {
  const { name, filter, clock, gateway, ca } = parts;
  return {
    name,
    type: "webhook",
    filter,
    minGapMs: 0,
    refreshMs: null,
    send(notification, signal): Promise<SendOutcome> {
      const body = JSON.stringify(payloadOf(notification, name, gateway));
      const timestamp = String(Math.floor(clock.nowMs() / 1000));
      const headers: Record<string, string> = { "webhook-id": notification.id, "webhook-timestamp": timestamp };
      if (secret !== null) headers["webhook-signature"] = sign(secret, notification.id, timestamp, body);
      return post({ url: new URL(url.reveal()), body, headers, ca, clock, signal });
    },
  };
}

function payloadOf(notification: Notification, receiver: string, gateway: string): Record<string, unknown> {
  const all = formAlerts(notification, gateway);
  const alerts = all.slice(0, MAX_ALERTS);
  const { rule, status, kind } = notification;
  return {
    version: "4",
    groupKey: `{}:{alertname="${rule}"}`,
    truncatedAlerts: all.length - alerts.length,
    status,
    receiver,
    groupLabels: { alertname: kind === "test" ? "postern-test" : rule },
    commonLabels: commonOf(alerts.map(({ labels }) => labels)),
    commonAnnotations: commonOf(alerts.map(({ annotations }) => annotations)),
    externalURL: gateway,
    alerts,
  };
}

/** `v1,` and the HMAC-SHA256 in base64. A secret in the form `whsec_…` is base64 of the key, any other is the key itself. */
function sign(secret: Secret, id: string, timestamp: string, body: string): string {
  const text = secret.reveal();
  const key = text.startsWith("whsec_") ? Buffer.from(text.slice("whsec_".length), "base64") : Buffer.from(text);
  return `v1,${createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64")}`;
}
