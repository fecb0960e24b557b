import type { LiveKey } from "../access/live-key.ts";
import type { ContingencyBook } from "../continuity/contingency-book.ts";
import type { PosternError } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import type { Exchange, ExchangeHandler, ExchangeRequest } from "../lib/exchange.ts";
import type { TargetHealths } from "../routing/target-health.ts";
import type { Ledger, OpenRecord, RequestOpened } from "../usage/record.ts";
import type { FaultInjector } from "./fault-injector.ts";
import type { KeySteps } from "./key-steps.ts";
import type { AttemptSummary, ProxyObserver } from "./observer.ts";
import { mayBegin } from "./plan-judges.ts";
import type { RelayHost, RelayResult } from "./relay-contract.ts";
import { familyOfRun, type Run } from "./run.ts";
import { settleRelayed } from "./settle.ts";
import type { Sweeper } from "./sweeper.ts";
import type { Target } from "./target.ts";
import type { Waiter, WaitingRoom } from "./waiting-room.ts";

/** The parts of the pipeline that relays need; the same for all of them. */
export interface RunHostDeps {
  clock: Clock;
  sweeper: Sweeper;
  room: WaitingRoom;
  keySteps: KeySteps;
  ledger: Ledger;
  health: TargetHealths;
  observer: ProxyObserver;
  faults: FaultInjector;
  contingency: Pick<ContingencyBook, "verdict">;
  newId: () => string;
  random: () => number;
  /** Answers with an error; nothing has been sent yet. */
  answerError(run: Run, error: PosternError, further: readonly string[]): void;
}

/** What the relay of one request asks for, done in that request's name. A class, because a closure for each method would be made for every request. */
export class RunHost implements RelayHost {
  readonly sweeper: Sweeper;
  readonly health: TargetHealths;
  readonly #deps: RunHostDeps;
  readonly #run: Run;
  /** As it was when the request went out. */
  readonly #key: LiveKey;
  readonly #opened: RequestOpened;
  readonly #waiter: Waiter | null;
  readonly #overheadMs: number;

  /**
   * @param waiter Its place among those who wait; null where it can go at once.
   * @param overheadMs Milliseconds between the whole request and its dispatch.
   */
  constructor(
    deps: RunHostDeps,
    run: Run,
    key: LiveKey,
    opened: RequestOpened,
    waiter: Waiter | null,
    overheadMs: number,
  ) {
    this.sweeper = deps.sweeper;
    this.health = deps.health;
    this.#deps = deps;
    this.#run = run;
    this.#key = key;
    this.#opened = opened;
    this.#waiter = waiter;
    this.#overheadMs = overheadMs;
  }

  monotonicMs(): number {
    return this.#deps.clock.monotonicMs();
  }

  nowMs(): number {
    return this.#deps.clock.nowMs();
  }

  newId(): string {
    return this.#deps.newId();
  }

  random(): number {
    return this.#deps.random();
  }

  mayBegin(target: Target): boolean {
    return mayBegin(target, this.#key.policy.document.workflow, this.#deps.contingency);
  }

  start(target: Target, request: ExchangeRequest, handler: ExchangeHandler): Exchange {
    const { id, model } = this.#opened;
    const subject = { requestId: id, model, workflow: this.#key.policy.document.workflow };
    return this.#deps.faults.start(target, request, handler, subject);
  }

  wait(): void {
    if (this.#waiter !== null) this.#deps.room.join(this.#waiter);
  }

  describeWait(): string {
    return this.#waiter === null ? "" : this.#deps.room.describe(this.#waiter);
  }

  open(then: () => void): OpenRecord {
    return this.#deps.ledger.open(this.#opened, then);
  }

  settle(record: OpenRecord, result: RelayResult, last: () => void): void {
    const run = this.#run;
    const opened = this.#opened;
    const costMicros = this.#deps.keySteps.settle(run, opened.model, result);
    run.reservations.release();
    this.#deps.observer.streamEnded();
    const end = run.capture === null ? last : () => this.#endCaptured(last);
    settleRelayed(this.#deps, run, opened, record, result, this.#overheadMs, costMicros, end);
  }

  refuse(error: PosternError, further: readonly string[]): void {
    this.#deps.answerError(this.#run, error, further);
  }

  failover(from: string, to: string, reason: string): void {
    this.#deps.observer.failover(from, to, reason);
  }

  attemptEnded(summary: AttemptSummary): void {
    this.#deps.observer.attemptEnded(summary);
  }

  renew(monotonicMs: number): "revoked" | null {
    return this.#deps.keySteps.renew(this.#run, monotonicMs);
  }

  addLimits(headers: string[]): void {
    this.#deps.keySteps.addHeaders(this.#run, familyOfRun(this.#run), headers);
  }

  /** The last bytes go out, and what was kept is written behind them. */
  #endCaptured(last: () => void): void {
    last();
    const { id, keyId, operation, model } = this.#opened;
    this.#run.capture?.finish({ id, keyId, operation, model }, this.#deps.clock.nowMs());
  }
}
