import type { WholeAnswer } from "../dialects/attempt-format.ts";
import type { StreamTap, Usage } from "../dialects/dialect.ts";
import { statusFor } from "../dialects/error-body.ts";
import { isPassableError, streamTypeOf } from "../dialects/pass-through.ts";
import { toldError } from "../dialects/told-error.ts";
import type { ErrorCode, PosternError } from "../errors.ts";
import type { CancelReason } from "../lib/exchange.ts";
import { type AttemptFailure, classifyAnswer } from "../routing/classify-failure.ts";
import type { OpenRecord, Outcome } from "../usage/record.ts";
import { AnswerHeaders } from "./answer-headers.ts";
import { Attempt } from "./attempt.ts";
import type { AttemptEvents } from "./attempt-events.ts";
import { AttemptTrail } from "./attempt-trail.ts";
import { CallerAnswer, type CallerEvents } from "./caller-answer.ts";
import { type NextAttempt, NextAttempts } from "./next-attempt.ts";
import type { PreparedAttempt } from "./prepare-attempt.ts";
import type { RelayHost, RelayJob, RelayPlan } from "./relay-contract.ts";
import { Rescue } from "./rescue.ts";
import type { Watched } from "./sweeper.ts";
import type { Target } from "./target.ts";
import { NO_USAGE, usageSoFar } from "./usage-so-far.ts";

const NOTHING_TRIED = new AttemptTrail();

/**
 * Sends one request to its targets and one answer to its caller.
 *
 * The commit rule (DESIGN §2 step 10, reference engine-apis §7.3): nothing goes to the caller until the answer is certain,
 * which is its whole body, or for a stream its first content or the end of the hold time. Until the first content byte
 * another target may still take over; after it, trouble is told in-band and the stream never gets its clean end.
 * The relay owns the response, the running attempt and the body; all three are given back in `#settle`.
 */
export class Relay implements AttemptEvents, CallerEvents, Watched {
  /** In the sweeper. */
  place = -1;
  readonly #job: RelayJob;
  readonly #host: RelayHost;
  readonly #caller: CallerAnswer;
  readonly #trail = new AttemptTrail();
  readonly #nexts: NextAttempts;
  readonly #headers: AnswerHeaders;
  readonly #rescue: Rescue | null;
  #record: OpenRecord | null = null;
  #plan: RelayPlan | null;
  #attempt: Attempt | null = null;
  /** What is tried when a wait is over, and when that is (monotonic). */
  #next: { prepared: PreparedAttempt; atMs: number } | null = null;
  /** Of the attempt that answers, or answered last. */
  #tap: StreamTap | null = null;
  #firstTokenMs: number | null = null;
  #isSettled = false;

  constructor(job: RelayJob, host: RelayHost) {
    this.#job = job;
    this.#plan = job.plan;
    this.#host = host;
    this.#headers = new AnswerHeaders(job, host, this.#trail);
    this.#rescue = Rescue.begin(job);
    this.#nexts = new NextAttempts(job, host, this.#trail, this.#rescue);
    this.#caller = new CallerAnswer(job.response, host.sweeper, this, job.answerCopy);
  }

  /** Starts the first attempt, or the wait for a target that it can go to. Call once. */
  start(): void {
    this.#host.sweeper.watch(this);
    this.#record = this.#host.open(() => {
      if (this.#isSettled) return;
      if (this.#plan === null) this.#host.wait();
      else this.#try(this.#plan.first);
    });
  }

  /** The wait is over, and this is where the request goes. */
  go(plan: RelayPlan): void {
    if (this.#isSettled || this.#plan !== null) return;
    this.#plan = plan;
    this.#try(plan.first);
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
    this.#nexts.targets = this.#plan.targets;
    // Before the first attempt the plan says where it will go, in a wait what comes after it, later the attempt.
    const current = this.#next?.prepared.target ?? this.#attempt?.target ?? plan.first.target;
    return mayReach(current);
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

  #try(prepared: PreparedAttempt): void {
    this.#next = null;
    this.#nexts.targets = this.#plan?.targets ?? [];
    const { source, requestBytes, context } = this.#job;
    const attempt = new Attempt(prepared, this.#trail.count, this.#job, this.#host, this, ({ format }) => {
      this.#tap = this.#rescue?.tap(prepared) ?? format.tap(source.facts, requestBytes, context);
      return this.#tap;
    });
    this.#trail.began(prepared.target);
    this.#attempt = attempt;
    attempt.start();
  }

