import { AnswerBody, AttemptFault, type Hold } from "./answer-body.ts";
import { AttemptLimits } from "./attempt-limits.ts";
import type { CallerRequest } from "./caller-request.ts";
import type { CheckedTarget } from "./check-options.ts";
import type { Clock } from "./clock.ts";
import { StreamWatch } from "./stream-watch.ts";
import { type TargetRequest, writeTargetRequest } from "./target-request.ts";

/** An answer that is certain: it goes to the caller, and no other target is asked after it. */
export interface Answer {
  kind: "answer";
  response: Response;
  /** Null for answers without a body. */
  body: AnswerBody | null;
  limits: AttemptLimits;
}

/** An attempt of which nothing reached the caller. */
export interface Failed {
  kind: "failed";
  fault: AttemptFault;
  status: number | null;
  retryAfterMs: number | null;
}

/** What an attempt needs from outside. */
export interface AttemptTools {
  clock: Clock;
  send: (url: string, init: RequestInit) => Promise<Response>;
}

/** Answers of the server's state. All other 4xx are about the request: they are the answer (correction E8). */
const CURABLE_STATUSES = [408, 425, 429];

/**
 * Tries one request at one target, within the target's times.
 *
 * A streamed answer is held until it has content, any other until it is whole; up to there a failure is only this attempt's.
 * The caller's signal ends it at once: then the failure is `caller_left`.
 */
export async function attempt(
  target: CheckedTarget,
  request: CallerRequest,
  isLocalOnly: boolean,
  { clock, send }: AttemptTools,
): Promise<Answer | Failed> {
  const written = writeTargetRequest(target, request, isLocalOnly);
  if (written === null) return failed(new AttemptFault("bad_key"));
  const limits = new AttemptLimits(clock, request.signal);
  const { firstTokenMs, totalMs, streamTotalMs } = target.times;
  if (request.isStream) limits.start("first_token_late", firstTokenMs);
  limits.start("answer_late", request.isStream ? streamTotalMs : totalMs);
  let response: Response | null = null;
  try {
    response = await callTarget(send, written, limits);
    const fault = judgeHead(response);
    if (fault !== null) {
      response.body?.cancel().catch(() => {});
      throw fault;
    }
    return await holdAnswer(response, request, target, limits);
  } catch (thrown) {
    limits.close();
    if (!(thrown instanceof AttemptFault)) throw thrown;
    return failed(thrown, response);
  }
}

async function callTarget(
  send: AttemptTools["send"],
  { url, init }: TargetRequest,
  limits: AttemptLimits,
): Promise<Response> {
  try {
    const sent = send(url, { ...init, signal: limits.signal });
    return await limits.race(sent, (late) => void late.body?.cancel().catch(() => {}));
  } catch (error) {
    // The error itself is dropped: its text may name hosts, and of some platforms headers too.
    throw new AttemptFault(limits.stopReason ?? "unreachable", systemCodeOf(error));
  }
}

function judgeHead(response: Response): AttemptFault | null {
  const { status, type } = response;
  if (type === "opaqueredirect" || (status >= 300 && status < 400)) return new AttemptFault("redirect");
  if (status >= 500 || CURABLE_STATUSES.includes(status)) return new AttemptFault("status");
  // A login page of a network, or of the wrong server.
  if (response.ok && contentType(response) === "text/html") return new AttemptFault("bad_answer");
  return null;
}

async function holdAnswer(
  response: Response,
  request: CallerRequest,
  target: CheckedTarget,
  limits: AttemptLimits,
): Promise<Answer> {
  if (response.body === null) {
    limits.close();
    return { kind: "answer", response, body: null, limits };
  }
  const type = contentType(response);
  const format = type === "text/event-stream" ? "sse" : type === "application/x-ndjson" ? "ndjson" : null;
  const isWatched = response.ok && format !== null && request.form !== null;
  const body = new AnswerBody(
    response.body,
    limits,
    isWatched && request.form !== null ? new StreamWatch(request.form, format) : null,
  );
  const hold: Hold = !response.ok ? "none" : format === null ? "whole" : "first-content";
  if (hold === "whole" && request.isStream) {
    // A stream was asked for and a whole answer comes: its time is another.
    limits.clear("first_token_late");
    limits.start("answer_late", target.times.totalMs);
  }
  try {
    await body.hold(hold, type === "application/json");
  } catch (error) {
    body.close();
    throw error;
  }
  limits.clear("first_token_late");
  if (body.hasEnded) limits.close();
  return { kind: "answer", response, body, limits };
}

function failed(fault: AttemptFault, response: Response | null = null): Failed {
  return {
    kind: "failed",
    fault,
    status: response?.status ?? null,
    retryAfterMs: response === null ? null : readRetryAfter(response.headers),
  };
}

function contentType(response: Response): string {
  return (response.headers.get("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase() ?? "";
}

/** Seconds only. A date would need a clock that both sides agree on. */
function readRetryAfter(headers: Headers): number | null {
  const milliseconds = Number(headers.get("retry-after-ms") ?? Number.NaN);
  const seconds = Number(headers.get("retry-after") ?? Number.NaN);
  const ms = Number.isFinite(milliseconds) ? milliseconds : seconds * 1000;
  return Number.isFinite(ms) && ms > 0 ? ms : null;
}

function systemCodeOf(error: unknown): string | null {
  let value = error;
  for (let depth = 0; depth < 4 && typeof value === "object" && value !== null; depth += 1) {
    if ("code" in value && typeof value.code === "string" && /^[A-Z][A-Z0-9_]{1,40}$/.test(value.code))
      return value.code;
    value = "cause" in value ? value.cause : null;
  }
  return null;
}
