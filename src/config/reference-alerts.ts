import {
  type AlertRules,
  DEFAULT_RULES,
  definitionOf,
  RULE_NAMES,
  type RuleName,
  type ThresholdUnit,
} from "../continuity/alerts/rules.ts";
import { formatDuration } from "../lib/duration.ts";
import { DEFAULT_ALERTS, DEFAULT_HEARTBEAT_MS, DEFAULT_NTFY_URL, thresholdField } from "./alerts.ts";

/** Every rule as it ships, as a Markdown table. */
export function renderAlertRules(): string {
  const rows = RULE_NAMES.map((name) => {
    const { meaning, nextStep, windowMs } = definitionOf(name);
    const { severity, forMs, resolveAfterMs } = DEFAULT_RULES[name];
    const threshold = writtenThreshold(DEFAULT_RULES, name);
    const within = windowMs === null ? "" : ` in ${formatDuration(windowMs)}`;
    return `| \`${name}\` | ${meaning} | ${severity} | ${formatDuration(forMs)} | ${formatDuration(resolveAfterMs)} | ${threshold === null ? "" : `${threshold}${within}`} | ${nextStep} |`;
  });
  return [
    "| Rule | Fires when | Severity | For | Resolves after | Threshold | Next step |",
    "|---|---|---|---|---|---|---|",
    ...rows,
    "",
  ].join("\n");
}

/** Defaults of `alerts` as they would be written in the file, by path. */
export function writtenAlertDefaults(): Record<string, string> {
  const rules = RULE_NAMES.flatMap((name): Array<[string, string]> => {
    const { isEnabled, severity, forMs, resolveAfterMs, windowMs, minRequests } = DEFAULT_RULES[name];
    const at = `alerts.rules.${name}`;
    const threshold = writtenThreshold(DEFAULT_RULES, name);
    return [
      [`${at}.enabled`, String(isEnabled)],
      [`${at}.severity`, severity],
      [`${at}.for`, formatDuration(forMs)],
      [`${at}.resolveAfter`, formatDuration(resolveAfterMs)],
      [`${at}.window`, formatDuration(windowMs)],
      [`${at}.minRequests`, String(minRequests)],
      ...(threshold === null ? [] : ([[`${at}.${thresholdField(name)}`, threshold]] satisfies Array<[string, string]>)),
    ];
  });
  return {
    ...Object.fromEntries(rules),
    "alerts.groupWait": formatDuration(DEFAULT_ALERTS.groupWaitMs),
    "alerts.groupInterval": formatDuration(DEFAULT_ALERTS.groupIntervalMs),
    "alerts.repeat": formatDuration(DEFAULT_ALERTS.repeatMs),
    "alerts.history": formatDuration(DEFAULT_ALERTS.historyMs),
    "alerts.heartbeat.every": formatDuration(DEFAULT_HEARTBEAT_MS),
    "alerts.channels.NAME.severity": "info",
    "alerts.channels.NAME.tls": "starttls",
    "alerts.channels.NAME.url": DEFAULT_NTFY_URL,
  };
}

function writtenThreshold(rules: AlertRules, name: RuleName): string | null {
  const unit: ThresholdUnit | undefined = definitionOf(name).threshold?.unit;
  if (unit === undefined) return null;
  const value = rules[name].threshold;
  return unit === "duration" ? formatDuration(value) : String(value);
}
