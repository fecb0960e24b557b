import type { KeyView } from "../admin/contract-keys.ts";
import { formatRelative, formatTime } from "./format.ts";
import type { Paint } from "./output.ts";
import { harmless, renderTable } from "./table.ts";

/** Keys as a table, for people. */
export function renderKeys(keys: readonly KeyView[], nowMs: number, paint: Paint): string {
  return renderTable(
    [
      { title: "ID", value: (key) => key.id },
      { title: "NAME", value: (key) => key.name },
      { title: "STATE", value: (key) => key.state, style: (key) => (key.state === "active" ? "green" : "red") },
      { title: "MODELS", value: (key) => words(key.policy?.["models"], "all") },
      { title: "LIMITS", value: limitsOf },
      { title: "CREATED", value: (key) => formatRelative(key.createdAtMs, nowMs) },
      { title: "EXPIRES", value: (key) => expiryOf(key, (atMs) => formatRelative(atMs, nowMs)) },
    ],
    keys,
    paint,
  );
}

/** One key with its whole policy, for people. */
export function renderKey(key: KeyView, paint: Paint): string {
  const { spending } = key;
  const { models, expiresAtMs: _expiry, notBeforeMs, version: _version, ...others } = key.policy ?? { models: [] };
  const rows: Array<[string, string]> = [
    ["id", key.id],
    ["name", key.name],
    ["state", key.state],
    ["models", words(models, "all")],
    ...Object.entries(others).map(([word, value]): [string, string] => [word, words(value, "")]),
    ["created", formatTime(key.createdAtMs)],
    ...(typeof notBeforeMs === "number" ? [["not before", formatTime(notBeforeMs)] as [string, string]] : []),
    ["expires", expiryOf(key, formatTime)],
    ...time("old secret", key.previousUntilMs, "good until "),
    ...time("disabled", key.disabledAtMs),
    ...time("revoked", key.revokedAtMs),
  ];
  if (spending !== null) {
    rows.push(["today", used(spending.tokensToday, spending.costMicrosToday)]);
    rows.push(["month", used(spending.tokensThisMonth, spending.costMicrosThisMonth)]);
  }
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return rows.map(([name, value]) => `${paint("bold", name.padEnd(width))}${harmless(value)}`).join("\n");
}

function time(name: string, atMs: number | null, before = ""): Array<[string, string]> {
  return atMs === null ? [] : [[name, `${before}${formatTime(atMs)}`]];
}

function used(tokens: number, costMicros: number): string {
  return `${tokens.toLocaleString("en")} tokens, $${(costMicros / 1_000_000).toFixed(costMicros < 1_000_000 ? 4 : 2)}`;
}

function expiryOf({ policy }: KeyView, format: (atMs: number) => string): string {
  const atMs = policy?.["expiresAtMs"];
  return typeof atMs === "number" ? format(atMs) : "never";
}

/** Short names of the limits, so that a list shows which keys have any. */
function limitsOf({ policy }: KeyView): string {
  const parts: string[] = [];
  for (const [word, unit] of [
    ["requestsPerMinute", "req/min"],
    ["tokensPerMinute", "tok/min"],
    ["concurrency", "at once"],
  ] as const) {
    const value = policy?.[word];
    if (typeof value === "number") parts.push(`${value} ${unit}`);
  }
  if (policy?.["budgets"] !== undefined) parts.push("budget");
  if (policy?.["shadow"] === true) parts.push("(shadow)");
  return parts.join(" ");
}

function words(value: unknown, absent: string): string {
  if (value === undefined) return absent;
  if (Array.isArray(value)) return value.length === 0 ? "none" : value.join(" ");
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}
