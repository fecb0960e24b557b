import type { BudgetName, KeyPolicy } from "./policy.ts";

/** Milliseconds of a UTC day. */
export const DAY_MS = 86_400_000;

/** What a request uses, or may use. */
export interface Amount {
  tokens: number;
  costMicros: number;
}

/** What a key used in a UTC day or month. */
interface Period extends Amount {
  /** Days since 1970, or months since year 0. */
  index: number;
}

/** A budget that stands in the way of a request, or that is beyond its soft edge. */
export interface BudgetState {
  name: BudgetName;
  /** Spent, without what is reserved. */
  spent: number;
  limit: number;
  /** Milliseconds until the period ends. */
  resetMs: number;
}

/** What a key had used when the process began. */
export interface SpentBefore {
  day: Amount;
  month: Amount;
}

/**
 * What one key has used today and this month, and what its running requests have reserved of that.
 *
 * Booked by wall time in UTC, as the store's own sums are, from which it starts. Two periods of each kind are remembered, so
 * that a clock that jumps over midnight and back neither gives a budget twice nor takes one away.
 */
export class Spending {
  readonly #day: [Period, Period];
  readonly #month: [Period, Period];
  #reservedTokens = 0;
  #reservedMicros = 0;

  constructor(nowMs: number, before: SpentBefore = { day: NOTHING, month: NOTHING }) {
    this.#day = [
      { index: dayOf(nowMs), ...before.day },
      { index: -1, ...NOTHING },
    ];
    this.#month = [
      { index: monthOf(nowMs), ...before.month },
      { index: -1, ...NOTHING },
    ];
  }

  reserve({ tokens, costMicros }: Amount): void {
    this.#reservedTokens += tokens;
    this.#reservedMicros += costMicros;
  }

  unreserve({ tokens, costMicros }: Amount): void {
    this.#reservedTokens -= tokens;
    this.#reservedMicros -= costMicros;
  }

  /** Books what was used. */
  spend({ tokens, costMicros }: Amount, nowMs: number): void {
    for (const period of [at(this.#day, dayOf(nowMs)), at(this.#month, monthOf(nowMs))]) {
      period.tokens += tokens;
      period.costMicros += costMicros;
    }
  }

  /**
   * The first budget that would go beyond its hard edge with this much more, or null.
   *
   * @param isFinal Set to whether it would even if nothing were reserved, that is, waiting for others does not help.
   */
  beyondHard(
    budgets: NonNullable<KeyPolicy["budgets"]>,
    more: Amount,
    nowMs: number,
  ): (BudgetState & { isFinal: boolean }) | null {
    for (const name of BUDGET_NAMES) {
      const limit = budgets[name]?.hard;
      if (limit === undefined) continue;
      const spent = this.#spent(name, nowMs);
      const wanted = isMoney(name) ? more.costMicros : more.tokens;
      // What costs nothing stays there when the money is spent: a model of one's own, while the cloud is closed.
      if (isMoney(name) && wanted === 0) continue;
      const reserved = isMoney(name) ? this.#reservedMicros : this.#reservedTokens;
      if (spent + reserved + wanted > limit) {
        return { name, spent, limit, resetMs: resetMs(name, nowMs), isFinal: spent + wanted > limit };
      }
    }
    return null;
  }

  /** The first budget whose soft edge is reached, or null. */
  beyondSoft(budgets: NonNullable<KeyPolicy["budgets"]>, nowMs: number): BudgetState | null {
    for (const name of BUDGET_NAMES) {
      const limit = budgets[name]?.soft;
      if (limit === undefined) continue;
      const spent = this.#spent(name, nowMs);
      if (spent >= limit) return { name, spent, limit, resetMs: resetMs(name, nowMs) };
    }
    return null;
  }

  /** What was used in the running day and month. */
  spent(nowMs: number): SpentBefore {
    const pick = ({ tokens, costMicros }: Period) => ({ tokens, costMicros });
    return { day: pick(at(this.#day, dayOf(nowMs))), month: pick(at(this.#month, monthOf(nowMs))) };
  }

  /** Nothing is reserved. For leak checks. */
  get isSettled(): boolean {
    return this.#reservedTokens === 0 && this.#reservedMicros === 0;
  }

  #spent(name: BudgetName, nowMs: number): number {
    const period = isDaily(name) ? at(this.#day, dayOf(nowMs)) : at(this.#month, monthOf(nowMs));
    return isMoney(name) ? period.costMicros : period.tokens;
  }
}

const NOTHING: Amount = { tokens: 0, costMicros: 0 };
/** Every budget there is. */
export const BUDGET_NAMES = ["tokensPerDay", "tokensPerMonth", "costMicrosPerDay", "costMicrosPerMonth"] as const;

/** Whether a budget is one of money. */
export function isMoney(name: BudgetName): boolean {
  return name === "costMicrosPerDay" || name === "costMicrosPerMonth";
}

/** Whether a budget begins anew each day. */
export function isDaily(name: BudgetName): boolean {
  return name === "tokensPerDay" || name === "costMicrosPerDay";
}

/** First millisecond of the UTC month. */
export function monthStartMs(nowMs: number): number {
  const date = new Date(nowMs);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1);
}

/** The period of that index; the older of the two makes room for a new one. */
function at(periods: [Period, Period], index: number): Period {
  const [first, second] = periods;
  if (first.index === index) return first;
  periods[0] = second.index === index ? second : { index, ...NOTHING };
  periods[1] = first;
  return periods[0];
}

function resetMs(name: BudgetName, nowMs: number): number {
  if (isDaily(name)) return (dayOf(nowMs) + 1) * DAY_MS - nowMs;
  const date = new Date(nowMs);
  return Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1) - nowMs;
}

function dayOf(nowMs: number): number {
  return Math.floor(nowMs / DAY_MS);
}

let knownDay = -1;
let knownMonth = 0;

/** Asked several times a request, and dear to find out: the answer of a day is kept. */
function monthOf(nowMs: number): number {
  const day = dayOf(nowMs);
  if (day !== knownDay) {
    const date = new Date(nowMs);
    knownMonth = date.getUTCFullYear() * 12 + date.getUTCMonth();
    knownDay = day;
  }
  return knownMonth;
}
