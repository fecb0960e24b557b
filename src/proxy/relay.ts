import type { ServerResponse } from "node:http";
import type { TimeoutConfig } from "../config/resolved.ts";
import type { AttemptFormat } from "../dialects/attempt-format.ts";
import type { AnswerContext } from "../dialects/conversation.ts";
import type { DialectCodec, StreamTap, Usage } from "../dialects/dialect.ts";
import { statusFor } from "../dialects/error-body.ts";
import { isPassableError, streamTypeOf } from "../dialects/pass-through.ts";
import { toldError } from "../dialects/told-error.ts";
import { type ErrorCode, PosternError } from "../errors.ts";
import type {
  CancelReason,
  Exchange,
  ExchangeFailure,
  ExchangeHandler,
  ExchangeHeaders,
  ExchangeRequest,
} from "../lib/exchange.ts";
import { type AttemptFailure, classifyAnswer, classifyFailure } from "../routing/classify-failure.ts";
import { planRetry } from "../routing/retry.ts";
import { pauseOf } from "../routing/retry-after.ts";
import type { TargetHealths } from "../routing/target-health.ts";
import { estimateUsage } from "../usage/estimate.ts";
import type { AttemptRecord, OpenRecord, Outcome } from "../usage/record.ts";
import { type AnswerCopy, CallerAnswer, type CallerEvents } from "./caller-answer.ts";
import { passAnswerHeaders, streamHeaders, upstreamHeaders } from "./hop-headers.ts";
import type { AttemptSummary } from "./observer.ts";
import type { PlanReasons } from "./plan-for.ts";
import { type AttemptSource, type PreparedAttempt, prepareAttempt } from "./prepare-attempt.ts";
import type { HeldBody } from "./read-body.ts";
import type { Sweeper, Watched } from "./sweeper.ts";
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
/** `Retry-After` of an engine that is too busy and does not say for how long. */
const RETRY_AFTER_SECONDS = "2";
const JSON_TYPE = "application/json";
const EVENT_STREAM = "text/event-stream";

/** Where a request may go. */
export interface RelayPlan extends PlanReasons {
  /** In the order of the plan; at least one. */
  targets: readonly Target[];
  /** The attempt to begin with. */
  first: PreparedAttempt;
}

/** Everything that is decided by the time a request may go out. */
export interface RelayJob {
  id: string;
  response: ServerResponse;
  /** Of the caller's own dialect. */
  codec: DialectCodec;
  /** The request body and what attempts are made from; dropped, and the memory given back, as soon as no retry can need it. */
  body: HeldBody;
  source: AttemptSource;
  context: AnswerContext;
  requestBytes: number;
  /** Null: it waits until a target can take it. */
  plan: RelayPlan | null;
  /** Monotonic time of the request's arrival. */
  startedMs: number;
  /** Milliseconds between the whole request and its dispatch. */
  overheadMs: number;
  timeouts: TimeoutConfig;
  /** Shown what the caller gets; null: nobody. */
  answerCopy: AnswerCopy | null;
}

