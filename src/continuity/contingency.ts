import { type CronTimes, lastCronTime, parseCron } from "../lib/cron.ts";
import type {
  ContingencyCause,
  ContingencyChange,
  ContingencyOrder,
  ContingencyRules,
  ContingencyWindow,
  Moment,
  ProviderVerdict,
  SavedContingency,
  ScopeView,
} from "./contingency-state.ts";
import { SlottedCounts } from "./slotted-counts.ts";

const FOREVER = Number.POSITIVE_INFINITY;
/** Most scopes that are in contingency or on their way back at one time. */
export const MAX_SCOPES = 64;
/** Part of the traffic that may use providers when the return begins: enough to see whether they answer. */
const LEAST_SHARE = 0.05;
/** So many failures while traffic returns after the automatic rule, and it is on again: the first ones are the probes. */
const RELAPSE_FAILURES = 2;

interface Entry {
  cause: ContingencyCause;
  reason: string;
  by: string;
  sinceMs: number;
  forMs: number | null;
  /** Monotonic; infinite until somebody ends it. */
  endsMs: number;
}

interface Ramp {
  /** Monotonic. */
  endsMs: number;
  cause: ContingencyCause;
  reason: string;
  /** In thousandths; grows by the share with each request. A thousand of it is a request that may use providers. */
  credit: number;
}

interface Scope {
  workflow: string | null;
  /** At most one of each cause; not empty: contingency. */
  entries: Entry[];
  ramp: Ramp | null;
}

/**
 * Whether providers are skipped, for everything and per workflow: normal, contingency, or returning from it.
 *
 * A scope that is not named is normal. Durations are counted on the monotonic clock, so that a jump of the wall clock neither ends
 * nor begins anything but the windows of the schedule, which are wall time by what they say. After a restart what is left is
 * counted from the wall clock, and is never more than was ordered.
 *
 * Pure: time is passed in, nobody is called but `onChange`.
 */
export class Contingency {
  readonly #rules: ContingencyRules;
  readonly #onChange: (change: ContingencyChange) => void;
  readonly #scopes = new Map<string | null, Scope>();
  readonly #windows: ReadonlyArray<ContingencyWindow & { times: CronTimes; id: string }>;
  /** Attempts at providers: the good ones, and those that failed. */
  readonly #outcomes: SlottedCounts;
  #relapses = 0;
  /** Until when (UTC) a window of the schedule does not count, by its id: somebody ended it. One per window at most. */
  readonly #dismissed = new Map<string, number>();

