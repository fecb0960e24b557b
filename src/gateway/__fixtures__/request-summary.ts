import type { RequestSummary } from "../../proxy/observer.ts";
import { requestClosed, requestOpened } from "../../usage/__fixtures__/request-record.ts";

/** A request that a node served well. */
export function requestSummary(id: string, rest: Partial<RequestSummary> = {}): RequestSummary {
  return {
    id,
    opened: requestOpened(id),
    closed: requestClosed(id),
    method: "POST",
    operation: "openai.chat",
    dialect: "openai-chat",
    endpoint: "default",
    keyId: "k",
    ambient: null,
    remoteAddress: "",
    status: 200,
    errorCode: null,
    detail: null,
    shadow: null,
    softBudget: null,
    servedBy: "node/lab",
    durationMs: 2,
    overheadMs: 0.1,
    bytesOut: 5,
    ...rest,
  };
}
