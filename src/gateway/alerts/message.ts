import type { Alert } from "../../continuity/alerts/alert-book.ts";
import type { Notification } from "../../continuity/alerts/grouping.ts";
import { definitionOf, isRuleName, SEVERITIES, type Severity } from "../../continuity/alerts/rules.ts";

/** Alerts that one message names; the rest is counted. */
const MAX_LINES = 20;

/** A notification as people read it. */
export interface Message {
  title: string;
  lines: string[];
  /** What to do; null: nothing. */
  nextStep: string | null;
  severity: Severity;
}

/** The notification in words. @param gateway Where the gateway is, to tell several apart. */
export function toMessage({ kind, rule, status, alerts }: Notification, gateway: string): Message {
  if (kind === "test" || !isRuleName(rule)) {
    return {
      title: `Postern: a test from ${gateway}`,
      lines: ["This is a test of the channel. Nothing is wrong."],
      nextStep: null,
      severity: "info",
    };
  }
  const firing = alerts.filter((one) => one.resolvedAtMs === null);
  const shown = [...firing, ...alerts.filter((one) => one.resolvedAtMs !== null)];
  const more = shown.length - MAX_LINES;
  const [first] = shown;
  const about = shown.length === 1 && first !== undefined ? first.summary : `${rule}: ${countOf(shown, firing.length)}`;
  return {
    title: `${status === "firing" ? "" : "Resolved: "}${about} (${gateway})`,
    lines: [
      ...shown.slice(0, MAX_LINES).map(lineOf),
      ...(more > 0 ? [`… and ${more} more: postern alerts list`] : []),
      ...(kind === "repeat" ? ["Told before, and still so."] : []),
    ],
    nextStep: status === "firing" ? definitionOf(rule).nextStep : null,
    severity: mostSevere(firing.length > 0 ? firing : shown),
  };
}

function countOf(shown: readonly Alert[], firing: number): string {
  const resolved = shown.length - firing;
  return [firing > 0 ? `${firing} firing` : "", resolved > 0 ? `${resolved} resolved` : ""]
    .filter((part) => part !== "")
    .join(", ");
}

function lineOf({ severity, summary, firedAtMs, startedAtMs, resolvedAtMs }: Alert): string {
  const time = (ms: number) => `${new Date(ms).toISOString().slice(0, 19).replace("T", " ")}Z`;
  return resolvedAtMs === null
    ? `${severity}: ${summary}, since ${time(Math.min(startedAtMs, firedAtMs))}`
    : `resolved: ${summary}, from ${time(startedAtMs)} to ${time(resolvedAtMs)}`;
}

function mostSevere(alerts: readonly Alert[]): Severity {
  return alerts.reduce<Severity>(
    (most, { severity }) => (SEVERITIES.indexOf(severity) > SEVERITIES.indexOf(most) ? severity : most),
    "info",
  );
}
