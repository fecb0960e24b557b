import type { RequestClosed } from "../usage/record.ts";
import type { SettledRequest } from "./journal-line.ts";
import type { SqlValue } from "./row-insert.ts";
import type { AttemptTable, RequestTable } from "./schema.ts";

/** The columns of a request's row, in the order in which `toRows` gives its values. */
export const REQUEST_COLUMNS = [
  "id",
  "endpoint_id",
  "key_id",
  "operation",
  "model",
  "is_stream",
  "opened_at_ms",
  "request_bytes",
  "closed_at_ms",
  "outcome",
  "status",
  "error_code",
  "tokens_in",
  "tokens_in_cached",
  "tokens_out",
  "tokens_reasoning",
  "is_estimated",
  "time_to_first_token_ms",
  "duration_ms",
  "cost_micros",
  "workflow",
  "contingency",
  "fallback",
  "served_by",
  "generation_tokens",
  "generation_ms",
] as const satisfies (keyof RequestTable)[];

/** The same of an attempt's. */
export const ATTEMPT_COLUMNS = [
  "request_id",
  "position",
  "id",
  "target",
  "node_id",
  "engine",
  "engine_model",
  "started_at_ms",
  "ended_at_ms",
  "status",
  "error_code",
  "bytes_out",
] as const satisfies (keyof AttemptTable)[];

/** The values of both tables in the order of their columns: an object for each row, taken apart again, is five times as much work. */
export function toRows(settled: readonly SettledRequest[]): { requests: SqlValue[]; attempts: SqlValue[] } {
  const requests: SqlValue[] = [];
  const attempts: SqlValue[] = [];
  for (const { opened, closed } of settled) {
    const generation = generationOf(closed);
    requests.push(
      opened.id,
      opened.endpointId,
      opened.keyId,
      opened.operation,
      opened.model,
      Number(opened.isStream),
      opened.openedAtMs,
      opened.requestBytes,
      closed.closedAtMs,
      closed.outcome,
      closed.status,
      closed.errorCode,
      closed.tokensIn,
      closed.tokensInCached,
      closed.tokensOut,
      closed.tokensReasoning,
      Number(closed.isEstimated),
      closed.timeToFirstTokenMs,
      closed.durationMs,
      closed.costMicros,
      opened.workflow,
      closed.contingency,
      closed.fallback,
      servedBy(closed),
      generation.tokens,
      generation.ms,
    );
    for (const attempt of closed.attempts) {
      attempts.push(
        opened.id,
        attempt.index,
        attempt.id,
        attempt.target,
        attempt.nodeId,
        attempt.engine,
        attempt.engineModel,
        attempt.startedAtMs,
        attempt.endedAtMs,
        attempt.status,
        attempt.errorCode,
        attempt.bytesOut,
      );
    }
  }
  return { requests, attempts };
}

/** Who answered, as usage is counted: a node's id, or a provider's label. */
export function servedBy(closed: RequestClosed): string {
  const last = closed.attempts.at(-1);
  return last === undefined ? "" : (last.nodeId ?? last.target);
}

/**
 * What a request adds to "tokens per second": the tokens after the first one over the time after the first one. Without a time
 * to first token (an answer in one piece) all tokens over the whole time. Nothing where counts are estimates, or too small to
 * say anything.
 */
export function generationOf(closed: RequestClosed): { tokens: number; ms: number } {
  const { isEstimated, tokensOut, durationMs, timeToFirstTokenMs } = closed;
  const ms = Math.round(durationMs - (timeToFirstTokenMs ?? 0));
  const tokens = timeToFirstTokenMs === null ? tokensOut : tokensOut - 1;
  return isEstimated || tokens < 1 || ms < 1 ? { tokens: 0, ms: 0 } : { tokens, ms };
}