  /** After a wait, in which contingency may have come. */
  #tryAgain(prepared: PreparedAttempt): void {
    const allowed = this.#host.mayBegin(prepared.target) ? prepared : this.#nexts.instead();
    if (allowed !== null) return this.#try(allowed);
    this.#next = null;
    this.#end("contingency", "failed", null);
  }

  #cancel(reason: CancelReason): void {
    this.#attempt?.cancel(reason);
    this.#next = null;
  }

  #close(verdict: "ok" | "refused" | "failed" | "abandoned", code: ErrorCode | null): void {
    if (this.#attempt !== null) this.#trail.close(this.#attempt, verdict, code);
  }

  // What the attempt tells

  onPrelude(): void {
    if (this.#caller.isCommitted) this.#writeHeld();
  }

  onContent(out: Buffer): void {
    if (this.#firstTokenMs === null) {
      this.#firstTokenMs = this.#host.monotonicMs() - this.#job.startedMs;
      if (this.#rescue === null) this.#job.body.release();
      if (this.#caller.isCommitted) this.#writeHeld();
      else this.#commit();
    }
    if (out.length > 0) this.#caller.write(out);
  }

  onStreamEnd(tail: Buffer): void {
    if (this.#isSettled) return;
    if (!this.#caller.isCommitted) this.#commit();
    this.#close("ok", null);
    this.#caller.bytesOut += tail.length;
    this.#settle("ok", null, this.#usageSoFar("ok"), null, () => this.#caller.end(tail));
  }

  onWhole(answer: WholeAnswer, type: string): void {
    this.#firstTokenMs = this.#host.monotonicMs() - this.#job.startedMs;
    this.#close("ok", null);
    this.#respondWhole(200, answer.body, null, answer.usage, type);
  }

  onErrorAnswer(status: number, type: string, body: Buffer): void {
    const failure = classifyAnswer(status);
    const attempt = this.#attempt;
    if (attempt === null || this.#firstTokenMs !== null) return this.onTrouble(failure, { status }, null);
    if (this.#goOn(this.#nexts.otherwise(attempt, status, body) ?? this.#nexts.after(attempt, failure))) return;
    this.#close(failure.isCurable ? "failed" : "refused", failure.code);
    if (failure.isCurable && this.#trail.failedTargets > 1) return this.#end(failure.code, "failed", { status });
    // The engine's own words are what its client's author needs to see.
    if (this.#caller.isCommitted) {
      const told = isPassableError(status, type, body) ? toldError(status, body) : null;
      return this.#end(failure.code, "failed", { status }, told);
    }
    const reply = attempt.prepared.format.readError(status, type, body, this.#job.context);
    if (reply === null) return this.#end(failure.code, "failed", { status });
    this.#respondWhole(reply.status, reply.body, failure.code, NO_USAGE, "application/json");
  }

  onTrouble(failure: AttemptFailure, detail: Record<string, unknown> | null, lastWords: Buffer | null): void {
    if (this.#goOn(this.#afterTrouble(failure, detail))) return;
    if (lastWords === null || !this.#caller.isCommitted) return this.#end(failure.code, "failed", detail);
    this.#close("failed", failure.code);
    this.#settle("failed", failure.code, this.#usageSoFar("failed"), detail, () =>
      this.#caller.breakOff(lastWords.length > 0 ? lastWords : null, this.#job.codec.isErrorAnEnd === true),
    );
  }

  // Going on

  #afterTrouble(failure: AttemptFailure, detail: Record<string, unknown> | null): NextAttempt | null {
    const attempt = this.#attempt;
    if (attempt === null) return null;
    if (this.#firstTokenMs === null) return this.#nexts.after(attempt, failure);
    return this.#nexts.goingOn(attempt, failure.code, detail, this.#tap);
  }

  /** @returns Whether there is something to go on with. */
  #goOn(next: NextAttempt | null): boolean {
    const from = this.#attempt?.target;
    if (next === null || from === undefined) return false;
    const { prepared, waitMs, verdict, code } = next;
    this.#close(verdict, code);
    if (prepared.target.id !== from.id) this.#host.failover(from.backend.label, prepared.target.backend.label, code);
    this.#attempt = null;
    if (this.#firstTokenMs === null) this.#tap = null;
    if (waitMs <= 0) this.#try(prepared);
    else this.#next = { prepared, atMs: this.#host.monotonicMs() + waitMs };
    return true;
  }

  // The answer

  /** Sends the head of a stream and what was held back. After this the status cannot change any more. */
  #commit(): void {
    if (this.#caller.isCommitted) return;
    const attempt = this.#attempt;
    const headers = this.#headers.ofStream(attempt, this.#plan);
    this.#caller.commit(headers, attempt?.isStreaming === true ? attempt.takeHeld() : []);
  }

  #writeHeld(): void {
    for (const chunk of this.#attempt?.takeHeld() ?? []) this.#caller.write(chunk);
  }

  #respondWhole(status: number, body: Buffer, code: ErrorCode | null, usage: Usage, type: string): void {
    const headers = this.#headers.ofWhole(this.#attempt, this.#plan, status, type, body.length);
    const caller = this.#caller;
    caller.bytesOut += body.length;
    caller.isCommitted = true;
    caller.status = status;
    this.#settle(code === null ? "ok" : "failed", code, usage, null, () => caller.whole(headers, body));
  }

  onSlow(): void {
    this.#attempt?.pause();
  }

  onTaken(): void {
    this.#attempt?.resume();
  }

  onGone(): void {
    if (this.#isSettled) return;
    this.#cancel("caller_left");
    this.#close("abandoned", null);
    this.#settle("aborted", null, this.#usageSoFar("aborted"), null, () => {});
  }

  // Time

  check(nowMs: number): void {
    const { timeouts, startedMs, source } = this.#job;
    const ended = this.#host.renew(nowMs);
    if (ended !== null) return this.stop(ended);
    if (nowMs - startedMs > timeouts.totalMs) return this.stop("deadline");
    if (this.#caller.isSlow) {
      if (nowMs - this.#caller.slowSinceMs > timeouts.callerIdleMs) this.#caller.destroy();
      return;
    }
    if (this.#next !== null && nowMs >= this.#next.atMs) this.#tryAgain(this.#next.prepared);
    if (this.#isSettled) return;
    const overdue = this.#attempt?.overdue(nowMs, this.#firstTokenMs !== null) ?? null;
    if (overdue !== null) return this.#attempt?.giveUp(overdue.code, { limitMs: overdue.limitMs }, "deadline");
    const isHeld = source.facts.isStream && !this.#caller.isCommitted && this.#firstTokenMs === null;
    if (isHeld && nowMs - startedMs > timeouts.holdMs) this.#commit();
    if (this.#caller.isCommitted && nowMs - this.#caller.lastWriteMs > timeouts.keepAliveMs)
      this.#caller.write(this.#keepAlive());
  }

  #keepAlive(): Buffer {
    const nowMs = this.#host.nowMs();
    const { codec, source } = this.#job;
    const sign = this.#tap?.keepAlive?.(nowMs) ?? codec.keepAlive(source.facts, nowMs);
    if (this.#plan !== null || streamTypeOf(source.operation) !== "text/event-stream") return sign;
    // A comment: readers of event streams pass over it (WHATWG HTML §9.2.6), people who watch one read it.
    return Buffer.concat([Buffer.from(`: ${this.#host.describeWait()}\n\n`), sign]);
  }

  // The end

  /** @param told What the caller reads instead of the code's own wording: the engine's error, where it came after the commit. */
  #end(
    code: ErrorCode,
    outcome: Outcome,
    detail: Record<string, unknown> | null,
    told: PosternError | null = null,
  ): void {
    this.#close(outcome === "failed" ? "failed" : "abandoned", code);
    const loss = this.#rescue?.loss ?? null;
    if (outcome === "failed" && loss !== null && loss.code !== code) return this.#end(loss.code, outcome, loss.detail);
    const isOfTargets = outcome === "failed" && this.#firstTokenMs === null;
    const error = told ?? (isOfTargets ? this.#trail : NOTHING_TRIED).error(code, detail);
    const recorded = told === null ? error.code : code;
    if (!this.#caller.isCommitted) {
      this.#caller.status = statusFor(this.#job.source.operation.family, error);
      const headers = this.#headers.ofError();
      return this.#settle(outcome, recorded, this.#usageSoFar(outcome), detail, () =>
        this.#host.refuse(error, headers),
      );
    }
    const lastWords = this.#tap?.inBandError?.(error) ?? this.#job.codec.inBandError(error, this.#job.context);
    this.#settle(outcome, recorded, this.#usageSoFar(outcome), detail, () =>
      this.#caller.breakOff(lastWords, this.#job.codec.isErrorAnEnd === true),
    );
  }

  #usageSoFar(outcome: Outcome): Usage {
    return usageSoFar(this.#tap, outcome, this.#trail.count, this.#job.requestBytes);
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
    this.#job.body.release();
    const { records } = this.#trail;
    this.#host.settle(
      this.#record,
      {
        outcome,
        status: this.#caller.status,
        errorCode,
        usage,
        timeToFirstTokenMs: this.#firstTokenMs,
        attempts: records,
        contingency: this.#plan?.contingency ?? null,
        fallback: outcome === "ok" && this.#rescue?.loss ? "rescued" : (this.#plan?.fallback ?? null),
        servedBy: records.at(-1)?.target ?? null,
        bytesOut: this.#caller.bytesOut,
        detail,
      },
      last,
    );
  }
}
