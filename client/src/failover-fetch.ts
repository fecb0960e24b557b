import { type AttemptTools, attempt, type Failed } from "./attempt.ts";
import { Breaker, type BreakerState, type Trial } from "./breaker.ts";
import { type CallerRequest, readCallerRequest } from "./caller-request.ts";
import { checkOptions } from "./check-options.ts";
import { systemClock } from "./clock.ts";
import { Contingency } from "./contingency.ts";
import { type AttemptFailure, allFailed, FailoverError, type FailureReason } from "./failover-error.ts";
import type { FailoverOptions } from "./options.ts";
import { pickTarget, type TargetState } from "./pick-target.ts";
import { serveAnswer } from "./serve-answer.ts";
import { doesModelLeave } from "./target-request.ts";

/** Has the shape of `fetch`, as the `fetch` option of the SDKs wants it. */
export type Fetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>;

/** What is known about a target. */
export interface TargetStatus {
  target: string;
  locality: "own" | "cloud";
  breaker: BreakerState;
  /** Milliseconds until an open breaker lets a request through; 0 otherwise. */
  retryInMs: number;
}

/** A `fetch` that asks one target after the other. */
export interface FailoverFetch extends Fetch {
  /** The same without the cloud targets: it does not know them. Shares what is known about the others. */
  readonly localOnly: Fetch;
  /** Takes the cloud out, and back in, while the program runs. */
  readonly contingency: Contingency;
  /** What is known about each target, in order. */
  status(): TargetStatus[];
  /** Takes the word of a health check: `false` opens the target's breaker at once, `true` closes it. */
  reportHealth(target: string, isHealthy: boolean): void;
}

/** A connection that took this long to fail cost its caller a wait. */
const COSTLY_FAILURE_MS = 1000;
const WAITED_FOR: readonly FailureReason[] = ["first_token_late", "answer_late", "stalled"];

/**
 * Makes a `fetch` that sends a request to the first of several targets that can answer it.
 *
 * Another target is asked only while nothing of an answer has reached the caller, and only after a failure that another could
 * cure: no connection, 5xx, 408, 425, 429, too late, cut, redirect. Whatever else is answered is the answer.
 *
 * The fetch rejects with a {@link FailoverError} (`all_failed`, `no_target`, `bad_request`), or with the reason of the
 * caller's signal; a stream that breaks after its beginning gives its reader `stream_broken`.
 *
 * @throws FailoverError `bad_options` with every fault.
 */
export function createFailoverFetch(options: FailoverOptions): FailoverFetch {
  const { clock = systemClock, random = Math.random } = options;
  const { targets, callerBaseUrls } = checkOptions(options);
  const tools: AttemptTools = { clock, send: options.fetch ?? ((url, init) => fetch(url, init)) };
  const contingency = new Contingency(clock);
  const states = targets
    .filter(({ isOwn }) => isOwn || options.localOnly !== true)
    .map((target): TargetState => ({ target, breaker: new Breaker(clock, random) }));
  const ownStates = states.filter(({ target }) => target.isOwn);
  const read = (input: string | URL | Request, init: RequestInit) =>
    readCallerRequest(input, init, callerBaseUrls, options.forwardHeaders ?? []);

  const serveLocally = (request: CallerRequest) => serve(ownStates, request, true);
  const failoverFetch: Fetch = async (input, init = {}) => {
    const request = await read(input, init);
    return options.localOnly === true || request.isLocalOnly ? serveLocally(request) : serve(states, request, false);
  };
  return Object.assign(failoverFetch, {
    localOnly: (async (input, init = {}) => serveLocally(await read(input, init))) satisfies Fetch,
    contingency,
    status: () =>
      states.map(
        ({ target, breaker }): TargetStatus => ({
          target: target.name,
          locality: target.isOwn ? "own" : "cloud",
          breaker: breaker.state,
          retryInMs: breaker.retryInMs,
        }),
      ),
    reportHealth: (name: string, isHealthy: boolean) => {
      const state = states.find(({ target }) => target.name === name);
      if (state === undefined)
        throw new FailoverError("bad_options", `Cannot report health: no target is called "${name}"`);
      state.breaker.report(isHealthy);
    },
  });

  /** @param allowed The only targets that this request can reach; of a local-only one, its own alone. */
  async function serve(
    allowed: readonly TargetState[],
    request: CallerRequest,
    isLocalOnly: boolean,
  ): Promise<Response> {
    request.signal?.throwIfAborted();
    const startedMs = clock.monotonicMs();
    const tried: TargetState[] = [];
    const failures: AttemptFailure[] = [];
    for (;;) {
      const { next, skipped } = pickTarget(allowed, {
        tried,
        isContingency: contingency.isOn,
        doesLeave: (target) => isLocalOnly && doesModelLeave(target, request),
      });
      if (next === null) throw allFailed(failures, skipped);
      tried.push(next);
      const attemptedMs = clock.monotonicMs();
      const trial = next.breaker.begin();
      const { target } = next;
      const result = await attempt(target, request, isLocalOnly, tools).catch((error: unknown) => {
        trial.left();
        throw error;
      });
      if (result.kind === "failed") {
        if (result.fault.reason === "caller_left") {
          trial.left();
          throw request.signal?.reason;
        }
        failures.push(note(target.name, result, clock.monotonicMs() - attemptedMs, trial));
        continue;
      }
      trial.answered();
      const status = result.response.status;
      tell(options.onServed, {
        target: target.name,
        locality: target.isOwn ? "own" : "cloud",
        status,
        failed: [...failures],
        isContingency: contingency.isOn,
        isLocalOnly,
        elapsedMs: clock.monotonicMs() - startedMs,
      });
      const facts = { target: target.name, attempts: tried.length, idleMs: target.times.idleMs };
      return serveAnswer(result, facts, {
        ended: trial.ended,
        left: trial.left,
        broke: (fault) => {
          if (fault.reason === "caller_left") {
            trial.left();
            return request.signal?.reason;
          }
          const late: Failed = { kind: "failed", fault, status, retryAfterMs: null };
          const failure = note(target.name, late, clock.monotonicMs() - attemptedMs, trial);
          return new FailoverError("stream_broken", `The answer of ${target.name} broke off: ${failure.reason}`, {
            attempts: [...failures, failure],
          });
        },
      });
    }
  }

  function note(
    target: string,
    { fault, status, retryAfterMs }: Failed,
    elapsedMs: number,
    trial: Trial,
  ): AttemptFailure {
    const reason: FailureReason = fault.reason === "caller_left" ? "cut" : fault.reason;
    const opensNow = WAITED_FOR.includes(reason) || (reason === "unreachable" && elapsedMs >= COSTLY_FAILURE_MS);
    trial.failed({ opensNow, forMs: retryAfterMs });
    const failure: AttemptFailure = { target, reason, status, systemCode: fault.systemCode, elapsedMs, retryAfterMs };
    tell(options.onFailedAttempt, failure);
    return failure;
  }
}

/** A callback is for looking on; what it throws must not cost the caller an answer. */
function tell<T>(callback: ((fact: T) => void) | undefined, fact: T): void {
  try {
    callback?.(fact);
  } catch {
    // Documented: ignored.
  }
}
