import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { TimeoutConfig } from "../config/resolved.ts";
import type { DialectCodec, RequestFacts, StreamTap, Usage } from "../dialects/dialect.ts";
import type { Operation } from "../dialects/operations.ts";
import { type ErrorCode, PosternError } from "../errors.ts";
import type { CancelReason, Exchange, ExchangeFailure, ExchangeHandler, ExchangeHeaders } from "../lib/exchange.ts";
import type { BodyScan } from "../lib/json-scan.ts";
import { type AttemptFailure, classifyAnswer, classifyFailure } from "../routing/classify-failure.ts";
import { planRetry } from "../routing/retry.ts";
import { estimateUsage } from "../usage/estimate.ts";
import type { AttemptRecord, OpenRecord, Outcome } from "../usage/record.ts";
import { frameChunk, frameEnd } from "./chunk-frame.ts";
import { EVENT_STREAM_HEADERS, passAnswerHeaders, upstreamHeaders } from "./hop-headers.ts";
import type { HeldBody } from "./read-body.ts";
import type { Sweeper, Watched } from "./sweeper.ts";
import type { Target } from "./target.ts";

/** Largest answer that is not streamed. Such an answer is held whole, so that a broken one can still be told by its status. */
export const MAX_WHOLE_ANSWER_BYTES = 64 * 1024 * 1024;
/** Most of an engine's error body that is kept and passed on. */
export const MAX_ERROR_BODY_BYTES = 64 * 1024;
/** Most that is held back of a stream before its first content. */
export const MAX_HELD_BYTES = 256 * 1024;
/** Whole answers up to this size leave in one piece with their head. */
const MAX_TEXT_BYTES = 16 * 1024;
const GIB = 1024 ** 3;

/** Everything that is decided by the time a request may go out. */
export interface RelayJob {
  id: string;
  response: ServerResponse;
  operation: Operation;
  codec: DialectCodec;
  facts: RequestFacts;
  /** The request body and its scan; dropped, and their memory given back, as soon as no retry can need them. */
  body: HeldBody;
  scan: BodyScan | null;
  requestBytes: number;
  /** In the order of the plan; at least one. */
  targets: readonly Target[];
  /** Monotonic time of the request's arrival. */
  startedMs: number;
  /** Milliseconds between the whole request and its dispatch. */
  overheadMs: number;
  timeouts: TimeoutConfig;
}

/** How it ended. */
export interface RelayResult {
  outcome: Outcome;
  status: number;
  errorCode: ErrorCode | null;
  usage: Usage;
  timeToFirstTokenMs: number | null;
  attempts: AttemptRecord[];
  servedBy: string | null;
  bytesOut: number;
  detail: Record<string, unknown> | null;
}

/** What the relay asks of its surroundings. */
export interface RelayHost {
  sweeper: Sweeper;
  monotonicMs(): number;
  nowMs(): number;
  /** A UUIDv7. */
  newId(): string;
  /** Notes that the request goes out; it goes out in `then`. */
  open(then: () => void): OpenRecord;
  /** Called exactly once. Whatever ends the answer is done in `last`. */
  settle(record: OpenRecord, result: RelayResult, last: () => void): void;
  /** Answers with an error's own status and body; nothing has been sent yet. */
  refuse(error: PosternError): void;
  failover(from: string, to: string, reason: string): void;
}

type AnswerKind = "none" | "stream" | "whole" | "error";

const NO_USAGE: Usage = { tokensIn: 0, tokensInCached: 0, tokensOut: 0, tokensReasoning: null, isEstimated: false };

/**
 * Sends one request to its targets and one answer to its caller.
 *
 * The commit rule (DESIGN §2 step 10, reference engine-apis §7.3): nothing goes to the caller until the answer is certain,
 * which is its whole body, or for a stream its first content or the end of the hold time. Until the first content byte
 * another target may still take over; after it, trouble is told in-band and the stream never gets its clean end.
 *
 * The relay owns the response, the running exchange and the body; all three are given back in `#settle`.
 */
