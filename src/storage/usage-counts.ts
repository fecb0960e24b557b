import { type Kysely, sql } from "kysely";
import type { Tables } from "./schema.ts";
import type { AnsweredRow } from "./store.ts";
import { lowestId } from "./usage-queries.ts";

/** Most groups that one answer has. */
const MAX_GROUPS = 10_000;
const HOUR_MS = 3_600_000;
const HOURS_PER_WEEK = 168;
/** 1 January 1970 was a Thursday. */
const HOURS_BEFORE_EPOCH = 4 * 24;

/** Longest that a request waits for its attempt (`timeouts.total` by default). */
const MAX_WAIT_MS = HOUR_MS;

/** Complete answers by who gave them, of attempts that began within a time. */
export async function countAnswered(db: Kysely<Tables>, sinceMs: number, untilMs: number): Promise<AnsweredRow[]> {
  const rows = await db
    .selectFrom("requests")
    .innerJoin("attempts", "attempts.request_id", "requests.id")
    .where("requests.id", ">=", lowestId(sinceMs - MAX_WAIT_MS))
    .where("requests.id", "<", lowestId(untilMs))
    .where("attempts.started_at_ms", ">", sinceMs)
    .where("attempts.started_at_ms", "<", untilMs)
    .where("requests.outcome", "=", "ok")
    .where("attempts.error_code", "is", null)
    .where("attempts.status", "=", 200)
    .groupBy(["attempts.target", "requests.key_id", "requests.model"])
    .select((select) => [
      "attempts.target as target",
      "requests.key_id as keyId",
      "requests.model as model",
      select.fn.countAll<number>().as("requests"),
    ])
    .limit(MAX_GROUPS)
    .execute();
  return rows.map((row) => ({ ...row, requests: Number(row.requests) }));
}

/** Requests by hour of the week, from Sunday 0:00 UTC. Integer division in both databases; times are positive. */
export async function countPerHourOfWeek(db: Kysely<Tables>, sinceMs: number): Promise<number[]> {
  const { rows } = await sql<{ hour: number; requests: number }>`
    select (closed_at_ms / ${sql.lit(HOUR_MS)} + ${sql.lit(HOURS_BEFORE_EPOCH)}) % ${sql.lit(HOURS_PER_WEEK)} as hour, count(*) as requests
    from requests where closed_at_ms >= ${sinceMs} group by hour`.execute(db);
  const perHour = Array.from({ length: HOURS_PER_WEEK }, () => 0);
  for (const { hour, requests } of rows) perHour[Number(hour)] = Number(requests);
  return perHour;
}
