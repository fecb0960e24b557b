import type { AttemptRecord, Outcome, RequestClosed, RequestOpened } from "../usage/record.ts";

/**
 * The lines of a journal file: UTF-8, one record each, ended by a line feed. A record is a JSON array of fields in the order of the
 * lists below, which is half of the bytes and of the work that objects with names are, for every request at both ends.
 *
 * `O[…]` is a request at dispatch. `C[[…],[…],[…]]` is a request that is closed, whole: it repeats what was opened, so that taking
 * it in needs no other line, and has its end and each of its attempts. New fields may be added, each at its list's end; a meaning
 * that changes takes a new first letter. What the first builds wrote is read too: the same with objects instead of arrays.
 */
export interface SettledRequest {
  opened: RequestOpened;
  closed: RequestClosed;
}

const OPENED_FIELDS = [
  "id",
  "endpointId",
  "keyId",
  "operation",
  "model",
  "workflow",
  "contingency",
  "isStream",
  "openedAtMs",
  "requestBytes",
] as const satisfies (keyof RequestOpened)[];

const CLOSED_FIELDS = [
  "closedAtMs",
  "outcome",
  "status",
  "errorCode",
  "tokensIn",
  "tokensInCached",
  "tokensOut",
  "tokensReasoning",
  "isEstimated",
  "timeToFirstTokenMs",
  "durationMs",
  "costMicros",
  "contingency",
  "fallback",
] as const satisfies (keyof RequestClosed)[];

const ATTEMPT_FIELDS = [
  "id",
  "index",
  "target",
  "nodeId",
  "engine",
  "engineModel",
  "startedAtMs",
  "endedAtMs",
  "status",
  "errorCode",
  "bytesOut",
] as const satisfies (keyof AttemptRecord)[];

const OPENED = "O".charCodeAt(0);
const CLOSED = "C".charCodeAt(0);
/** Longest text of one field that a line keeps; model names are checked long before, this only bounds the line. */
const FIELD_CHARACTERS = 512;
/** Attempts of one request that a line keeps, the last ones. More than any plan makes. */
const ATTEMPTS_KEPT = 32;
/** With the bounds above every line is shorter. A longer one was not written by us and is skipped. */
export const LINE_BYTES = 256 * 1024;

/** JSON of the opened part, which the caller keeps until the request is closed: it is written twice. */
export function encodeOpened(record: RequestOpened): string {
  const { id, endpointId, keyId, operation, workflow, contingency, isStream, openedAtMs, requestBytes } = record;
  const model = record.model.length > FIELD_CHARACTERS ? record.model.slice(0, FIELD_CHARACTERS) : record.model;
  // In the order of OPENED_FIELDS; so are the others in theirs.
  return JSON.stringify([
    id,
    endpointId,
    keyId,
    operation,
    model,
    workflow,
    contingency,
    isStream,
    openedAtMs,
    requestBytes,
  ]);
}

/** The line for an opened request. */
export function openedLine(openedJson: string): string {
  return `O${openedJson}\n`;
}

/** The line for a closed request. */
export function closedLine(openedJson: string, record: RequestClosed): string {
  const { attempts } = record;
  let line = `C[${openedJson},${encodeClosed(record)}`;
  for (let index = Math.max(0, attempts.length - ATTEMPTS_KEPT); index < attempts.length; index++)
    line += `,${encodeAttempt(attempts[index] as AttemptRecord)}`;
  return `${line}]\n`;
}

function encodeClosed(record: RequestClosed): string {
  return JSON.stringify([
    record.closedAtMs,
    record.outcome,
    record.status,
    record.errorCode,
    record.tokensIn,
    record.tokensInCached,
    record.tokensOut,
    record.tokensReasoning,
    record.isEstimated,
    record.timeToFirstTokenMs,
    record.durationMs,
    record.costMicros,
    record.contingency,
    record.fallback,
  ]);
}

function encodeAttempt(attempt: AttemptRecord): string {
  return JSON.stringify([
    attempt.id,
    attempt.index,
    attempt.target,
    attempt.nodeId,
    attempt.engine,
    attempt.engineModel,
    attempt.startedAtMs,
    attempt.endedAtMs,
    attempt.status,
    attempt.errorCode,
    attempt.bytesOut,
  ]);
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
  const text = Buffer.from(block.buffer, block.byteOffset, block.byteLength).toString("utf8");
  const decoded: DecodedLines = { opened: [], settled: [], unreadable: 0 };
  let start = 0;
  while (start < text.length) {
    const end = text.indexOf("\n", start);
    if (end === -1) {
      decoded.unreadable += 1;
      break;
    }
    decodeLine(text, start, end, withOpened, decoded);
    start = end + 1;
  }
  return decoded;
}

