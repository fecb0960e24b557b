import type { TimeoutConfig } from "../config/resolved.ts";
import type { AnswerContext } from "../dialects/conversation.ts";
import type { DialectCodec, Usage } from "../dialects/dialect.ts";
import type { ErrorCode, PosternError } from "../errors.ts";
import type { HttpResponse } from "../http1/response.ts";
import type { Exchange, ExchangeHandler, ExchangeRequest } from "../lib/exchange.ts";
import type { TargetHealths } from "../routing/target-health.ts";
import type { AttemptRecord, OpenRecord, Outcome } from "../usage/record.ts";
import type { AnswerCopy } from "./caller-answer.ts";
import type { AttemptSummary } from "./observer.ts";
import type { PlanReasons } from "./plan-in-contingency.ts";
import type { AttemptSource, PreparedAttempt } from "./prepare-attempt.ts";
import type { HeldBody } from "./read-body.ts";
import type { Sweeper } from "./sweeper.ts";
import type { Target } from "./target.ts";

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
  response: HttpResponse;
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
  /** Most attempts, the first included. */
  maxAttempts: number;
  /** Another target goes on with a stream that breaks off, where it can. */
  isRescued: boolean;
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
  /** From 0 to 1: spreads waits, so that many requests that fail together do not come back together. */
  random(): number;
  /** Whether a further attempt may begin there: contingency may have come since the plan was made. */
  mayBegin(target: Target): boolean;
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
  /** Answers with an error's own status and body; nothing has been sent yet. @param further Headers (name, value, name, value, …). */
  refuse(error: PosternError, further: readonly string[]): void;
  failover(from: string, to: string, reason: string): void;
  health: TargetHealths;
  attemptEnded(summary: AttemptSummary): void;
  /** Called about every `SWEEP_MS` while the request runs. Returns why it must end, or null. */
  renew(monotonicMs: number): "revoked" | null;
  /** Adds what the caller is told of its limits to the headers of an answer (name, value, name, value, …). */
  addLimits(headers: string[]): void;
}
