import type { WholeAnswer } from "../dialects/attempt-format.ts";
import type { StreamTap } from "../dialects/dialect.ts";
import type { ErrorCode } from "../errors.ts";
import { PosternError } from "../errors.ts";
import type { CancelReason, Exchange, ExchangeFailure, ExchangeHandler, ExchangeHeaders } from "../lib/exchange.ts";
import { type AttemptFailure, classifyFailure } from "../routing/classify-failure.ts";
import { pauseOf } from "../routing/retry-after.ts";
import type { AttemptRecord } from "../usage/record.ts";
import type { AttemptEvents } from "./attempt-events.ts";
import { upstreamHeaders } from "./hop-headers.ts";
import type { AttemptSummary } from "./observer.ts";
import type { PreparedAttempt } from "./prepare-attempt.ts";
import type { RelayHost, RelayJob } from "./relay-contract.ts";
import type { Target } from "./target.ts";
import { betweenTokensLimitMs, firstTokenLimitMs } from "./target-times.ts";

/** Largest answer that is not streamed. Such an answer is held whole, so that a broken one can still be told by its status. */
export const MAX_WHOLE_ANSWER_BYTES = 64 * 1024 * 1024;
/** The same for what a model writes: such answers are parsed, which is dearer than the scan of embeddings, and none is near it. */
export const MAX_WRITTEN_ANSWER_BYTES = 16 * 1024 * 1024;
/** Most of an engine's error body that is kept and passed on. */
export const MAX_ERROR_BODY_BYTES = 64 * 1024;
/** Most that is held back of a stream before its first content. */
export const MAX_HELD_BYTES = 256 * 1024;
const JSON_TYPE = "application/json";
const ENGINE_FAILED: AttemptFailure = { code: "engine_failed", isCurable: true };
const NO_BYTES = Buffer.alloc(0);

/** How the attempt reads its stream. */
export type OpenTap = (prepared: PreparedAttempt) => StreamTap;

/**
 * One try of one request at one target: starts the exchange, reads the answer as far as it must be read, and tells what it
 * is. Decides nothing about what comes next and knows no caller.
 */
export class Attempt implements ExchangeHandler {
  readonly prepared: PreparedAttempt;
  readonly target: Target;
  readonly index: number;
  readonly startedMs: number;
  readonly #startedAtMs: number;
  readonly #job: RelayJob;
  readonly #host: RelayHost;
  readonly #events: AttemptEvents;
  readonly #openTap: OpenTap;
  /** Null before a stream began, and where there is none. */
  tap: StreamTap | null = null;
  /** Monotonic time of its last bytes; of its start before. Near enough (see `Sweeper`). */
  lastDataMs: number;
  /** Monotonic time of its first content; null before. */
  contentMs: number | null = null;
  #exchange: Exchange | null = null;
  #kind: "none" | "stream" | "whole" | "error" = "none";
  #status = 0;
  #headers: ExchangeHeaders = {};
  #held: Buffer[] = [];
  #heldBytes = 0;
  #bytes = 0;
  #isOver = false;
  #isClosed = false;

  constructor(
    prepared: PreparedAttempt,
    index: number,
    job: RelayJob,
    host: RelayHost,
    events: AttemptEvents,
    openTap: OpenTap,
  ) {
    this.prepared = prepared;
    this.target = prepared.target;
    this.index = index;
    this.#job = job;
    this.#host = host;
    this.#events = events;
    this.#openTap = openTap;
    this.startedMs = host.monotonicMs();
    this.#startedAtMs = host.nowMs();
    this.lastDataMs = this.startedMs;
  }

  /** Call once; `cancel` or one of the ends, and then `close`, follow. */
  start(): void {
    const { target, format, request, maxCostMicros } = this.prepared;
    target.began();
    this.#host.health.began(target.id, this.startedMs);
    const { path, id } = format.operation;
    const headers = upstreamHeaders(this.#job.source.facts.isStream ? format.streamType : null, request.contentType);
    Object.assign(headers, this.prepared.headers);
    headers["postern-operation"] = id;
    headers["postern-request"] = this.#job.id;
    this.#exchange = this.#host.start(
      target,
      { method: "POST", path, headers, body: request.body, maxCostMicros },
      this,
    );
  }

  /** Stops it, at the engine too. No event follows. */
  cancel(reason: CancelReason): void {
    this.#isOver = true;
    this.#exchange?.cancel(reason);
    this.#exchange = null;
  }

