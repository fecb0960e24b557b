import type { RequestClosed, RequestOpened } from "../record.ts";

/** A request for a stream, at its beginning. */
export function requestOpened(id: string, fields: Partial<RequestOpened> = {}): RequestOpened {
  return {
    id,
    endpointId: "default",
    keyId: "aaaaaaaaaaaa",
    operation: "openai-chat",
    model: "demo",
    workflow: null,
    contingency: null,
    isStream: true,
    openedAtMs: 1,
    requestBytes: 1,
    ...fields,
  };
}

/** The end of one that was answered, without its attempts. */
export function requestClosed(id: string, fields: Partial<RequestClosed> = {}): RequestClosed {
  return {
    id,
    closedAtMs: 2,
    outcome: "ok",
    status: 200,
    errorCode: null,
    tokensIn: 1,
    tokensInCached: 0,
    tokensOut: 1,
    tokensReasoning: null,
    isEstimated: false,
    timeToFirstTokenMs: 1,
    durationMs: 1,
    costMicros: 0,
    contingency: null,
    fallback: null,
    attempts: [],
    ...fields,
  };
}
