import type { ErrorCode, PosternError } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import type { OpenRecord, RequestClosed, RequestOpened } from "../usage/record.ts";
import type { ProxyObserver } from "./observer.ts";
import type { RelayResult } from "./relay-contract.ts";
import type { Run } from "./run.ts";

export interface SettleDeps {
  observer: ProxyObserver;
  clock: Clock;
}

/**
 * Step 11 for a request that was dispatched: closes its usage record and reports it. The last byte goes to the
 * caller in `last`, so that a caller who has its answer is always on the record.
 */
export function settleRelayed(
  deps: SettleDeps,
  run: Run,
  opened: RequestOpened,
  record: OpenRecord,
  result: RelayResult,
  overheadMs: number,
  costMicros: number,
  last: () => void,
): void {
  const durationMs = deps.clock.monotonicMs() - run.startedMs;
  const closed: RequestClosed = {
    id: run.id,
    closedAtMs: Math.max(opened.openedAtMs, deps.clock.nowMs()),
    outcome: result.outcome,
    status: result.status,
    errorCode: result.errorCode,
    tokensIn: result.usage.tokensIn,
    tokensInCached: result.usage.tokensInCached,
    tokensOut: result.usage.tokensOut,
    tokensReasoning: result.usage.tokensReasoning,
    isEstimated: result.usage.isEstimated,
    timeToFirstTokenMs: result.timeToFirstTokenMs === null ? null : Math.round(result.timeToFirstTokenMs),
    durationMs: Math.round(durationMs),
    costMicros,
    contingency: result.contingency ?? opened.contingency,
    fallback: result.fallback,
    attempts: result.attempts,
  };
  record.close(closed, last);
  const { fallback, servedBy } = result;
  // Not a failed attempt, but the same signal of an outage: the nodes that should have served could not.
  if (fallback === "nodes_away" && servedBy !== null) deps.observer.failover("nodes", servedBy, fallback);
  deps.observer.ended({
    ...who(run),
    opened,
    closed,
    status: result.status,
    errorCode: result.errorCode,
    detail: result.detail,
    servedBy: result.servedBy,
    durationMs,
    overheadMs,
    bytesOut: result.bytesOut,
  });
}

/** The same for a request that never went out: a refusal, or an answer of the gateway's own. Leaves no usage record. */
export function settleLocal(
  deps: SettleDeps,
  run: Run,
  status: number,
  code: ErrorCode | null,
  error: PosternError | null,
): void {
  deps.observer.ended({
    ...who(run),
    opened: null,
    closed: null,
    status,
    errorCode: code,
    detail: error === null ? null : { ...error.detail, ...(code === "internal" ? { cause: String(error.cause) } : {}) },
    servedBy: null,
    durationMs: deps.clock.monotonicMs() - run.startedMs,
    overheadMs: null,
    bytesOut: 0,
  });
}

function who(run: Run) {
  return {
    shadow: run.admission?.shadow ?? null,
    softBudget: run.softBudget,
    id: run.id,
    method: run.request.method ?? "",
    operation: run.operation?.id ?? null,
    dialect: run.operation?.dialect ?? null,
    endpoint: run.endpoint?.name ?? null,
    keyId: run.key?.id ?? null,
    ambient: run.ambient?.name ?? null,
    remoteAddress: run.origin.address,
  };
}