  pause(): void {
    this.#exchange?.pause();
  }

  resume(): void {
    this.lastDataMs = this.#host.sweeper.nowMs;
    this.#exchange?.resume();
  }

  get status(): number {
    return this.#status;
  }

  get headers(): ExchangeHeaders {
    return this.#headers;
  }

  get isStreaming(): boolean {
    return this.#kind === "stream";
  }

  /** How long its target asks to be left alone; null where it does not. */
  get pauseMs(): number | null {
    return pauseOf(this.#status, this.#headers, this.#host.nowMs());
  }

  /** What came of a stream before its content. Given out once. */
  takeHeld(): Buffer[] {
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    return held;
  }

  /**
   * What it was, for health, metrics and the usage record. Once; null afterwards.
   *
   * @param code Null where nothing is wrong.
   */
  close(verdict: AttemptSummary["verdict"], code: ErrorCode | null): AttemptRecord | null {
    if (this.#isClosed) return null;
    this.#isClosed = true;
    this.#exchange = null;
    const { target } = this;
    const { health } = this.#host;
    const nowMs = this.#host.monotonicMs();
    target.ended();
    const firstTokenMs = this.contentMs === null ? null : this.contentMs - this.startedMs;
    if (verdict === "ok" || verdict === "refused") health.succeeded(target.id, { firstTokenMs }, nowMs);
    else if (verdict === "failed" && code !== null) health.failed(target.id, code, nowMs, this.pauseMs);
    else health.abandoned(target.id);
    this.#host.attemptEnded({ target, verdict, code, firstTokenMs, durationMs: nowMs - this.startedMs });
    return {
      id: this.#host.newId(),
      index: this.index,
      target: target.backend.label,
      nodeId: target.backend.kind === "node" ? target.backend.id : null,
      engine: target.engine,
      engineModel: target.engineModel,
      startedAtMs: this.#startedAtMs,
      endedAtMs: Math.max(this.#startedAtMs, this.#host.nowMs()),
      status: this.#status,
      errorCode: code,
      bytesOut: this.#bytes,
    };
  }

  /** What of the attempt's own time limits is over at `nowMs`. @param hasContent Whether the caller has content. */
  overdue(nowMs: number, hasContent: boolean): { code: ErrorCode; limitMs: number } | null {
    const { timeouts, source } = this.#job;
    if (hasContent) {
      const limitMs = betweenTokensLimitMs(this.target, timeouts);
      return nowMs - this.lastDataMs > limitMs ? { code: "engine_stalled", limitMs } : null;
    }
    const limitMs = firstTokenLimitMs(this.target, source.facts.isStream, timeouts);
    return nowMs - this.startedMs > limitMs ? { code: "engine_timeout", limitMs } : null;
  }

  /** It is of no use any more: stops it and says so. */
  giveUp(code: ErrorCode, detail: Record<string, unknown> | null, reason: CancelReason = "protocol"): void {
    if (this.#isOver) return;
    this.cancel(reason);
    this.#events.onTrouble({ code, isCurable: true }, detail, null);
  }

  // ExchangeHandler

  onHead(status: number, headers: ExchangeHeaders): void {
    if (this.#isOver) return;
    this.#status = status;
    this.#headers = headers;
    this.lastDataMs = this.#host.sweeper.nowMs;
    const type = headers["content-type"] ?? "";
    const { format } = this.prepared;
    if (status >= 400 && status <= 599) {
      this.#kind = "error";
    } else if (status !== 200) {
      this.giveUp("engine_bad_answer", { status });
    } else if (this.#job.source.facts.isStream) {
      if (!isStreamOf(format.streamType, type)) return this.giveUp("engine_bad_answer", { contentType: type });
      this.#kind = "stream";
      if (this.prepared.isUsageLeftOut === true) this.target.isUsageRefused = true;
      this.tap = this.#openTap(this.prepared);
    } else {
      if (this.#wholeType() === null) return this.giveUp("engine_bad_answer", { contentType: type });
      this.#kind = "whole";
    }
  }

  onData(chunk: Buffer): void {
    if (this.#isOver) return;
    this.lastDataMs = this.#host.sweeper.nowMs;
    this.#bytes += chunk.length;
    if (this.#kind === "stream") this.#onStreamData(chunk);
    else if (this.#kind === "error") this.#hold(chunk, MAX_ERROR_BODY_BYTES);
    else this.#hold(chunk, this.#job.source.operation.canStream ? MAX_WRITTEN_ANSWER_BYTES : MAX_WHOLE_ANSWER_BYTES);
  }

  #onStreamData(chunk: Buffer): void {
    const { tap } = this;
    if (tap === null) return;
    let out: Buffer;
    try {
      out = tap.push(chunk);
    } catch (error) {
      return this.#unreadable(error);
    }
    if (this.contentMs !== null) {
      if (out.length > 0) this.#events.onContent(out);
      return;
    }
    if (tap.completion === "engine_error") {
      this.cancel("protocol");
      return this.#events.onTrouble(ENGINE_FAILED, null, out.length > 0 ? out : null);
    }
    if (tap.hasContent) {
      this.contentMs = this.#host.monotonicMs();
      this.#events.onContent(out);
    } else if (out.length > 0) {
      this.#hold(out, MAX_HELD_BYTES);
      if (!this.#isOver) this.#events.onPrelude();
    }
  }

  onEnd(): void {
    if (this.#isOver) return;
    switch (this.#kind) {
      case "stream":
        return this.#onStreamEnd();
      case "whole":
        return this.#onWholeEnd();
      case "error":
        this.#isOver = true;
        return this.#events.onErrorAnswer(this.#status, this.#headers["content-type"] ?? "", this.#body());
      case "none":
        return this.giveUp("engine_bad_answer", { reason: "ended without a head" });
      default:
        this.#kind satisfies never;
    }
  }

  #onStreamEnd(): void {
    const { tap } = this;
    if (tap === null) return this.giveUp("engine_cut", null);
    let tail: Buffer | null;
    try {
      tail = tap.finish();
    } catch (error) {
      return this.#unreadable(error);
    }
    this.#isOver = true;
    if (tail !== null) return this.#events.onStreamEnd(tail);
    if (tap.completion !== "engine_error")
      return this.#events.onTrouble({ code: "engine_cut", isCurable: true }, null, null);
    // The engine told of its own trouble. Where the caller has it already, no second error follows.
    const isTold = this.contentMs !== null && tap.holdsErrors !== true;
    this.#events.onTrouble(ENGINE_FAILED, null, isTold ? NO_BYTES : null);
  }

  #onWholeEnd(): void {
    const { requestBytes, context } = this.#job;
    const type = this.#headers["content-type"] ?? "";
    let answer: WholeAnswer | null;
    try {
      answer = this.prepared.format.readAnswer(this.#body(), requestBytes, context, type);
    } catch (error) {
      return this.#unreadable(error);
    }
    if (answer === null) return this.giveUp("engine_bad_answer", { reason: "not an answer of this dialect" });
    this.#isOver = true;
    this.contentMs = this.#host.monotonicMs();
    this.#events.onWhole(answer, this.#wholeType() ?? JSON_TYPE);
  }

  onFailure(failure: ExchangeFailure): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { phase, kind, detail } = failure;
    this.#events.onTrouble(classifyFailure(failure), { phase, kind, reason: detail }, null);
  }

  /** The dialects could not make sense of what the engine said. */
  #unreadable(error: unknown): void {
    this.giveUp("engine_bad_answer", error instanceof PosternError ? error.detail : { reason: String(error) });
  }

  #hold(chunk: Buffer, limitBytes: number): void {
    this.#heldBytes += chunk.length;
    if (this.#heldBytes > limitBytes)
      return this.giveUp("engine_bad_answer", { reason: "answer too large", limitBytes });
    this.#held.push(chunk);
  }

  #body(): Buffer {
    return Buffer.concat(this.#held, this.#heldBytes);
  }

  /** What the caller is told that a whole answer is; null when the engine's is none of the dialect. */
  #wholeType(): string | null {
    const type = this.#headers["content-type"] ?? "";
    const { format } = this.prepared;
    if (format.answerType !== undefined) return format.answerType(type);
    return type.startsWith(JSON_TYPE) ? JSON_TYPE : null;
  }
}

/**
 * Whether an answer of this type is the stream that was asked for. Ollama answers a request that only loads a model with one
 * object, stream or not: a stream of a single line, which may come long after the caller's own stream was committed.
 */
function isStreamOf(streamType: string, type: string): boolean {
  if (type.startsWith(streamType)) return true;
  return streamType === "application/x-ndjson" && type.startsWith("application/json");
}
