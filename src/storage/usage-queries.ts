import type { Kysely } from "kysely";
import type { Outcome } from "../usage/record.ts";
import type { Tables } from "./schema.ts";
import type { RequestDetail } from "./store.ts";

/** Everything about one closed request, or null. */
export async function findRequest(db: Kysely<Tables>, id: string): Promise<RequestDetail | null> {
  const row = await db.selectFrom("requests").selectAll().where("id", "=", id).executeTakeFirst();
  if (row === undefined) return null;
  const attempts = await db
    .selectFrom("attempts")
    .selectAll()
    .where("request_id", "=", id)
    .orderBy("position")
    .execute();
  return {
    id: row.id,
    endpointId: row.endpoint_id,
    keyId: row.key_id,
    operation: row.operation,
    model: row.model,
    isStream: row.is_stream === 1,
    openedAtMs: row.opened_at_ms,
    requestBytes: row.request_bytes,
    closedAtMs: row.closed_at_ms,
    outcome: row.outcome as Outcome,
    status: row.status,
    errorCode: row.error_code,
    tokensIn: row.tokens_in,
    tokensInCached: row.tokens_in_cached,
    tokensOut: row.tokens_out,
    tokensReasoning: row.tokens_reasoning,
    isEstimated: row.is_estimated === 1,
    timeToFirstTokenMs: row.time_to_first_token_ms,
    durationMs: row.duration_ms,
    costMicros: row.cost_micros,
    attempts: attempts.map((attempt) => ({
      id: attempt.id,
      index: attempt.position,
      target: attempt.target,
      nodeId: attempt.node_id,
      engine: attempt.engine,
      engineModel: attempt.engine_model,
      startedAtMs: attempt.started_at_ms,
      endedAtMs: attempt.ended_at_ms,
      status: attempt.status,
      errorCode: attempt.error_code,
      bytesOut: attempt.bytes_out,
    })),
  };
}

/**
 * Deletes at most `limit` of the oldest requests closed before `beforeMs`, with their attempts, in one transaction.
 *
 * @returns how many requests went; fewer than `limit` means that none is left.
 */
export async function pruneStep(db: Kysely<Tables>, beforeMs: number, limit: number): Promise<number> {
  return db.transaction().execute(async (transaction) => {
    const old = await transaction
      .selectFrom("requests")
      .select("id")
      .where("closed_at_ms", "<", beforeMs)
      .orderBy("closed_at_ms")
      .limit(limit)
      .execute();
    if (old.length === 0) return 0;
    const ids = old.map((row) => row.id);
    await transaction.deleteFrom("attempts").where("request_id", "in", ids).execute();
    await transaction.deleteFrom("requests").where("id", "in", ids).execute();
    return ids.length;
  });
}
