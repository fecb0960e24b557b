import { type DestinationStream, type Logger, symbols } from "pino";
import { createQuoter } from "../lib/json-quote.ts";
import type { RequestSummary } from "../proxy/observer.ts";

/** What pino keeps of a logger that makes its lines: how each begins, and where they go. */
interface PinoParts {
  readonly [symbols.lsCacheSym]: Readonly<Record<number, string>>;
  readonly [symbols.timeSym]: () => string;
  readonly [symbols.chindingsSym]: string;
  readonly [symbols.streamSym]: DestinationStream;
  readonly [symbols.stringifySym]: (value: unknown, orElse: unknown) => string;
  readonly [symbols.stringifySafeSym]: unknown;
}

const quote = createQuoter();
const INFO = 30;
const WARN = 40;

/**
 * One line for each request: an event name and fields, with the request's id. Never a prompt, a reply, a key or a header.
 * Trouble on our side is a warning, so that a quiet log level still shows it.
 *
 * The line is the one that pino makes of the same fields, byte for byte (a test compares them), put together here: pino asks of
 * each field what it is, which is most of what a line costs, and there is a line for every request.
 */
export function logRequest(log: Logger, summary: RequestSummary): void {
  const { closed } = summary;
  const level = summary.status >= 500 || closed?.outcome === "failed" ? WARN : INFO;
  if (level < log.levelVal) return;
  const parts = log as Logger & PinoParts;
  const head = parts[symbols.lsCacheSym][level] + parts[symbols.timeSym]() + parts[symbols.chindingsSym];
  parts[symbols.streamSym].write(`${head}${fields(parts, summary)},"msg":"request"}\n`);
}

function fields(parts: PinoParts, summary: RequestSummary): string {
  const { opened, closed, detail } = summary;
  let text = `,"request":"${summary.id}","method":${quote(summary.method)},"operation":${quoteOrNull(summary.operation)}`;
  if (opened !== null) text += `,"model":${quote(opened.model)}`;
  if (summary.endpoint !== null) text += `,"endpoint":${quote(summary.endpoint)}`;
  text += `,"key":${quoteOrNull(summary.keyId)}`;
  if (summary.ambient !== null) text += `,"ambient":${quote(summary.ambient)}`;
  const outcome = closed?.outcome ?? (summary.errorCode === null ? "answered" : "refused");
  text += `,"from":${quote(summary.remoteAddress)},"status":${summary.status},"outcome":"${outcome}"`;
  if (summary.errorCode !== null) text += `,"error":${quote(summary.errorCode)}`;
  if (detail !== null) text += `,"detail":${parts[symbols.stringifySym](detail, parts[symbols.stringifySafeSym])}`;
  if (summary.shadow !== null) text += `,"shadow":${JSON.stringify(summary.shadow)}`;
  if (summary.softBudget !== null) text += `,"softBudget":${quote(summary.softBudget)}`;
  if (summary.servedBy !== null) text += `,"servedBy":${quote(summary.servedBy)}`;
  if (closed !== null) {
    text += `,"attempts":${closed.attempts.length},"tokensIn":${closed.tokensIn},"tokensOut":${closed.tokensOut}`;
    if (closed.isEstimated) text += ',"estimated":true';
    if (closed.timeToFirstTokenMs !== null) text += `,"firstTokenMs":${closed.timeToFirstTokenMs}`;
  }
  return `${text},"durationMs":${Math.round(summary.durationMs)},"bytesOut":${summary.bytesOut}`;
}

function quoteOrNull(text: string | null): string {
  return text === null ? "null" : quote(text);
}
