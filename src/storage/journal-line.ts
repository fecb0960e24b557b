import type { AttemptRecord, Outcome, RequestClosed, RequestOpened } from "../usage/record.ts";

/**
 * The lines of a journal file: UTF-8, one record each, ended by a line feed.
 *
 * `O{…}` is a request at dispatch. `C{"o":{…},"c":{…}}` is a request that is closed, whole: it repeats what was opened, so that
 * taking it in needs no other line. New fields may be added; a meaning that changes takes a new first letter.
 */
export interface SettledRequest {
  opened: RequestOpened;
  closed: RequestClosed;
}

const LINE_FEED = 0x0a;
const OPENED = 0x4f;
const CLOSED = 0x43;
/** Longest text of one field that a line keeps; model names are checked long before, this only bounds the line. */
const FIELD_CHARACTERS = 512;
/** Attempts of one request that a line keeps, the last ones. More than any plan makes. */
const ATTEMPTS_KEPT = 32;
/** With the bounds above every line is shorter. A longer one was not written by us and is skipped. */
export const LINE_BYTES = 256 * 1024;

/** JSON of the opened part, which the caller keeps until the request is closed: it is written twice. */
export function encodeOpened(record: RequestOpened): string {
  return JSON.stringify(
    record.model.length > FIELD_CHARACTERS ? { ...record, model: record.model.slice(0, FIELD_CHARACTERS) } : record,
  );
}

/** The line for an opened request. */
export function openedLine(openedJson: string): string {
  return `O${openedJson}\n`;
}

/** The line for a closed request. */
export function closedLine(openedJson: string, record: RequestClosed): string {
  const isLong = record.attempts.length > ATTEMPTS_KEPT;
  const closedJson = JSON.stringify(isLong ? { ...record, attempts: record.attempts.slice(-ATTEMPTS_KEPT) } : record);
  return `C{"o":${openedJson},"c":${closedJson}}\n`;
}

/** What a block of journal lines holds. */
export interface DecodedLines {
  opened: RequestOpened[];
  settled: SettledRequest[];
  /** Lines that are not a record: torn by a crash, damaged on disk, or foreign. */
  unreadable: number;
}

/**
 * Reads a block of lines; a last line without its line feed counts as unreadable unless it is empty.
 *
 * @param withOpened Whether opened lines are wanted too; skipping them is cheap.
 */
export function decodeLines(block: Uint8Array, withOpened = true): DecodedLines {
  const bytes = Buffer.from(block.buffer, block.byteOffset, block.byteLength);
  const decoded: DecodedLines = { opened: [], settled: [], unreadable: 0 };
  let start = 0;
  while (start < bytes.length) {
    const end = bytes.indexOf(LINE_FEED, start);
    if (end === -1) {
      decoded.unreadable += 1;
      break;
    }
    decodeLine(bytes, start, end, withOpened, decoded);
    start = end + 1;
  }
  return decoded;
}