/** How it ended. */
export interface RelayResult extends PlanReasons {
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
  /** Starts an exchange at the target; the one way to it, so that drills can play faults there. As `Exchanger.start`. */
  start(target: Target, request: ExchangeRequest, handler: ExchangeHandler): Exchange;
  /** The request, which has no plan, begins to wait: `go` or `turnAway` follows, unless it is stopped or its caller leaves. */
  wait(): void;
  /** What a caller can be told of the wait, in one line. */
  describeWait(): string;
  /** Notes that the request goes out; it goes out in `then`. */
  open(then: () => void): OpenRecord;
  /** Called exactly once. Whatever ends the answer is done in `last`. */
  settle(record: OpenRecord, result: RelayResult, last: () => void): void;
  /** Answers with an error's own status and body; nothing has been sent yet. */
  refuse(error: PosternError): void;
  failover(from: string, to: string, reason: string): void;
  health: TargetHealths;
  attemptEnded(summary: AttemptSummary): void;
  /** Called about every `SWEEP_MS` while the request runs. Returns why it must end, or null. */
  renew(monotonicMs: number): "revoked" | null;
  /** Adds what the caller is told of its limits to the headers of an answer (name, value, name, value, …). */
  addLimits(headers: string[]): void;
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
export class Relay implements ExchangeHandler, CallerEvents, Watched {
  /** In the sweeper. */
  place = -1;
  readonly #job: RelayJob;
  readonly #host: RelayHost;
  #record: OpenRecord | null = null;
  #format: AttemptFormat | null = null;
  #tap: StreamTap | null = null;
  /** Members that had no counterpart at the target that answers. */
  #removedFields: readonly string[] = [];
  #isBodyDropped = false;
  #exchange: Exchange | null = null;
  #target: Target | null = null;
  #kind: AnswerKind = "none";
  #status = 0;
  #headers: ExchangeHeaders = {};
  #held: Buffer[] = [];
  #heldBytes = 0;
  readonly #caller: CallerAnswer;
  #isSettled = false;
  #attemptIndex = -1;
  #attemptStartedMs = 0;
  #attemptStartedAtMs = 0;
  #lastDataMs = 0;
  #attemptBytes = 0;
  #firstTokenMs: number | null = null;
  #attempts: AttemptRecord[] = [];
  readonly #tried = new Set<string>();
  #isUsageForced = false;
  /** This attempt leaves out what the one before it was refused for. */
  #isUsageLeftOut = false;
  #plan: RelayPlan | null;

  constructor(job: RelayJob, host: RelayHost) {
    this.#job = job;
    this.#plan = job.plan;
    this.#host = host;
    this.#caller = new CallerAnswer(job.response, host.sweeper, this, job.answerCopy);
  }

  /** Starts the first attempt, or the wait for a target that it can go to. Call once. */
  start(): void {
    this.#host.sweeper.watch(this);
    this.#record = this.#host.open(() => {
      if (this.#isSettled) return;
      if (this.#plan === null) this.#host.wait();
      else this.#attempt(this.#plan.first);
    });
  }

  /** The wait is over, and this is where the request goes. */
  go(plan: RelayPlan): void {
    if (this.#isSettled || this.#plan !== null) return;
    this.#plan = plan;
    this.#attempt(plan.first);
  }

  /** The wait is over without an attempt. The caller is told in its dialect. */
  turnAway(error: PosternError): void {
    if (!this.#isSettled) this.#end(error.code, "failed", error.detail, error);
  }

  /** Other targets are asked no more. @returns Whether what runs now may go on. */
  keepTo(mayReach: (target: Target) => boolean): boolean {
    const plan = this.#plan;
    if (plan === null) return true;
    this.#plan = { ...plan, targets: plan.targets.filter(mayReach) };
    // Before the first attempt the plan says where it will go, later the attempt.
    const current = this.#attemptIndex === -1 ? plan.first.target : this.#target;
    return current === null || mayReach(current);
  }

  /** Ends the request from our side: revocation, shutdown. The caller is told in its dialect. */
  stop(code: "revoked" | "address_denied" | "shutting_down" | "deadline"): void {
    if (this.#isSettled) return;
    this.#cancel(
      code === "revoked" || code === "address_denied" ? "revoked" : code === "deadline" ? "deadline" : "shutdown",
    );
    this.#end(code, "stopped", null);
  }

  // Attempts

  #attempt(prepared: PreparedAttempt, isUsageLeftOut = false): void {
    const { target, format, request, isUsageForced, maxCostMicros } = prepared;
    this.#target = target;
    this.#format = format;
    this.#removedFields = request.removedFields;
    this.#isUsageForced = isUsageForced;
    this.#isUsageLeftOut = isUsageLeftOut;
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
    target.began();
    this.#host.health.began(target.id, this.#attemptStartedMs);
    const { path, id } = format.operation;
    const headers = upstreamHeaders(this.#job.source.facts.isStream ? format.streamType : null, request.contentType);
    Object.assign(headers, prepared.headers);
    headers["postern-operation"] = id;
    headers["postern-request"] = this.#job.id;
    this.#exchange = this.#host.start(
      target,
      { method: "POST", path, headers, body: request.body, maxCostMicros },
      this,
    );
  }

  #closeAttempt(verdict: AttemptSummary["verdict"], errorCode: ErrorCode | null): void {
    const target = this.#target;
    if (target === null) return;
    this.#target = null;
    this.#exchange = null;
    target.ended();
    this.#report(target, verdict, errorCode);
    this.#attempts.push({
      id: this.#host.newId(),
      index: this.#attemptIndex,
      target: target.backend.label,
      nodeId: target.backend.kind === "node" ? target.backend.id : null,
      engine: target.engine,
      engineModel: target.engineModel,
      startedAtMs: this.#attemptStartedAtMs,
      endedAtMs: Math.max(this.#attemptStartedAtMs, this.#host.nowMs()),
      status: this.#status,
      errorCode,
      bytesOut: this.#attemptBytes,
    });
  }

