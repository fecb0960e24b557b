import { ContinuedAnswer } from "../dialects/continued-answer.ts";
import type { StreamTap } from "../dialects/dialect.ts";
import type { ErrorCode } from "../errors.ts";
import type { Attempt } from "./attempt.ts";
import type { PreparedAttempt } from "./prepare-attempt.ts";
import type { RelayJob } from "./relay-contract.ts";
import type { Target } from "./target.ts";

/** Most targets that are asked to go on with one answer. */
const MAX_RESCUES = 3;

/** How the answer broke off that is being rescued. */
export interface Loss {
  code: ErrorCode;
  detail: Record<string, unknown> | null;
}

/**
 * The rescue of a stream that breaks off after content: another target of the model goes on with the text that the caller has
 * (opt-in by model, B-13). Where none does, the caller is told how the answer broke off, never why nobody went on.
 */
export class Rescue {
  readonly #job: RelayJob;
  readonly #answer: ContinuedAnswer;
  /** Null while nothing has broken off. */
  loss: Loss | null = null;
  #count = 0;

  private constructor(job: RelayJob, answer: ContinuedAnswer) {
    this.#job = job;
    this.#answer = answer;
  }

  /** Null where the model's operator does not want it, or the request asks for more than plain text. */
  static begin(job: RelayJob): Rescue | null {
    if (!job.isRescued) return null;
    const { operation, scan, facts } = job.source;
    const answer = ContinuedAnswer.begin(operation.id, scan, facts, job.requestBytes, job.context);
    return answer === null ? null : new Rescue(job, answer);
  }

  /** Reads the stream of an attempt, so that it can be gone on with. */
  tap({ format }: PreparedAttempt): StreamTap | null {
    return this.#answer.tap(format.operation.id);
  }

  /**
   * The attempt that goes on; null where there is none.
   *
   * @param targets Those that may be tried, in the order of the plan.
   */
  next(attempt: Attempt, loss: Loss, tap: StreamTap | null, targets: readonly Target[]): PreparedAttempt | null {
    // An attempt without content of its own has lost nothing: the loss before it is what counts.
    if (attempt.contentMs !== null || this.loss === null) this.loss = loss;
    if (this.#count >= MAX_RESCUES || !this.#answer.canContinue || tap === null) return null;
    const usage = tap.usage();
    for (const target of targets) {
      const prepared = this.#prepare(target, tap);
      if (prepared === null) continue;
      this.#count += 1;
      this.#answer.continues(usage);
      return prepared;
    }
    return null;
  }

  #prepare(target: Target, tap: StreamTap): PreparedAttempt | null {
    const { source } = this.#job;
    const format = source.formatFor(source.operation.id, target.operations);
    if (format === null) return null;
    const { engineKind: kind, engineModel: model } = target;
    const request = this.#answer.encode({ operationId: format.operation.id, kind, model }, tap.usage());
    if (request === null) return null;
    const maxCostMicros = target.backend.kind === "provider" ? source.mostMicros(target) : 0;
    return { target, format, request, isUsageForced: false, headers: {}, maxCostMicros };
  }
}