function decodeLine(text: string, start: number, end: number, withOpened: boolean, into: DecodedLines): void {
  const kind = text.charCodeAt(start);
  if (kind === OPENED && !withOpened) return;
  const value = end - start > LINE_BYTES ? null : parse(text.slice(start + 1, end));
  if (kind === OPENED) {
    const opened = readOpened(value);
    if (opened !== null) into.opened.push(opened);
    else into.unreadable += 1;
    return;
  }
  const parts = kind !== CLOSED ? null : Array.isArray(value) ? value : partsOfFirstBuilds(value);
  const opened = readOpened(parts?.[0]);
  const closed = opened === null || parts === null ? null : readClosed(opened.id, parts);
  if (opened !== null && closed !== null) into.settled.push({ opened, closed });
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

/** A closed line of the first builds: `{"o":{…},"c":{…}}`, with the id in both and the attempts in the second. */
function partsOfFirstBuilds(value: unknown): unknown[] | null {
  const pair = asObject(value);
  const closed = asObject(pair?.["c"]);
  const attempts = closed?.["attempts"];
  if (pair === null || closed === null || !Array.isArray(attempts)) return null;
  return closed["id"] === asObject(pair["o"])?.["id"] ? [pair["o"], closed, ...attempts] : null;
}

/** The fields in their order; null where there are too few. Objects are of the first builds, whose older lines lack some. */
function readFields(value: unknown, names: readonly string[]): unknown[] | null {
  if (Array.isArray(value)) return value.length < names.length ? null : value;
  const from = asObject(value);
  return from === null ? null : names.map((name) => from[name] ?? null);
}

const isText = (value: unknown): value is string => typeof value === "string";
const isTextOrNull = (value: unknown): value is string | null => value === null || typeof value === "string";
const isNumber = (value: unknown): value is number =>
  typeof value === "number" && Number.isSafeInteger(Math.round(value));
const isNumberOrNull = (value: unknown): value is number | null => value === null || isNumber(value);

function readOpened(value: unknown): RequestOpened | null {
  const from = readFields(value, OPENED_FIELDS);
  if (from === null) return null;
  const [id, endpointId, keyId, operation, model, workflow, contingency, isStream, openedAtMs, requestBytes] = from;
  if (!isText(id) || !isText(endpointId) || !isText(keyId) || !isText(operation) || !isText(model)) return null;
  if (!isTextOrNull(workflow) || !isTextOrNull(contingency)) return null;
  if (!isNumber(openedAtMs) || !isNumber(requestBytes)) return null;
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

/** @param parts What was opened, how it ended, and the attempts. */
function readClosed(id: string, parts: readonly unknown[]): RequestClosed | null {
  const from = readFields(parts[1], CLOSED_FIELDS);
  if (from === null) return null;
  const [closedAtMs, outcome, status, errorCode, tokensIn, tokensInCached, tokensOut, tokensReasoning, ...rest] = from;
  const [isEstimated, timeToFirstTokenMs, durationMs, costMicros, contingency, fallback] = rest;
  if (!isTextOrNull(contingency) || !isTextOrNull(fallback)) return null;
  if (!OUTCOMES.has(outcome) || !isTextOrNull(errorCode)) return null;
  if (!isNumber(closedAtMs) || !isNumber(status) || !isNumber(durationMs) || !isNumber(costMicros)) return null;
  if (!isNumber(tokensIn) || !isNumber(tokensInCached) || !isNumber(tokensOut)) return null;
  if (!isNumberOrNull(timeToFirstTokenMs) || !isNumberOrNull(tokensReasoning)) return null;
  const attempts: AttemptRecord[] = [];
  for (let index = 2; index < parts.length; index++) {
    const attempt = readAttempt(parts[index]);
    if (attempt === null) return null;
    attempts.push(attempt);
  }
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
    attempts,
  };
}

function readAttempt(value: unknown): AttemptRecord | null {
  const from = readFields(value, ATTEMPT_FIELDS);
  if (from === null) return null;
  const [id, index, target, nodeId, engine, engineModel, startedAtMs, endedAtMs, status, errorCode, bytesOut] = from;
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
