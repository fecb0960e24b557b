import { authorise } from "../access/authorise.ts";
import { hasRates, type KeyLimits, type Moment } from "../access/key-limits.ts";
import type { Keyring } from "../access/keyring.ts";
import type { LiveKey } from "../access/live-key.ts";
import type { LimitConfig, TimeoutConfig } from "../config/resolved.ts";
import type { RequestFacts } from "../dialects/dialect.ts";
import type { Family } from "../dialects/error-body.ts";
import { estimateTokens } from "../dialects/estimate-tokens.ts";
import { limitHeaders } from "../dialects/limit-headers.ts";
import { type ErrorCode, PosternError } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import type { BodyScan } from "../lib/json-scan.ts";
import type { Prices } from "../usage/price.ts";
import { certificateHashOf } from "./caller-certificate.ts";
import { endByKey, endByTime } from "./recheck.ts";
import type { RelayResult } from "./relay-contract.ts";
import { policiesOf, type Run } from "./run.ts";
import type { CatalogueEntry, Target } from "./target.ts";

export interface KeyStepsDeps {
  clock: Clock;
  keyring: Keyring;
  keyLimits: KeyLimits;
  prices: Prices;
  limits: LimitConfig;
  timeouts: TimeoutConfig;
}

/** Whether the policies of key, endpoint and caller let a request reach a target. */
function mayGo(run: Run, target: Target): boolean {
  const policies = policiesOf(run);
  const mayLeave = run.head?.isLocalOnly !== true && policies.every((policy) => policy.mayLeave);
  return (mayLeave || !target.leaves) && policies.every((policy) => policy.mayReach(target));
}

/** Where a target is, as prices name it. */
function placeOf({ backend, engineModel }: Target): string {
  return `${backend.label}/${engineModel}`;
}

/** What a key without money left is told. */
const BUDGET_CODES: ReadonlySet<string> = new Set<ErrorCode>(["budget_spent", "budget_reserved"]);

function budgetOf(error: PosternError | null): string | null {
  const name = error?.detail?.["budget"];
  return typeof name === "string" ? name : null;
}

/** What answers of the gateway's own use. */
const NOTHING = { tokens: 0, costMicros: 0 };

/** Time that a body takes besides its reading: its head before, turns of the event loop after. */
const BODY_SLACK_MS = 60_000;

/** The steps that ask the key: what its policy allows, and what its limits leave. */
export class KeySteps {
  readonly #deps: KeyStepsDeps;

  readonly #end: (run: Run, why: "revoked") => void;

  /** @param end Ends a request that its key does not allow any more. */
  constructor(deps: KeyStepsDeps, end: (run: Run, why: "revoked") => void) {
    this.#deps = deps;
    this.#end = end;
  }

  /** Step 4, and again for a running request whenever its key changes. Throws what `authorise` throws. */
  authorise(run: Run, key: LiveKey): void {
    const { operation, endpoint, head, origin } = run;
    if (operation === null || endpoint === null || head === null) throw new PosternError("internal");
    authorise(key.policy, {
      endpoint: endpoint.name,
      address: origin.address,
      operation,
      isPinned: head.node !== null,
      certificateHash: () => certificateHashOf(run.request.socket),
    });
  }