function decodeLine(bytes: Buffer, start: number, end: number, withOpened: boolean, into: DecodedLines): void {
  const kind = bytes[start];
  if (kind === OPENED && !withOpened) return;
  const value = end - start > LINE_BYTES ? null : parse(bytes.toString("utf8", start + 1, end));
  if (kind === OPENED) {
    const opened = readOpened(value);
    if (opened !== null) into.opened.push(opened);
    else into.unreadable += 1;
    return;
  }
  const pair = kind === CLOSED ? asObject(value) : null;
  const opened = readOpened(pair?.["o"]);
  const closed = readClosed(pair?.["c"]);
  if (opened !== null && closed !== null && opened.id === closed.id) into.settled.push({ opened, closed });
  else into.unreadable += 1;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

type Fields = Record<string, unknown>;

function asObject(value: unknown): Fields | null {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : null;
}

const isText = (value: unknown): value is string => typeof value === "string";
const isTextOrNull = (value: unknown): value is string | null => value === null || typeof value === "string";
const isNumber = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(Math.round(value));
const isNumberOrNull = (value: unknown): value is number | null => value === null || isNumber(value);

function readOpened(value: unknown): RequestOpened | null {
  const from = asObject(value);
  if (from === null) return null;
  const { id, endpointId, keyId, operation, model, isStream, openedAtMs, requestBytes } = from;
  if (!isText(id) || !isText(endpointId) || !isText(keyId) || !isText(operation) || !isText(model)) return null;
  if (!isNumber(openedAtMs) || !isNumber(requestBytes)) return null;
  // Lines of before schema 10 do not have these two.
  const workflow = from["workflow"] ?? null;
  const contingency = from["contingency"] ?? null;
  if (!isTextOrNull(workflow) || !isTextOrNull(contingency)) return null;
  return {
    id,
    endpointId,
    keyId,
    operation,
    model,
    workflow,
    contingency,
    isStream: isStream === true,
    openedAtMs: Math.round(openedAtMs),
    requestBytes: Math.round(requestBytes),
  };
}

const OUTCOMES: ReadonlySet<unknown> = new Set<Outcome>(["ok", "aborted", "failed", "stopped", "interrupted"]);

function readClosed(value: unknown): RequestClosed | null {
  const from = asObject(value);
  if (from === null) return null;
  const { id, closedAtMs, outcome, status, errorCode, tokensIn, tokensInCached, tokensOut, isEstimated } = from;
  const { timeToFirstTokenMs, durationMs, costMicros, attempts } = from;
  // Lines of before schema 2 do not have it.
  const tokensReasoning = from["tokensReasoning"] ?? null;
  // Nor these, those of before schema 10.
  const contingency = from["contingency"] ?? null;
  const fallback = from["fallback"] ?? null;
  if (!isTextOrNull(contingency) || !isTextOrNull(fallback)) return null;
  if (!isText(id) || !OUTCOMES.has(outcome) || !isTextOrNull(errorCode) || !Array.isArray(attempts)) return null;
  if (!isNumber(closedAtMs) || !isNumber(status) || !isNumber(durationMs) || !isNumber(costMicros)) return null;
  if (!isNumber(tokensIn) || !isNumber(tokensInCached) || !isNumber(tokensOut)) return null;
  if (!isNumberOrNull(timeToFirstTokenMs) || !isNumberOrNull(tokensReasoning)) return null;
  const read = attempts.map(readAttempt);
  if (!read.every((attempt) => attempt !== null)) return null;
  return {
    id,
    closedAtMs: Math.round(closedAtMs),
    outcome: outcome as Outcome,
    status: Math.round(status),
    errorCode,
    tokensIn: Math.round(tokensIn),
    tokensInCached: Math.round(tokensInCached),
    tokensOut: Math.round(tokensOut),
    tokensReasoning: tokensReasoning === null ? null : Math.round(tokensReasoning),
    isEstimated: isEstimated === true,
    timeToFirstTokenMs: timeToFirstTokenMs === null ? null : Math.round(timeToFirstTokenMs),
    durationMs: Math.round(durationMs),
    costMicros: Math.round(costMicros),
    contingency,
    fallback,
    attempts: read,
  };
}

function readAttempt(value: unknown): AttemptRecord | null {
  const from = asObject(value);
  if (from === null) return null;
  const { id, index, target, nodeId, engine, engineModel, startedAtMs, endedAtMs, status, errorCode, bytesOut } = from;
  if (!isText(id) || !isText(target) || !isTextOrNull(nodeId) || !isText(engine) || !isText(engineModel)) return null;
  if (!isNumber(index) || !isNumber(startedAtMs) || !isNumber(endedAtMs) || !isNumber(status)) return null;
  if (!isTextOrNull(errorCode) || !isNumber(bytesOut)) return null;
  return {
    id,
    index: Math.round(index),
    target,
    nodeId,
    engine,
    engineModel,
    startedAtMs: Math.round(startedAtMs),
    endedAtMs: Math.round(endedAtMs),
    status: Math.round(status),
    errorCode,
    bytesOut: Math.round(bytesOut),
  };
}
