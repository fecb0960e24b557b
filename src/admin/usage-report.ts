import { PosternError } from "../errors.ts";
import type { UsageRow } from "../storage/store.ts";
import type { UsageGroup, UsageReport, UsageTotal } from "./contract-usage.ts";
import type { AdminParts } from "./create-context.ts";

/** Span of a report when no start is given. */
const DEFAULT_USAGE_SPAN_MS = 30 * 24 * 3600 * 1000;

/** Most rows that an answer carries; the total counts all. */
const MAX_USAGE_ROWS = 1000;

interface Query {
  by: UsageGroup;
  sinceMs?: number | undefined;
  untilMs?: number | undefined;
}

/** Reads usage from the store, gives each group a name that people know, and sums it up. */
export async function reportUsage(parts: AdminParts, query: Query): Promise<UsageReport> {
  const { store, clock } = parts;
  const untilMs = query.untilMs ?? clock.nowMs() + 1;
  const sinceMs = query.sinceMs ?? Math.max(0, untilMs - DEFAULT_USAGE_SPAN_MS);
  if (sinceMs >= untilMs) {
    throw new PosternError("invalid_input", { message: "The start of the report must lie before its end" });
  }
  const [found, names] = await Promise.all([
    store.usage.report({ by: query.by, sinceMs, untilMs }),
    namesOf(parts, query.by),
  ]);
  const rows = found.map((row) => ({ ...row, label: names.get(row.group) ?? row.group }));
  const ordered = rows.sort((a, b) => (query.by === "day" ? compare(a.group, b.group) : b.requests - a.requests));
  const kept = query.by === "day" ? ordered.slice(-MAX_USAGE_ROWS) : ordered.slice(0, MAX_USAGE_ROWS);
  return { by: query.by, sinceMs, untilMs, rows: kept, total: sumUp(ordered) };
}

async function namesOf(parts: AdminParts, by: UsageGroup): Promise<ReadonlyMap<string, string>> {
  if (by === "key") return new Map((await parts.store.keys.list()).map(({ id, name }) => [id, name]));
  return by === "node" ? nodeNames(parts) : new Map();
}

/** Names of nodes by their ids, those of the file too. */
export async function nodeNames({ store, config }: AdminParts): Promise<ReadonlyMap<string, string>> {
  const named = (await store.nodes.list()).map(({ id, name }): [string, string] => [id, name]);
  return new Map([...named, ...config.nodes.map(({ name }): [string, string] => [`file:${name}`, name])]);
}

function sumUp(rows: readonly UsageRow[]): UsageTotal {
  const total = {
    requests: 0,
    failed: 0,
    aborted: 0,
    tokensIn: 0,
    tokensInCached: 0,
    tokensOut: 0,
    tokensReasoning: 0,
    estimated: 0,
    costMicros: 0,
  };
  for (const row of rows) {
    for (const field of Object.keys(total) as Array<keyof UsageTotal>) total[field] += row[field];
  }
  return total;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
