import type { Logger } from "pino";
import type { RequestSummary } from "../proxy/observer.ts";

/**
 * One line for each request: an event name and fields, with the request's id. Never a prompt, a reply, a key or a header.
 * Trouble on our side is a warning, so that a quiet log level still shows it.
 */
export function logRequest(log: Logger, summary: RequestSummary): void {
  const { closed, opened } = summary;
  const level = summary.status >= 500 || closed?.outcome === "failed" ? "warn" : "info";
  log[level](
    {
      request: summary.id,
      method: summary.method,
      operation: summary.operation,
      model: opened?.model,
      endpoint: summary.endpoint ?? undefined,
      key: summary.keyId,
      ambient: summary.ambient ?? undefined,
      from: summary.remoteAddress,
      status: summary.status,
      outcome: closed?.outcome ?? (summary.errorCode === null ? "answered" : "refused"),
      error: summary.errorCode ?? undefined,
      detail: summary.detail ?? undefined,
      shadow: summary.shadow ?? undefined,
      softBudget: summary.softBudget ?? undefined,
      servedBy: summary.servedBy ?? undefined,
      attempts: closed === null ? undefined : closed.attempts.length,
      tokensIn: closed?.tokensIn,
      tokensOut: closed?.tokensOut,
      estimated: closed?.isEstimated === true ? true : undefined,
      firstTokenMs: closed?.timeToFirstTokenMs ?? undefined,
      durationMs: Math.round(summary.durationMs),
      bytesOut: summary.bytesOut,
    },
    "request",
  );
}
