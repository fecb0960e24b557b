import { type Kysely, type RawBuilder, sql } from "kysely";
import type { Tables } from "./schema.ts";
import type { UsageQuery, UsageRow } from "./store.ts";
import { DAY_MS } from "./usage-rollups.ts";

/**
 * Usage per group: whole UTC days from the rollups, the cut days at both ends from the requests, in one statement and therefore
 * from one state of the store.
 */
export async function reportUsage(db: Kysely<Tables>, query: UsageQuery): Promise<UsageRow[]> {
  const limits = splitDays(query, await newestClose(db));
  const dimension = DIMENSIONS[query.by];
  const { rows } = await sql<SumRow>`
    select grp,
      sum(requests) as requests, sum(failed) as failed, sum(aborted) as aborted, sum(estimated) as estimated,
      sum(tokens_in) as tokens_in, sum(tokens_in_cached) as tokens_in_cached, sum(tokens_out) as tokens_out,
      sum(tokens_reasoning) as tokens_reasoning,
      sum(first_token_count) as first_token_count, sum(first_token_ms) as first_token_ms,
      sum(generation_tokens) as generation_tokens, sum(generation_ms) as generation_ms, sum(cost_micros) as cost_micros
    from (
      select ${dimension.ofRollup} as grp, requests, failed, aborted, estimated, tokens_in, tokens_in_cached, tokens_out,
        tokens_reasoning, first_token_count, first_token_ms, generation_tokens, generation_ms, cost_micros
      from daily_usage where day >= ${limits.firstDay} and day < ${limits.endDay}
      union all ${edge(dimension.ofRequest, limits.head)}
      union all ${edge(dimension.ofRequest, limits.tail)}
    ) as parts
    group by grp
    order by ${query.by === "day" ? sql`grp` : sql`requests desc, grp`}`.execute(db);
  return rows.map((row) => toUsageRow(row, query.by));
}

interface SumRow {
  grp: string | number;
  requests: number;
  failed: number;
  aborted: number;
  estimated: number;
  tokens_in: number;
  tokens_in_cached: number;
  tokens_out: number;
  tokens_reasoning: number;
  first_token_count: number;
  first_token_ms: number;
  generation_tokens: number;
  generation_ms: number;
  cost_micros: number;
}

interface Dimension {
  ofRollup: RawBuilder<unknown>;
  ofRequest: RawBuilder<unknown>;
}

const DIMENSIONS: Record<UsageQuery["by"], Dimension> = {
  key: { ofRollup: sql`key_id`, ofRequest: sql`key_id` },
  model: { ofRollup: sql`model`, ofRequest: sql`model` },
  endpoint: { ofRollup: sql`endpoint_id`, ofRequest: sql`endpoint_id` },
  node: { ofRollup: sql`served_by`, ofRequest: sql`served_by` },
  // Integer division in both databases; times are positive.
  day: { ofRollup: sql`day`, ofRequest: sql`closed_at_ms / ${sql.lit(DAY_MS)}` },
};

interface Range {
  sinceMs: number;
  untilMs: number;
}

/** Aggregates an edge before the union, so that a million rows become a handful without a temporary table of them. */
function edge(group: RawBuilder<unknown>, { sinceMs, untilMs }: Range): RawBuilder<unknown> {
  return sql`select ${group} as grp, count(*),
      sum(case when outcome in ('ok', 'aborted') then 0 else 1 end), sum(case when outcome = 'aborted' then 1 else 0 end),
      sum(is_estimated), sum(tokens_in), sum(tokens_in_cached), sum(tokens_out),
      sum(coalesce(tokens_reasoning, 0)),
      count(time_to_first_token_ms), sum(coalesce(time_to_first_token_ms, 0)),
      sum(generation_tokens), sum(generation_ms), sum(cost_micros)
    from requests where closed_at_ms >= ${sinceMs} and closed_at_ms < ${untilMs} group by 1`;
}

interface Split {
  /** Rollups from this day up to, not including, `endDay`. */
  firstDay: number;
  endDay: number;
  head: Range;
  tail: Range;
}

const NOTHING: Range = { sinceMs: 0, untilMs: 0 };

/**
 * Cuts the asked range into whole days and the rest at both ends.
 *
 * @param newestMs Last close in the store: a day that is cut only after it counts as whole, so that "until now" needs no rows.
 */
export function splitDays({ sinceMs, untilMs }: Range, newestMs: number): Split {
  const firstDay = Math.ceil(sinceMs / DAY_MS);
  const endDay = untilMs > newestMs ? Math.floor(newestMs / DAY_MS) + 1 : Math.floor(untilMs / DAY_MS);
  if (firstDay >= endDay) return { firstDay: 0, endDay: 0, head: { sinceMs, untilMs }, tail: NOTHING };
  return {
    firstDay,
    endDay,
    head: { sinceMs, untilMs: firstDay * DAY_MS },
    tail: { sinceMs: endDay * DAY_MS, untilMs },
  };
}

// When every row of the newest day was pruned, only its rollup says that there is such a day; then it counts as whole.
async function newestClose(db: Kysely<Tables>): Promise<number> {
  const { closed } = await db
    .selectFrom("requests")
    .select((select) => select.fn.max("closed_at_ms").as("closed"))
    .executeTakeFirstOrThrow();
  const { day } = await db
    .selectFrom("daily_usage")
    .select((select) => select.fn.max("day").as("day"))
    .executeTakeFirstOrThrow();
  return Math.max(Number(closed ?? 0), Number(day ?? 0) * DAY_MS);
}

// `Number`: PostgreSQL gives sums as text.
function toUsageRow(row: SumRow, by: UsageQuery["by"]): UsageRow {
  return {
    group: by === "day" ? new Date(Number(row.grp) * DAY_MS).toISOString().slice(0, 10) : String(row.grp),
    requests: Number(row.requests),
    failed: Number(row.failed),
    aborted: Number(row.aborted),
    tokensIn: Number(row.tokens_in),
    tokensInCached: Number(row.tokens_in_cached),
    tokensOut: Number(row.tokens_out),
    tokensReasoning: Number(row.tokens_reasoning),
    estimated: Number(row.estimated),
    timeToFirstTokenMs: ratio(row.first_token_ms, row.first_token_count),
    tokensPerSecond: ratio(Number(row.generation_tokens) * 1000, row.generation_ms),
    costMicros: Number(row.cost_micros),
  };
}

function ratio(above: number, below: number): number | null {
  return Number(below) === 0 ? null : Number(above) / Number(below);
}
