import type { RequestClosed } from "../usage/record.ts";
import type { SettledRequest } from "./journal-line.ts";
import type { SqlValue } from "./row-insert.ts";
import type { DailyUsageTable } from "./schema.ts";
import { generationOf, servedBy } from "./usage-rows.ts";

/** Milliseconds of a UTC day; there are no leap seconds in Unix time. */
export const DAY_MS = 86_400_000;

/** What a rollup is a sum for. */
export const ROLLUP_KEY = [
  "day",
  "endpoint_id",
  "key_id",
  "model",
  "served_by",
] as const satisfies (keyof DailyUsageTable)[];

/** The columns of a rollup that are added up. */
export const ROLLUP_SUMS = [
  "requests",
  "failed",
  "aborted",
  "estimated",
  "tokens_in",
  "tokens_in_cached",
  "tokens_out",
  "tokens_reasoning",
  "first_token_count",
  "first_token_ms",
  "generation_tokens",
  "generation_ms",
  "cost_micros",
] as const satisfies (keyof DailyUsageTable)[];

type Sums = Record<(typeof ROLLUP_SUMS)[number], number>;

/** What requests add to the rollups: the values of a row for each key, those of `ROLLUP_KEY` and then those of `ROLLUP_SUMS`. */
export function toRollups(settled: readonly SettledRequest[]): SqlValue[] {
  const all = new Map<string, { key: SqlValue[]; sums: Sums }>();
  for (const { opened, closed } of settled) {
    const day = Math.floor(closed.closedAtMs / DAY_MS);
    const server = servedBy(closed);
    const name = `${day}\n${opened.endpointId}\n${opened.keyId}\n${opened.model}\n${server}`;
    let one = all.get(name);
    if (one === undefined) {
      one = { key: [day, opened.endpointId, opened.keyId, opened.model, server], sums: emptySums() };
      all.set(name, one);
    }
    add(one.sums, closed);
  }
  return [...all.values()].flatMap(({ key, sums }) => [...key, ...ROLLUP_SUMS.map((column) => sums[column])]);
}

function add(sums: Sums, closed: RequestClosed): void {
  const { outcome, timeToFirstTokenMs } = closed;
  const generation = generationOf(closed);
  sums.requests += 1;
  if (outcome === "aborted") sums.aborted += 1;
  else if (outcome !== "ok") sums.failed += 1;
  if (closed.isEstimated) sums.estimated += 1;
  sums.tokens_in += closed.tokensIn;
  sums.tokens_in_cached += closed.tokensInCached;
  sums.tokens_out += closed.tokensOut;
  sums.tokens_reasoning += closed.tokensReasoning ?? 0;
  if (timeToFirstTokenMs !== null) sums.first_token_count += 1;
  sums.first_token_ms += timeToFirstTokenMs ?? 0;
  sums.generation_tokens += generation.tokens;
  sums.generation_ms += generation.ms;
  sums.cost_micros += closed.costMicros;
}

function emptySums(): Sums {
  return {
    requests: 0,
    failed: 0,
    aborted: 0,
    estimated: 0,
    tokens_in: 0,
    tokens_in_cached: 0,
    tokens_out: 0,
    tokens_reasoning: 0,
    first_token_count: 0,
    first_token_ms: 0,
    generation_tokens: 0,
    generation_ms: 0,
    cost_micros: 0,
  };
}