  /** Step 5: the request is counted, as of when it came, and ends when the key no longer allows it. Throws what `KeyLimits.admit` throws. */
  admit(run: Run, key: LiveKey, arrival: Moment): void {
    const { keyLimits, keyring, limits, timeouts } = this.#deps;
    const bodyMs = timeouts.requestBodyMs + BODY_SLACK_MS;
    const admission = keyLimits.admit(key.id, key.policy.limits, limits.requestsPerKey, bodyMs, arrival);
    run.admission = admission;
    run.reservations.add(() => admission.cancel());
    run.reservations.add(keyring.watch(key.id, (changed) => this.#onChange(run, changed)));
  }

  /**
   * Step 8: what the request may use at most is taken out of its key's limits. Where the money does not reach and a target costs
   * nothing, the request goes on for such targets alone (`run.unaffordable`). Throws what `Admission.reserve` throws.
   */
  reserve(run: Run, scan: BodyScan, facts: RequestFacts, { name, targets }: CatalogueEntry): void {
    const { admission, operation } = run;
    if (admission === null || operation === null) throw new PosternError("internal");
    const moment = this.#moment();
    if (!admission.needsAmount) return admission.reserve(NOTHING, moment);
    const { tokensIn, tokensOut } = estimateTokens(scan, facts, operation);
    const most = { tokensIn, tokensInCached: 0, tokensOut };
    // Where it will be answered is not known yet: at the dearest that it may reach.
    let dearest = 0;
    let cheapest = Number.POSITIVE_INFINITY;
    for (const target of targets) {
      if (!mayGo(run, target)) continue;
      const costMicros = this.#deps.prices.costOf(name, placeOf(target), most);
      dearest = Math.max(dearest, costMicros);
      cheapest = Math.min(cheapest, costMicros);
    }
    const tokens = tokensIn + tokensOut;
    try {
      admission.reserve({ tokens, costMicros: dearest }, moment);
    } catch (error) {
      if (dearest === 0 || cheapest > 0 || !(error instanceof PosternError) || !BUDGET_CODES.has(error.code))
        throw error;
      admission.reserve({ tokens, costMicros: 0 }, moment);
      run.unaffordable = error;
    }
    run.softBudget = budgetOf(run.unaffordable) ?? admission.softEdge(moment.nowMs)?.name ?? null;
  }

  /** What a request may cost at most at one target, in micro-dollars; null: it has no price there. */
  mostMicros({ operation }: Run, scan: BodyScan, facts: RequestFacts, model: string, target: Target): number | null {
    const { prices } = this.#deps;
    const place = placeOf(target);
    if (operation === null || prices.find(model, place) === null) return null;
    return prices.costOf(model, place, { ...estimateTokens(scan, facts, operation), tokensInCached: 0 });
  }

  /** A request that runs says so. Returns why it must end: its key, or the secret that it came with, is not good any more. */
  renew(run: Run, monotonicMs: number): "revoked" | null {
    run.admission?.renew(monotonicMs);
    return endByTime(run, this.#deps.clock.nowMs());
  }

  /** Step 11: books what was used. What was never sent to anybody costs nothing. @returns What it cost, in micro-dollars. */
  settle(run: Run, model: string, { usage, attempts }: Pick<RelayResult, "usage" | "attempts">): number {
    const last = attempts.at(-1);
    const place = last === undefined ? null : `${last.target}/${last.engineModel}`;
    const costMicros = this.#deps.prices.costOf(model, place, usage);
    if (attempts.length === 0) run.admission?.cancel();
    else run.admission?.settle({ tokens: usage.tokensIn + usage.tokensOut, costMicros }, this.#moment());
    return costMicros;
  }

  /** The same for a request that the gateway answers itself: it counts as one, and uses nothing. Gives back what it holds. */
  settleOwn(run: Run): void {
    run.admission?.settle(NOTHING, this.#moment());
    run.reservations.release();
  }

  /** Adds what the caller is told of its limits (name, value, name, value, …). */
  addHeaders(run: Run, family: Family, headers: string[]): void {
    const { key, softBudget, capture } = run;
    if (key === null) return;
    if (capture !== null) headers.push("X-Postern-Capture", capture.kinds);
    if (hasRates(key.policy.limits)) {
      const { monotonicMs, nowMs } = this.#moment();
      const rates = this.#deps.keyLimits.rates(key.id, key.policy.limits, monotonicMs);
      headers.push(...limitHeaders(family, rates, nowMs));
    }
    if (softBudget !== null) headers.push("X-Postern-Budget", softBudget);
  }

  #onChange(run: Run, key: LiveKey | null): void {
    if (key !== null) run.key = key;
    const nowMs = this.#deps.clock.nowMs();
    const why = key === null ? "revoked" : endByKey(run, key, nowMs, () => this.authorise(run, key));
    if (why !== null) this.#end(run, why);
  }

  #moment(): Moment {
    const { clock } = this.#deps;
    return { monotonicMs: clock.monotonicMs(), nowMs: clock.nowMs() };
  }
}
