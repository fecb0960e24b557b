import { type Logger, pino } from "pino";
import { expect, it } from "vitest";
import type { RequestSummary } from "../proxy/observer.ts";
import { requestClosed, requestOpened } from "../usage/__fixtures__/request-record.ts";
import { requestSummary } from "./__fixtures__/request-summary.ts";
import { logRequest } from "./access-log.ts";

const ID = "01a22d09-4168-7304-8a65-609be2d777a5";
const SERVED = requestSummary(ID, {
  closed: requestClosed(ID, { tokensIn: 10, tokensOut: 7, timeToFirstTokenMs: 3 }),
  keyId: "key1",
  remoteAddress: "127.0.0.1",
  durationMs: 2.6,
  bytesOut: 512,
});
const REFUSED: Partial<RequestSummary> = { opened: null, closed: null, servedBy: null, overheadMs: null, bytesOut: 0 };

/** The fields as pino gets them elsewhere: what a line is compared with. */
function byPino(log: Logger, summary: RequestSummary): void {
  const { closed, opened } = summary;
  const isTrouble = summary.status >= 500 || closed?.outcome === "failed";
  const { status, detail, shadow, softBudget, servedBy } = summary;
  const line = {
    request: summary.id,
    method: summary.method,
    operation: summary.operation,
    model: opened?.model,
    endpoint: summary.endpoint ?? undefined,
    key: summary.keyId,
    ambient: summary.ambient ?? undefined,
    from: summary.remoteAddress,
    status,
    outcome: closed?.outcome ?? (summary.errorCode === null ? "answered" : "refused"),
    error: summary.errorCode ?? undefined,
    detail: detail ?? undefined,
    shadow: shadow ?? undefined,
    softBudget: softBudget ?? undefined,
    servedBy: servedBy ?? undefined,
    attempts: closed?.attempts.length,
    tokensIn: closed?.tokensIn,
    tokensOut: closed?.tokensOut,
    estimated: closed?.isEstimated === true ? true : undefined,
    firstTokenMs: closed?.timeToFirstTokenMs ?? undefined,
    durationMs: Math.round(summary.durationMs),
    bytesOut: summary.bytesOut,
  };
  log[isTrouble ? "warn" : "info"](line, "request");
}

function linesOf(write: (log: Logger) => void, options: pino.LoggerOptions = {}): string[] {
  const lines: string[] = [];
  const time = () => ',"time":"2026-11-30T12:00:00.000Z"';
  write(pino({ base: { part: "gateway" }, timestamp: time, ...options }, { write: (line) => void lines.push(line) }));
  return lines;
}

const circular: Record<string, unknown> = { target: "node/lab" };
circular["self"] = circular;
const odd = 'q"uo\\te\n\u2028 日本 \ud83d';

const CASES: Record<string, RequestSummary> = {
  served: SERVED,
  "served with an estimate and no first token": {
    ...SERVED,
    closed: requestClosed(ID, { isEstimated: true, timeToFirstTokenMs: null }),
  },
  failed: { ...SERVED, status: 502, errorCode: "engine_failed", detail: { phase: "dial", list: [1, null, odd] } },
  "failed after its status had been sent": { ...SERVED, closed: requestClosed(ID, { outcome: "failed" }) },
  "refused without key": { ...SERVED, ...REFUSED, status: 401, errorCode: "key_invalid", keyId: null },
  "refused for a host of nobody's": { ...SERVED, ...REFUSED, status: 421, endpoint: null, operation: null },
  "answered by an ambient identity": { ...SERVED, ...REFUSED, keyId: null, ambient: "lan" },
  "beyond limits that only warn": { ...SERVED, shadow: ["rate_limited"], softBudget: "day" },
  "odd names": { ...SERVED, opened: { ...requestOpened(ID), model: odd }, endpoint: odd, servedBy: odd, method: odd },
  "a detail that is no JSON": { ...SERVED, status: 500, detail: { ...circular, big: 1n } },
};

it.each(Object.keys(CASES))("logRequest() writes the line that pino would: %s", (name) => {
  const summary = CASES[name] as RequestSummary;
  for (const options of [{}, { formatters: { level: (level: string) => ({ level }) } }]) {
    const lines = linesOf((log) => logRequest(log, summary), options);
    expect(lines).toEqual(linesOf((log) => byPino(log, summary), options));
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0] as string)).toMatchObject({ request: ID, msg: "request" });
  }
});

it("logRequest() writes the fields of a child logger too, and only what the level asks for", () => {
  const both = (log: Logger) => {
    logRequest(log, SERVED);
    logRequest(log, { ...SERVED, status: 503 });
  };
  expect(linesOf((log) => both(log.child({ instance: "a" })))).toHaveLength(2);
  expect(linesOf((log) => both(log.child({ instance: "a" })))[0]).toContain('"instance":"a","request"');
  expect(linesOf(both, { level: "warn" })).toHaveLength(1);
  expect(linesOf(both, { level: "silent" })).toEqual([]);
});