export class Relay implements ExchangeHandler, Watched {
  /** In the sweeper. */
  place = -1;
  readonly #job: RelayJob;
  readonly #host: RelayHost;
  #record: OpenRecord | null = null;
  #tap: StreamTap | null = null;
  #exchange: Exchange | null = null;
  #target: Target | null = null;
  #kind: AnswerKind = "none";
  #status = 0;
  #headers: ExchangeHeaders = {};
  #held: Buffer[] = [];
  #heldBytes = 0;
  #isCommitted = false;
  /** Status that the caller got, or 0. */
  #callerStatus = 0;
  /** The caller's connection, once it is written to directly. */
  #socket: Socket | null = null;
  #isSettled = false;
  #isCallerSlow = false;
  #callerSlowSinceMs = 0;
  #attemptIndex = -1;
  #attemptStartedMs = 0;
  #attemptStartedAtMs = 0;
  #lastDataMs = 0;
  #lastWriteMs = 0;
  #attemptBytes = 0;
  #bytesOut = 0;
  #firstTokenMs: number | null = null;
  #attempts: AttemptRecord[] = [];
  readonly #tried = new Set<string>();

  constructor(job: RelayJob, host: RelayHost) {
    this.#job = job;
    this.#host = host;
  }

  /** Starts the first attempt. Call once. */
  start(): void {
    const { response } = this.#job;
    response.on("drain", this.#onDrain);
    response.on("close", () => this.#onCallerGone());
    this.#host.sweeper.watch(this);
    this.#record = this.#host.open(() => {
      if (!this.#isSettled) this.#attempt(this.#job.targets[0]);
    });
  }

  /** Ends the request from our side: revocation, shutdown. The caller is told in its dialect. */
  stop(code: "revoked" | "shutting_down" | "deadline"): void {
    if (this.#isSettled) return;
    this.#cancel(code === "revoked" ? "revoked" : code === "deadline" ? "deadline" : "shutdown");
    this.#end(code, "stopped", null);
  }

  // Attempts

  #attempt(target: Target | undefined): void {
    if (target === undefined) return this.#end("no_target", "failed", null);
    const { codec, scan, facts, operation } = this.#job;
    if (scan === null) return this.#end("internal", "failed", { reason: "retry without a body" });
    this.#target = target;
    this.#tried.add(target.id);
    this.#attemptIndex += 1;
    this.#kind = "none";
    this.#held = [];
    this.#heldBytes = 0;
    this.#attemptBytes = 0;
    this.#status = 0;
    this.#attemptStartedMs = this.#host.monotonicMs();
    this.#attemptStartedAtMs = this.#host.nowMs();
    this.#lastDataMs = this.#attemptStartedMs;
    const body = codec.rewrite(scan, facts, {
      model: target.engineModel,
      forceUsage: facts.isStream,
      engineKind: target.engineKind,
    });
    target.began();
    this.#exchange = target.start(
      { method: "POST", path: operation.path, headers: this.#requestHeaders(), body },
      this,
    );
  }

  #requestHeaders(): Record<string, string> {
    const headers = upstreamHeaders(this.#job.facts.isStream);
    headers["postern-operation"] = this.#job.operation.id;
    headers["postern-request"] = this.#job.id;
    return headers;
  }

  #closeAttempt(errorCode: ErrorCode | null): void {
    const target = this.#target;
    if (target === null) return;
    this.#target = null;
    this.#exchange = null;
    target.ended();
    this.#attempts.push({
      id: this.#host.newId(),
      index: this.#attemptIndex,
      target: `node/${target.nodeName}`,
      nodeId: target.nodeId,
      engine: target.engine,
      engineModel: target.engineModel,
      startedAtMs: this.#attemptStartedAtMs,
      endedAtMs: Math.max(this.#attemptStartedAtMs, this.#host.nowMs()),
      status: this.#status,
      errorCode,
      bytesOut: this.#attemptBytes,
    });
  }

  #cancel(reason: CancelReason): void {
    this.#exchange?.cancel(reason);
    this.#exchange = null;
  }

  // ExchangeHandler

  onHead(status: number, headers: ExchangeHeaders): void {
    if (this.#isSettled) return;
    this.#status = status;
    this.#headers = headers;
    this.#lastDataMs = this.#host.sweeper.nowMs;
    const type = headers["content-type"] ?? "";
    if (status >= 400 && status <= 599) {
      this.#kind = "error";
    } else if (status !== 200) {
      this.#giveUp("engine_bad_answer", { status });
    } else if (this.#job.facts.isStream) {
      if (!type.startsWith("text/event-stream")) return this.#giveUp("engine_bad_answer", { contentType: type });
      this.#kind = "stream";
      this.#tap = this.#job.codec.tap(this.#job.facts, this.#job.requestBytes);
    } else {
      if (!type.startsWith("application/json")) return this.#giveUp("engine_bad_answer", { contentType: type });
      this.#kind = "whole";
    }
  }

  onData(chunk: Buffer): void {
    if (this.#isSettled) return;
    this.#lastDataMs = this.#host.sweeper.nowMs;
    this.#attemptBytes += chunk.length;
    if (this.#kind === "stream") this.#onStreamData(chunk);
    else this.#hold(chunk, this.#kind === "error" ? MAX_ERROR_BODY_BYTES : MAX_WHOLE_ANSWER_BYTES);
  }

  #onStreamData(chunk: Buffer): void {
    const tap = this.#tap;
    if (tap === null) return;
    let out: Buffer;
    try {
      out = tap.push(chunk);
    } catch (error) {
      return this.#giveUp("engine_bad_answer", {
        reason: error instanceof Error ? error.message : "unreadable stream",
      });
    }
    if (this.#firstTokenMs !== null) {
      if (out.length > 0) this.#write(out);
      return;
    }
    if (tap.completion === "engine_error" && !this.#isCommitted) return this.#giveUp("engine_failed", null);
    if (!tap.hasContent) {
      if (this.#isCommitted && out.length > 0) this.#write(out);
      else if (out.length > 0) this.#hold(out, MAX_HELD_BYTES);
      return;
    }
    this.#firstTokenMs = this.#host.monotonicMs() - this.#job.startedMs;
    this.#dropBody();
    this.#commit();
    if (out.length > 0) this.#write(out);
  }

  onEnd(): void {
    if (this.#isSettled) return;
    switch (this.#kind) {
      case "stream":
        return this.#onStreamEnd();
      case "whole":
        return this.#onWholeEnd();
      case "error":
        return this.#onErrorEnd();
      case "none":
        return this.#giveUp("engine_bad_answer", { reason: "ended without a head" });
      default:
        this.#kind satisfies never;
    }
  }

  #onStreamEnd(): void {
    const tap = this.#tap;
    const tail = tap?.finish() ?? null;
    if (tap === null || tail === null) {
      if (tap?.completion !== "engine_error") return this.#giveUp("engine_cut", null);
      // The engine told of its own trouble and the caller has it already: no second error, and no clean end.
      this.#closeAttempt("engine_failed");
      this.#settle("failed", "engine_failed", tap.usage(), null, () => this.#breakOff(null));
      return;
    }
    if (!this.#isCommitted) this.#commit();
    this.#closeAttempt(null);
    this.#bytesOut += tail.length;
    this.#settle("ok", null, tap.usage(), null, () => this.#job.response.end(frameEnd(tail)));
  }

  #onWholeEnd(): void {
    const body = Buffer.concat(this.#held, this.#heldBytes);
    const usage = this.#job.codec.readAnswer(body, this.#job.requestBytes);
    if (usage === null) return this.#giveUp("engine_bad_answer", { reason: "not an answer of this dialect" });
    this.#firstTokenMs = this.#host.monotonicMs() - this.#job.startedMs;
    this.#respondWhole(200, body, null, usage);
  }

  #onErrorEnd(): void {
    const failure = classifyAnswer(this.#status);
    if (this.#retry(failure)) return;
    // The engine's own words are what its client's author needs to see. Except about the engine's key, which is the agent's.
    const isJson = (this.#headers["content-type"] ?? "").startsWith("application/json") && this.#heldBytes > 0;
    const isAboutOurKey = this.#status === 401 || this.#status === 403;
    if (this.#isCommitted || isAboutOurKey || !isJson)
      return this.#end(failure.code, "failed", { status: this.#status });
    const body = Buffer.concat(this.#held, this.#heldBytes);
    this.#respondWhole(this.#status, body, failure.code, NO_USAGE);
  }

  onFailure(failure: ExchangeFailure): void {
    if (this.#isSettled) return;
    this.#exchange = null;
    this.#afterFailure(classifyFailure(failure), { phase: failure.phase, kind: failure.kind, reason: failure.detail });
  }

  // Trouble

  /** The attempt is of no use: stop it, and go elsewhere where that is allowed. */
  #giveUp(code: ErrorCode, detail: Record<string, unknown> | null, reason: CancelReason = "protocol"): void {
    this.#cancel(reason);
    this.#afterFailure({ code, isCurable: true }, detail);
  }

  #afterFailure(failure: AttemptFailure, detail: Record<string, unknown> | null): void {
    if (!this.#retry(failure)) this.#end(failure.code, "failed", detail);
  }

  #retry(failure: AttemptFailure): boolean {
    const next = planRetry(failure, {
      hasContent: this.#firstTokenMs !== null,
      attempts: this.#attemptIndex + 1,
      remainingMs: this.#job.timeouts.totalMs - (this.#host.monotonicMs() - this.#job.startedMs),
    });
    if (!next) return false;
    const target = this.#job.targets.find((one) => !this.#tried.has(one.id) && one.canAccept());
    if (target === undefined) return false;
    const from = this.#target?.nodeName ?? "";
    this.#cancel("superseded");
    this.#closeAttempt(failure.code);
    this.#host.failover(`node/${from}`, `node/${target.nodeName}`, failure.code);
    this.#attempt(target);
    return true;
  }

  #end(code: ErrorCode, outcome: Outcome, detail: Record<string, unknown> | null): void {
    this.#closeAttempt(code);
    const error = new PosternError(code, detail === null ? {} : { detail });
    if (!this.#isCommitted) {
      this.#callerStatus = error.status;
      this.#settle(outcome, code, this.#usageSoFar(outcome), detail, () => this.#host.refuse(error));
      return;
    }
    const told = this.#tap?.inBandError?.(error) ?? this.#job.codec.inBandError(error);
    this.#settle(outcome, code, this.#usageSoFar(outcome), detail, () => this.#breakOff(told));
  }

  /** Ends a committed stream so that nobody takes it for complete: no terminator of the dialect, none of HTTP. */
  #breakOff(lastWords: Buffer | null): void {
    const { response } = this.#job;
    if (lastWords === null) response.destroy();
    else response.write(frameChunk(lastWords), () => response.destroy());
  }

  #onCallerGone(): void {
    if (this.#isSettled) return;
    this.#cancel("caller_left");
    this.#closeAttempt(null);
    this.#settle("aborted", null, this.#usageSoFar("aborted"), null, nothing);
  }

  // The answer

  #hold(chunk: Buffer, limitBytes: number): void {
    this.#heldBytes += chunk.length;
    if (this.#heldBytes > limitBytes)
      return this.#giveUp("engine_bad_answer", { reason: "answer too large", limitBytes });
    this.#held.push(chunk);
  }

  /** Sends the head of a stream and what was held back. After this the status cannot change any more. */
  #commit(): void {
    if (this.#isCommitted) return;
    this.#isCommitted = true;
    this.#callerStatus = 200;
    const headers = [...EVENT_STREAM_HEADERS];
    this.#pushFacts(headers, this.#kind === "stream" ? this.#servedBy() : "pending");
    passAnswerHeaders(this.#headers, headers);
    const { response } = this.#job;
    response.writeHead(200, headers);
    // The head says chunked; from here on the framing is ours (see chunk-frame.ts).
    response.chunkedEncoding = false;
    if (this.#held.length === 0) response.flushHeaders();
    for (const chunk of this.#held) this.#write(chunk);
    this.#held = [];
    this.#heldBytes = 0;
    this.#lastWriteMs = this.#host.sweeper.nowMs;
    this.#takeSocket();
  }

  /**
   * From here on chunks go to the connection itself: what the response adds to each write (corking until the next tick, and
   * state that only its own framing needs) is a tenth of what a token costs. A response that waits behind another one on
   * its connection has no socket yet, and keeps its own way.
   */
  #takeSocket(): void {
    const { socket } = this.#job.response;
    if (socket === null) return;
    this.#socket = socket;
    socket.on("drain", this.#onDrain);
  }

  /** The connection outlives this answer. Whoever writes next does it through its own response. */
  #giveSocketBack(): void {
    this.#socket?.off("drain", this.#onDrain);
    this.#socket = null;
  }

  #respondWhole(status: number, body: Buffer, code: ErrorCode | null, usage: Usage): void {
    const headers = ["Content-Type", "application/json", "Content-Length", String(body.length)];
    this.#pushFacts(headers, this.#servedBy());
    passAnswerHeaders(this.#headers, headers);
    this.#bytesOut += body.length;
    this.#isCommitted = true;
    this.#callerStatus = status;
    this.#closeAttempt(code);
    const { response } = this.#job;
    this.#settle(code === null ? "ok" : "failed", code, usage, null, () => {
      // As text, because Node sends a head and a text in one piece, a head and a buffer in two.
      if (body.length <= MAX_TEXT_BYTES) response.writeHead(status, headers).end(body.toString("latin1"), "latin1");
      else response.writeHead(status, headers).end(body);
    });
  }

  #pushFacts(headers: string[], servedBy: string): void {
    const { id, facts, overheadMs } = this.#job;
    headers.push("X-Request-Id", id, "Request-Id", id, "X-Postern-Served-By", servedBy);
    headers.push("X-Postern-Attempts", String(this.#attemptIndex + 1), "X-Postern-Overhead-Ms", overheadMs.toFixed(2));
    if (facts.removedFields.length + facts.clampedFields.length === 0) return;
    const clamped = facts.clampedFields.map(({ name, to }) => `${name}=${to}`);
    headers.push("X-Postern-Removed-Fields", [...facts.removedFields, ...clamped].join(", "));
  }

  #servedBy(): string {
    return `node/${this.#target?.nodeName ?? this.#attempts.at(-1)?.target.slice(5) ?? "none"}`;
  }

  #write(chunk: Buffer): void {
    this.#bytesOut += chunk.length;
    this.#lastWriteMs = this.#host.sweeper.nowMs;
    const framed = frameChunk(chunk);
    const isTaken = this.#socket === null ? this.#job.response.write(framed) : this.#socket.write(framed);
    if (isTaken || this.#isCallerSlow) return;
    this.#isCallerSlow = true;
    this.#callerSlowSinceMs = this.#host.sweeper.nowMs;
    this.#exchange?.pause();
  }

  readonly #onDrain = (): void => {
    if (!this.#isCallerSlow) return;
    this.#isCallerSlow = false;
    this.#lastDataMs = this.#host.sweeper.nowMs;
    this.#exchange?.resume();
  };

  // Time

  check(nowMs: number): void {
    const { timeouts, startedMs, facts } = this.#job;
    if (nowMs - startedMs > timeouts.totalMs) return this.stop("deadline");
    if (this.#isCallerSlow) {
      if (nowMs - this.#callerSlowSinceMs > timeouts.callerIdleMs) this.#job.response.destroy();
      return;
    }
    if (this.#firstTokenMs === null) {
      if (nowMs - this.#attemptStartedMs > this.#firstTokenLimitMs()) {
        return this.#giveUp("engine_timeout", { limitMs: this.#firstTokenLimitMs() }, "deadline");
      }
      if (facts.isStream && !this.#isCommitted && nowMs - startedMs > timeouts.holdMs) this.#commit();
    } else if (nowMs - this.#lastDataMs > timeouts.betweenTokensMs) {
      return this.#giveUp("engine_stalled", { limitMs: timeouts.betweenTokensMs }, "deadline");
    }
    if (this.#isCommitted && nowMs - this.#lastWriteMs > timeouts.keepAliveMs) this.#write(this.#keepAlive());
  }

  #keepAlive(): Buffer {
    const nowMs = this.#host.nowMs();
    return this.#tap?.keepAlive?.(nowMs) ?? this.#job.codec.keepAlive(this.#job.facts, nowMs);
  }

  /** A whole answer is silent until its end, so it gets the time between tokens only through the total. */
  #firstTokenLimitMs(): number {
    const { timeouts, facts } = this.#job;
    if (!facts.isStream) return timeouts.totalMs;
    if (this.#target?.isLoaded !== false) return timeouts.firstTokenMs;
    return timeouts.firstTokenColdMs + ((this.#target.sizeBytes ?? 0) / GIB) * timeouts.firstTokenColdPerGibMs;
  }

  // The end

  #dropBody(): void {
    this.#job.scan = null;
    this.#job.body.release();
  }

  /**
   * What was used where no answer came to its end. An engine that had the request has read the prompt, whether or not
   * anybody waited for the answer; one that could not be reached has not.
   */
  #usageSoFar(outcome: Outcome): Usage {
    if (this.#tap !== null) return this.#tap.usage();
    return outcome === "failed" ? NO_USAGE : estimateUsage(this.#job.requestBytes, 0);
  }

  #settle(
    outcome: Outcome,
    errorCode: ErrorCode | null,
    usage: Usage,
    detail: Record<string, unknown> | null,
    last: () => void,
  ): void {
    if (this.#isSettled || this.#record === null) return;
    this.#isSettled = true;
    this.#host.sweeper.unwatch(this);
    this.#giveSocketBack();
    this.#dropBody();
    this.#host.settle(
      this.#record,
      {
        outcome,
        status: this.#callerStatus,
        errorCode,
        usage,
        timeToFirstTokenMs: this.#firstTokenMs,
        attempts: this.#attempts,
        servedBy: this.#attempts.at(-1)?.target ?? null,
        bytesOut: this.#bytesOut,
        detail,
      },
      last,
    );
  }
}

function nothing(): void {}
