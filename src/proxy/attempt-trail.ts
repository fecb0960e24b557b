import { type ErrorCode, PosternError } from "../errors.ts";
import type { AttemptRecord } from "../usage/record.ts";
import type { Attempt } from "./attempt.ts";
import type { AttemptSummary } from "./observer.ts";
import type { Target } from "./target.ts";

/** What became of an attempt, for its caller: no hosts, no addresses. Codes without words of their own are "failed". */
const REASONS: Partial<Record<ErrorCode, string>> = {
  engine_unreachable: "could not be reached",
  engine_refused: "is at its limit",
  engine_timeout: "gave no answer in time",
  engine_stalled: "stopped in the middle of its answer",
  engine_cut: "broke off its answer",
  engine_bad_answer: "gave an answer that is not acceptable",
  engine_denied: "did not accept the credentials that it was asked with",
  link_lost: "lost its connection",
  agent_denied: "refused the request",
};

interface Failure {
  target: Target;
  code: ErrorCode;
  pauseMs: number | null;
}

/** What has been tried for one request, and why it went on. */
export class AttemptTrail {
  readonly records: AttemptRecord[] = [];
  readonly #tried: Target[] = [];
  readonly #failures: Failure[] = [];
  #firstReason: { target: Target; code: ErrorCode } | null = null;

  /** Attempts that have begun. */
  get count(): number {
    return this.#tried.length;
  }

  /** An attempt begins. */
  began(target: Target): void {
    this.#tried.push(target);
  }

  /** Attempts that have begun at the target. */
  triesOf(target: Target): number {
    return this.#tried.filter((one) => one.id === target.id).length;
  }

  hasTried(target: Target): boolean {
    return this.#tried.some((one) => one.id === target.id);
  }

  /** Closes an attempt. Does nothing where it is closed already. */
  close(attempt: Attempt, verdict: AttemptSummary["verdict"], code: ErrorCode | null): void {
    const record = attempt.close(verdict, code);
    if (record === null) return;
    this.records.push(record);
    if (code !== null && verdict !== "abandoned") this.#firstReason ??= { target: attempt.target, code };
    if (verdict === "failed" && code !== null)
      this.#failures.push({ target: attempt.target, code, pauseMs: attempt.pauseMs });
  }

  /** Why `target` answers and not the one that was asked first; null where it was the first. */
  fallbackReason(target: Target | null): ErrorCode | null {
    const first = this.#firstReason;
    return first === null || target === null || first.target.id === target.id ? null : first.code;
  }

  /** How many targets have failed, each counted once. */
  get failedTargets(): number {
    return new Set(this.#failures.map(({ target }) => target.id)).size;
  }

  /**
   * What the caller is told where nothing is left to try: one failed target's own trouble, or that all of several failed, and
   * why each of them did.
   */
  error(code: ErrorCode, detail: Record<string, unknown> | null): PosternError {
    const targets = new Map<string, Failure>();
    for (const failure of this.#failures) targets.set(failure.target.id, failure);
    if (targets.size < 2) return new PosternError(code, detail === null ? {} : { detail });
    const failures = [...targets.values()];
    const reasons = failures.map((one) => `${one.target.backend.label} ${REASONS[one.code] ?? "failed"}`);
    const pauses = failures.flatMap(({ pauseMs }) => (pauseMs === null ? [] : [pauseMs]));
    return new PosternError("all_targets_failed", {
      message: `None of the ${failures.length} inference servers that were asked could answer: ${reasons.join("; ")}`,
      detail: { ...detail, codes: failures.map((one) => one.code) },
      ...(pauses.length === 0 ? {} : { retryAfterSeconds: Math.ceil(Math.min(...pauses) / 1000) }),
    });
  }
}
