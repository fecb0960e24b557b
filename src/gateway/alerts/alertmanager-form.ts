import { createHash } from "node:crypto";
import type { Alert } from "../../continuity/alerts/alert-book.ts";
import type { Notification } from "../../continuity/alerts/grouping.ts";
import { definitionOf, isRuleName } from "../../continuity/alerts/rules.ts";

/** An alert in the form that Prometheus and Alertmanager gave the field. */
export interface FormedAlert {
  status: "firing" | "resolved";
  labels: Record<string, string>;
  annotations: Record<string, string>;
  /** RFC 3339. */
  startsAt: string;
  /** RFC 3339; the year 1 while it fires, as Alertmanager writes it. */
  endsAt: string;
  generatorURL: string;
  /** The same for each message about the same alert. */
  fingerprint: string;
}

const NEVER = "0001-01-01T00:00:00Z";

/** The alerts of a notification. A test is one alert of its own name. @param gateway Origin of the gateway. */
export function formAlerts({ kind, alerts, atMs }: Notification, gateway: string): FormedAlert[] {
  if (kind !== "test") return alerts.map((alert) => formAlert(alert, gateway));
  const labels = { alertname: "postern-test", severity: "info", service: "postern", gateway };
  return [
    {
      status: "firing",
      labels,
      annotations: { summary: "This is a test of the channel. Nothing is wrong." },
      startsAt: toRfc3339(atMs),
      endsAt: NEVER,
      generatorURL: gateway,
      fingerprint: fingerprintOf(labels),
    },
  ];
}

function formAlert(alert: Alert, gateway: string): FormedAlert {
  const { rule, key, severity, summary, firedAtMs, resolvedAtMs } = alert;
  const labels = {
    // Ours last: what an agent's name brings along must not pass for them.
    ...alert.labels,
    alertname: rule,
    severity,
    service: "postern",
    gateway,
    ...(key === "" ? {} : { key }),
  };
  return {
    status: resolvedAtMs === null ? "firing" : "resolved",
    labels,
    annotations: { summary, description: isRuleName(rule) ? definitionOf(rule).nextStep : "" },
    startsAt: toRfc3339(firedAtMs),
    endsAt: resolvedAtMs === null ? NEVER : toRfc3339(resolvedAtMs),
    generatorURL: gateway,
    fingerprint: fingerprintOf({ alertname: rule, gateway, key }),
  };
}

/** What all of them have in common. */
export function commonOf(all: ReadonlyArray<Record<string, string>>): Record<string, string> {
  const [first = {}, ...others] = all;
  return Object.fromEntries(
    Object.entries(first).filter(([name, value]) => others.every((other) => other[name] === value)),
  );
}

export function toRfc3339(ms: number): string {
  return new Date(ms).toISOString();
}

function fingerprintOf(labels: Record<string, string>): string {
  const text = JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}