  /** What the attempt has shown of its target. */
  #report(target: Target, verdict: AttemptSummary["verdict"], code: ErrorCode | null): void {
    const { health } = this.#host;
    const nowMs = this.#host.monotonicMs();
    const firstTokenMs =
      this.#firstTokenMs === null ? null : this.#job.startedMs + this.#firstTokenMs - this.#attemptStartedMs;
    if (verdict === "ok" || verdict === "refused") health.succeeded(target.id, { firstTokenMs }, nowMs);
    else if (verdict === "failed" && code !== null)
      health.failed(target.id, code, nowMs, pauseOf(this.#status, this.#headers, this.#host.nowMs()));
    else health.abandoned(target.id);
    this.#host.attemptEnded({ target, verdict, code, firstTokenMs, durationMs: nowMs - this.#attemptStartedMs });
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
    } else if (this.#job.source.facts.isStream && this.#format !== null) {
      if (!isStreamOf(this.#format.streamType, type)) return this.#giveUp("engine_bad_answer", { contentType: type });
      this.#kind = "stream";
      if (this.#isUsageLeftOut && this.#target !== null) this.#target.isUsageRefused = true;
      this.#tap = this.#format.tap(this.#job.source.facts, this.#job.requestBytes, this.#job.context);
    } else {
      if (this.#wholeType() === null) return this.#giveUp("engine_bad_answer", { contentType: type });
      this.#kind = "whole";
    }
  }

  onData(chunk: Buffer): void {
    if (this.#isSettled) return;
    this.#lastDataMs = this.#host.sweeper.nowMs;
    this.#attemptBytes += chunk.length;
    if (this.#kind === "stream") this.#onStreamData(chunk);
    else if (this.#kind === "error") this.#hold(chunk, MAX_ERROR_BODY_BYTES);
    else this.#hold(chunk, this.#job.source.operation.canStream ? MAX_WRITTEN_ANSWER_BYTES : MAX_WHOLE_ANSWER_BYTES);
  }

  #onStreamData(chunk: Buffer): void {
    const tap = this.#tap;
    if (tap === null) return;
    let out: Buffer;
    try {
      out = tap.push(chunk);
    } catch (error) {
      return this.#unreadable(error);
    }
    if (this.#firstTokenMs !== null) {
      if (out.length > 0) this.#caller.write(out);
      return;
    }
    if (tap.completion === "engine_error" && !this.#caller.isCommitted) return this.#giveUp("engine_failed", null);
    if (!tap.hasContent) {
      if (this.#caller.isCommitted && out.length > 0) this.#caller.write(out);
      else if (out.length > 0) this.#hold(out, MAX_HELD_BYTES);
      return;
    }
    this.#firstTokenMs = this.#host.monotonicMs() - this.#job.startedMs;
    this.#dropBody();
    this.#commit();
    if (out.length > 0) this.#caller.write(out);
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
    const tail = this.#read(() => tap?.finish() ?? null);
    if (tail === undefined) return;
    if (tap === null || tail === null) {
      if (tap?.completion !== "engine_error") return this.#giveUp("engine_cut", null);
      // The engine told of its own trouble and the caller has it already: no second error, and no clean end.
      this.#closeAttempt("failed", "engine_failed");
      this.#settle("failed", "engine_failed", tap.usage(), null, () =>
        this.#caller.breakOff(null, this.#job.codec.isErrorAnEnd === true),
      );
      return;
    }
    if (!this.#caller.isCommitted) this.#commit();
    this.#closeAttempt("ok", null);
    this.#caller.bytesOut += tail.length;
    this.#settle("ok", null, tap.usage(), null, () => this.#caller.end(tail));
  }

  #onWholeEnd(): void {
    const body = Buffer.concat(this.#held, this.#heldBytes);
    const { requestBytes, context } = this.#job;
    const type = this.#headers["content-type"] ?? "";
    const answer = this.#read(() => this.#format?.readAnswer(body, requestBytes, context, type) ?? null);
    if (answer === undefined) return;
    if (answer === null) return this.#giveUp("engine_bad_answer", { reason: "not an answer of this dialect" });
    this.#firstTokenMs = this.#host.monotonicMs() - this.#job.startedMs;
    this.#respondWhole(200, answer.body, null, answer.usage, this.#wholeType() ?? JSON_TYPE);
  }

  #onErrorEnd(): void {
    const body = Buffer.concat(this.#held, this.#heldBytes);
    if (this.#retryWithoutUsage(body)) return;
    const failure = classifyAnswer(this.#status);
    if (this.#retry(failure)) return;
    this.#closeAttempt(failure.isCurable ? "failed" : "refused", failure.code);
    // The engine's own words are what its client's author needs to see.
    const type = this.#headers["content-type"] ?? "";
    if (this.#caller.isCommitted) {
      const told = isPassableError(this.#status, type, body) ? toldError(this.#status, body) : null;
      return this.#end(failure.code, "failed", { status: this.#status }, told);
    }
    const reply = this.#format?.readError(this.#status, type, body, this.#job.context) ?? null;
    if (reply === null) return this.#end(failure.code, "failed", { status: this.#status });
    this.#respondWhole(reply.status, reply.body, failure.code, NO_USAGE);
  }

  onFailure(failure: ExchangeFailure): void {
    if (this.#isSettled) return;
    this.#exchange = null;
    this.#afterFailure(classifyFailure(failure), { phase: failure.phase, kind: failure.kind, reason: failure.detail });
  }

  /** Undefined when the dialects could not make sense of what the engine said; the attempt is given up then. */
  #read<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      this.#unreadable(error);
      return undefined;
    }
  }

  // Trouble

  #unreadable(error: unknown): void {
    const detail = error instanceof PosternError ? error.detail : { reason: String(error) };
    this.#giveUp("engine_bad_answer", detail);
  }

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
    const prepared = this.#prepareNext();
    if (prepared === null) return false;
    const from = this.#target?.backend.label ?? "none";
    this.#cancel("superseded");
    this.#closeAttempt("failed", failure.code);
    this.#host.failover(from, prepared.target.backend.label, failure.code);
    this.#attempt(prepared);
    return true;
  }

  /**
   * Some servers refuse a stream that is asked for its usage, which is our doing and not the caller's: the same target is asked
   * without (reference: engine-apis §8, 1). That it answers then shows that nothing else was wrong.
   */
  #retryWithoutUsage(body: Buffer): boolean {
    const target = this.#target;
    const isRefusal = this.#status === 400 || this.#status === 422;
    if (target === null || !isRefusal || !this.#isUsageForced) return false;
    if (!/stream_options|include_usage/.test(body.toString("latin1"))) return false;
    const prepared = prepareAttempt(this.#job.source, [target], false);
    if (prepared === null) return false;
    this.#closeAttempt("refused", "engine_failed");
    this.#attempt(prepared, true);
    return true;
  }

  /** Null when no target is left that could be asked. */
  #prepareNext(): PreparedAttempt | null {
    if (this.#isBodyDropped) return null;
    const left = (this.#plan?.targets ?? []).filter((one) => !this.#tried.has(one.id) && one.canAccept());
    try {
      return prepareAttempt(this.#job.source, left);
    } catch {
      // Why it failed at the first target says more than that it cannot be said to the others.
      return null;
    }
  }

  /** @param told What the caller reads instead of the code's own wording: the engine's error, where it came after the commit. */
  #end(
    code: ErrorCode,
    outcome: Outcome,
    detail: Record<string, unknown> | null,
    told: PosternError | null = null,
  ): void {
    this.#closeAttempt(outcome === "failed" ? "failed" : "abandoned", code);
    const error = told ?? new PosternError(code, detail === null ? {} : { detail });
    if (!this.#caller.isCommitted) {
      this.#caller.status = statusFor(this.#job.source.operation.family, error);
      this.#settle(outcome, code, this.#usageSoFar(outcome), detail, () => this.#host.refuse(error));
      return;
    }
    const lastWords = this.#tap?.inBandError?.(error) ?? this.#job.codec.inBandError(error, this.#job.context);
    this.#settle(outcome, code, this.#usageSoFar(outcome), detail, () =>
      this.#caller.breakOff(lastWords, this.#job.codec.isErrorAnEnd === true),
    );
  }

  onGone(): void {
    if (this.#isSettled) return;
    this.#cancel("caller_left");
    this.#closeAttempt("abandoned", null);
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
    if (this.#caller.isCommitted) return;
    const headers = streamHeaders(streamTypeOf(this.#job.source.operation));
    this.#pushFacts(headers, this.#kind === "stream" ? this.#servedBy() : "pending");
    passAnswerHeaders(this.#headers, headers);
    this.#caller.commit(headers, this.#held);
    this.#held = [];
    this.#heldBytes = 0;
  }

  /** What the caller is told that a whole answer is; null when the engine's is none of the dialect. */
  #wholeType(): string | null {
    const type = this.#headers["content-type"] ?? "";
    if (this.#format?.answerType !== undefined) return this.#format.answerType(type);
    return type.startsWith(JSON_TYPE) ? JSON_TYPE : null;
  }

  #respondWhole(status: number, body: Buffer, code: ErrorCode | null, usage: Usage, type = JSON_TYPE): void {
    const headers = ["Content-Type", type, "Content-Length", String(body.length)];
    this.#pushFacts(headers, this.#servedBy());
    passAnswerHeaders(this.#headers, headers);
    // Engines seldom say when to come back; a server that loads its model does not either.
    if (isOverload(status) && this.#headers["retry-after"] === undefined)
      headers.push("Retry-After", RETRY_AFTER_SECONDS);
    const caller = this.#caller;
    caller.bytesOut += body.length;
    caller.isCommitted = true;
    caller.status = status;
    this.#closeAttempt("ok", null);
    this.#settle(code === null ? "ok" : "failed", code, usage, null, () => caller.whole(headers, body));
  }

  #pushFacts(headers: string[], servedBy: string): void {
    const { id, source, overheadMs } = this.#job;
    const { facts } = source;
    headers.push("X-Request-Id", id, "Request-Id", id, "X-Postern-Served-By", servedBy);
    headers.push("X-Postern-Attempts", String(this.#attemptIndex + 1), "X-Postern-Overhead-Ms", overheadMs.toFixed(2));
    const fallback = this.#plan?.fallback ?? null;
    if (fallback !== null) headers.push("X-Postern-Fallback", fallback);
    this.#host.addLimits(headers);
    const removed = [...facts.removedFields, ...this.#removedFields];
    if (removed.length + facts.clampedFields.length === 0) return;
    const clamped = facts.clampedFields
      .filter(({ name }) => !removed.includes(name))
      .map(({ name, to }) => `${name}=${to}`);
    headers.push("X-Postern-Removed-Fields", [...removed, ...clamped].join(", "));
  }

  #servedBy(): string {
    return this.#target?.backend.label ?? this.#attempts.at(-1)?.target ?? "none";
  }

  onSlow(): void {
    this.#exchange?.pause();
  }

  onTaken(): void {
    this.#lastDataMs = this.#host.sweeper.nowMs;
    this.#exchange?.resume();
  }

  // Time

  check(nowMs: number): void {
    const { timeouts, startedMs, source } = this.#job;
    const { facts } = source;
    const ended = this.#host.renew(nowMs);
    if (ended !== null) return this.stop(ended);
    if (nowMs - startedMs > timeouts.totalMs) return this.stop("deadline");
    if (this.#caller.isSlow) {
      if (nowMs - this.#caller.slowSinceMs > timeouts.callerIdleMs) this.#caller.destroy();
      return;
    }
    const firstTokenMs = firstTokenLimitMs(this.#target, facts.isStream, timeouts);
    const betweenTokensMs = betweenTokensLimitMs(this.#target, timeouts);
    if (this.#firstTokenMs === null) {
      if (this.#attemptIndex >= 0 && nowMs - this.#attemptStartedMs > firstTokenMs) {
        return this.#giveUp("engine_timeout", { limitMs: firstTokenMs }, "deadline");
      }
      if (facts.isStream && !this.#caller.isCommitted && nowMs - startedMs > timeouts.holdMs) this.#commit();
    } else if (nowMs - this.#lastDataMs > betweenTokensMs) {
      return this.#giveUp("engine_stalled", { limitMs: betweenTokensMs }, "deadline");
    }
    if (this.#caller.isCommitted && nowMs - this.#caller.lastWriteMs > timeouts.keepAliveMs)
      this.#caller.write(this.#keepAlive());
  }

  #keepAlive(): Buffer {
    const nowMs = this.#host.nowMs();
    const { codec, source } = this.#job;
    const sign = this.#tap?.keepAlive?.(nowMs) ?? codec.keepAlive(source.facts, nowMs);
    if (this.#plan !== null || streamTypeOf(source.operation) !== EVENT_STREAM) return sign;
    // A comment: readers of event streams pass over it (WHATWG HTML §9.2.6), people who watch one read it.
    return Buffer.concat([Buffer.from(`: ${this.#host.describeWait()}\n\n`), sign]);
  }

  // The end

  #dropBody(): void {
    this.#isBodyDropped = true;
    this.#job.body.release();
  }

  /**
   * What was used where no answer came to its end. An engine that had the request has read the prompt, whether or not
   * anybody waited for the answer; one that could not be reached has not.
   */
  #usageSoFar(outcome: Outcome): Usage {
    if (this.#tap !== null) return this.#tap.usage();
    if (this.#attemptIndex === -1) return NO_USAGE;
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
    this.#caller.giveSocketBack();
    this.#dropBody();
    this.#host.settle(
      this.#record,
      {
        outcome,
        status: this.#caller.status,
        errorCode,
        usage,
        timeToFirstTokenMs: this.#firstTokenMs,
        attempts: this.#attempts,
        contingency: this.#plan?.contingency ?? null,
        fallback: this.#plan?.fallback ?? null,
        servedBy: this.#attempts.at(-1)?.target ?? null,
        bytesOut: this.#caller.bytesOut,
        detail,
      },
      last,
    );
  }
}

function isOverload(status: number): boolean {
  return status === 429 || status === 503 || status === 529;
}

/**
 * Whether an answer of this type is the stream that was asked for. Ollama answers a request that only loads a model with one
 * object, stream or not: a stream of a single line, which may come long after the caller's own stream was committed.
 */
function isStreamOf(streamType: string, type: string): boolean {
  if (type.startsWith(streamType)) return true;
  return streamType === "application/x-ndjson" && type.startsWith("application/json");
}

function nothing(): void {}