  /** @param onChange Must not throw. */
  constructor(rules: ContingencyRules, onChange: (change: ContingencyChange) => void = () => {}) {
    this.#rules = rules;
    this.#onChange = onChange;
    this.#outcomes = new SlottedCounts(rules.automatic?.withinMs ?? 60_000, 2);
    this.#windows = rules.windows.flatMap((window) => {
      const times = parseCron(window.begins);
      return times === null ? [] : [{ ...window, times, id: `${window.workflow ?? ""} ${window.begins}` }];
    });
  }

  /** No scope is in contingency, or returning from it. */
  get isNormal(): boolean {
    return this.#scopes.size === 0;
  }

  /**
   * What holds for a request now. Cheap while everything is normal.
   *
   * @param hasProviders Whether it makes a difference to the request; only then is it counted in the share that returns.
   */
  verdict(workflow: string | undefined, hasProviders: boolean, at: Moment): ProviderVerdict | null {
    if (this.isNormal) return null;
    const whole = this.#verdictOf(null, hasProviders, at);
    if (whole?.state === "contingency" || workflow === undefined) return whole;
    return this.#verdictOf(workflow, hasProviders, at) ?? whole;
  }

  /** An order of an operator. It replaces an earlier one for the same scope. False: too many scopes. */
  on({ workflow, reason, by, forMs }: ContingencyOrder, at: Moment): boolean {
    return this.#enter(workflow, {
      cause: "command",
      reason,
      by,
      sinceMs: at.nowMs,
      forMs,
      endsMs: forMs === null ? FOREVER : at.monotonicMs + forMs,
    });
  }

  /**
   * Ends whatever keeps the scope in contingency. A window of the schedule that is open stays ended until its next time.
   *
   * @param isAtOnce Without the ramp.
   * @returns whether there was anything to end.
   */
  off(workflow: string | null, isAtOnce: boolean, at: Moment): boolean {
    const scope = this.#scopes.get(workflow);
    if (scope === undefined) return false;
    for (const window of this.#windows) {
      const untilMs = window.workflow === workflow ? endOfWindow(window, at.nowMs) : null;
      if (untilMs !== null) this.#dismissed.set(window.id, untilMs);
    }
    if (scope.entries.length > 0) this.#leave(scope, [], at);
    if (isAtOnce && scope.ramp !== null) this.#finish(scope);
    this.#relapses = 0;
    return true;
  }

  /**
   * Feeds the automatic rule with the end of an attempt at a provider.
   *
   * @param canSwitch Asked before it switches: whether anything would be served without providers.
   */
  outcome(isFailure: boolean, at: Moment, canSwitch: () => boolean): void {
    const rule = this.#rules.automatic;
    if (rule === null) return;
    this.#outcomes.add(isFailure ? 1 : 0, at.monotonicMs);
    if (!isFailure) return;
    const scope = this.#scopes.get(null);
    if (scope !== undefined) this.#settle(scope, at);
    if (scope?.entries.some(({ cause }) => cause === "automatic") === true) return;
    const isReturning = scope?.ramp?.cause === "automatic";
    const [good = 0, failures = 0] = this.#outcomes.sums(at.monotonicMs);
    const attempts = good + failures;
    const enough = isReturning ? Math.min(RELAPSE_FAILURES, rule.failures) : rule.failures;
    if (failures < enough || failures < rule.share * attempts || !canSwitch()) return;
    if (isReturning) this.#relapses += 1;
    const forMs = Math.min(rule.maxHoldMs, rule.holdMs * 2 ** this.#relapses);
    this.#enter(null, {
      cause: "automatic",
      reason: `${failures} of ${attempts} attempts at providers failed within ${Math.round(rule.withinMs / 1000)} s`,
      by: "gateway",
      sinceMs: at.nowMs,
      forMs,
      endsMs: at.monotonicMs + forMs,
    });
  }

  /** Ends what is over, and begins and ends what the schedule says. To be called about every second. */
  tick(at: Moment): void {
    for (const [id, untilMs] of this.#dismissed) if (untilMs <= at.nowMs) this.#dismissed.delete(id);
    const open = new Map<string | null, { window: ContingencyWindow; untilMs: number }>();
    for (const window of this.#windows) {
      const untilMs = this.#dismissed.has(window.id) ? null : endOfWindow(window, at.nowMs);
      if (untilMs === null || untilMs <= (open.get(window.workflow)?.untilMs ?? 0)) continue;
      open.set(window.workflow, { window, untilMs });
    }
    for (const scope of [...this.#scopes.values()]) {
      // The schedule is wall time: what it began ends when the wall clock is out of the window, whatever made it so.
      const isOver = !open.has(scope.workflow);
      if (isOver && scope.entries.some(({ cause }) => cause === "schedule"))
        this.#leave(scope, without(scope.entries, "schedule"), at);
      this.#settle(scope, at);
    }
    for (const [workflow, { window, untilMs }] of open) {
      const known = this.#scopes.get(workflow)?.entries.find(({ cause }) => cause === "schedule");
      const endsMs = at.monotonicMs + untilMs - at.nowMs;
      if (known !== undefined) known.endsMs = endsMs;
      else
        this.#enter(workflow, {
          cause: "schedule",
          reason: window.reason,
          by: "schedule",
          sinceMs: at.nowMs,
          forMs: untilMs - at.nowMs,
          endsMs,
        });
    }
  }

  /** Every scope that is not normal. */
  view(at: Moment): ScopeView[] {
    return [...this.#scopes.values()].map(({ workflow, entries, ramp }) => ({
      workflow,
      state: entries.length > 0 ? "contingency" : "returning",
      causes: entries.map(({ cause, reason, by, sinceMs, endsMs }) => ({
        cause,
        reason,
        by,
        sinceMs,
        expiresAtMs: toWall(endsMs, at),
      })),
      share: entries.length > 0 || ramp === null ? 0 : this.#shareOf(ramp, at),
      normalAtMs: ramp === null ? null : toWall(ramp.endsMs, at),
    }));
  }

  /** What to keep over a restart. Windows of the schedule are not in it: they follow from the clock. */
  saved(at: Moment): SavedContingency {
    const scopes = [...this.#scopes.values()].map(({ workflow, entries, ramp }) => ({
      workflow,
      entries: entries.flatMap(({ cause, endsMs, ...entry }) =>
        cause === "schedule" ? [] : [{ ...entry, cause, expiresAtMs: toWall(endsMs, at) }],
      ),
      ramp: ramp === null ? null : { endsAtMs: toWall(ramp.endsMs, at) ?? 0, cause: ramp.cause, reason: ramp.reason },
    }));
    return {
      version: 1,
      scopes: scopes.filter(({ entries, ramp }) => entries.length > 0 || ramp !== null),
      relapses: this.#relapses,
      dismissed: [...this.#dismissed].map(([window, untilMs]) => ({ window, untilMs })),
    };
  }

  /** Takes up what was saved, in place of what there is. Tells of no change. */
  restore(saved: SavedContingency, at: Moment): void {
    this.#scopes.clear();
    this.#dismissed.clear();
    this.#relapses = saved.relapses;
    for (const { window, untilMs } of saved.dismissed) {
      if (this.#windows.some(({ id }) => id === window)) this.#dismissed.set(window, untilMs);
    }
    for (const { workflow, entries, ramp } of saved.scopes.slice(0, MAX_SCOPES)) {
      // What ended while the gateway was down has its ramp behind it, as far as that has come.
      const last = entries.at(-1);
      const endedAtMs = Math.max(...entries.map(({ expiresAtMs }) => expiresAtMs ?? 0));
      const old = ramp ?? (last === undefined ? null : { ...last, endsAtMs: endedAtMs + this.#rules.rampMs });
      const scope: Scope = {
        workflow,
        entries: entries.flatMap(({ expiresAtMs, ...entry }) => {
          const leftMs = expiresAtMs === null ? FOREVER : Math.min(expiresAtMs - at.nowMs, entry.forMs ?? FOREVER);
          return leftMs > 0 ? [{ ...entry, endsMs: at.monotonicMs + leftMs }] : [];
        }),
        ramp: null,
      };
      const rampMs = Math.min((old?.endsAtMs ?? 0) - at.nowMs, this.#rules.rampMs);
      if (scope.entries.length === 0 && old !== null && rampMs > 0)
        scope.ramp = { endsMs: at.monotonicMs + rampMs, cause: old.cause, reason: old.reason, credit: 0 };
      if (scope.entries.length > 0 || scope.ramp !== null) this.#scopes.set(workflow, scope);
    }
  }

  #verdictOf(workflow: string | null, hasProviders: boolean, at: Moment): ProviderVerdict | null {
    const scope = this.#scopes.get(workflow);
    if (scope === undefined) return null;
    this.#settle(scope, at);
    const [first] = scope.entries;
    if (first !== undefined) return { state: "contingency", cause: first.cause, reason: first.reason };
    const { ramp } = scope;
    if (ramp === null || !hasProviders) return null;
    ramp.credit += Math.round(1000 * this.#shareOf(ramp, at));
    if (ramp.credit < 1000) return { state: "returning", cause: ramp.cause, reason: ramp.reason };
    ramp.credit -= 1000;
    return null;
  }

  #shareOf({ endsMs }: Ramp, { monotonicMs }: Moment): number {
    const { rampMs } = this.#rules;
    return rampMs === 0 ? 1 : Math.min(1, Math.max(LEAST_SHARE, 1 - (endsMs - monotonicMs) / rampMs));
  }

  #enter(workflow: string | null, entry: Entry): boolean {
    const known = this.#scopes.get(workflow);
    if (known === undefined && this.#scopes.size >= MAX_SCOPES) return false;
    const scope = known ?? { workflow, entries: [], ramp: null };
    const from = scope.entries.length > 0 ? "contingency" : scope.ramp === null ? "normal" : "returning";
    this.#scopes.set(workflow, scope);
    scope.entries = [entry, ...without(scope.entries, entry.cause)];
    scope.ramp = null;
    if (from !== "contingency")
      this.#onChange({ workflow, from, to: "contingency", cause: entry.cause, reason: entry.reason });
    return true;
  }

  /** Ends what is over in one scope. */
  #settle(scope: Scope, at: Moment): void {
    if (scope.entries.some(({ endsMs }) => endsMs <= at.monotonicMs))
      this.#leave(
        scope,
        scope.entries.filter(({ endsMs }) => endsMs > at.monotonicMs),
        at,
      );
    if (scope.ramp !== null && scope.ramp.endsMs <= at.monotonicMs) this.#finish(scope);
  }

  /** Takes entries away; without any the return begins. */
  #leave(scope: Scope, left: Entry[], at: Moment): void {
    const [gone] = scope.entries.filter((entry) => !left.includes(entry));
    scope.entries = left;
    if (left.length > 0 || gone === undefined) return;
    const { cause, reason } = gone;
    // Counted anew: what failed before says nothing about providers now.
    this.#outcomes.clear();
    scope.ramp = { endsMs: at.monotonicMs + this.#rules.rampMs, cause, reason, credit: 0 };
    if (this.#rules.rampMs > 0)
      this.#onChange({ workflow: scope.workflow, from: "contingency", to: "returning", cause, reason });
    else this.#finish(scope, "contingency");
  }

  #finish(scope: Scope, from: "contingency" | "returning" = "returning"): void {
    const { ramp, workflow } = scope;
    this.#scopes.delete(workflow);
    if (ramp === null) return;
    scope.ramp = null;
    if (ramp.cause === "automatic") this.#relapses = 0;
    this.#onChange({ workflow, from, to: "normal", cause: ramp.cause, reason: ramp.reason });
  }
}

function without(entries: readonly Entry[], cause: ContingencyCause): Entry[] {
  return entries.filter((entry) => entry.cause !== cause);
}

/** When the window that is open at that time ends (UTC); null where it is not open. */
function endOfWindow({ times, lengthMs }: { times: CronTimes; lengthMs: number }, nowMs: number): number | null {
  const beganMs = lastCronTime(times, nowMs, nowMs - lengthMs + 1);
  return beganMs === null ? null : beganMs + lengthMs;
}

function toWall(endsMs: number, { nowMs, monotonicMs }: Moment): number | null {
  return endsMs === FOREVER ? null : Math.max(0, Math.round(nowMs + endsMs - monotonicMs));
}
