import { type BudgetState, isDaily, Spending, type SpentBefore } from "../access/budget.ts";
import type { ProviderView } from "../admin/contract-providers.ts";
import type { SpendCap } from "../config/provider-config.ts";

/**
 * What one provider has cost today and this month (UTC), and what running requests have reserved of its caps.
 *
 * A request is let through only with room for all that it may cost, so that however many run at one time, the cap is passed by
 * no more than what answers cost beyond what was taken to be their most (`estimateTokens`).
 */
export class ProviderSpending {
  readonly #caps: { day: SpendCap; month: SpendCap };
  #spending: Spending;

  constructor(caps: { day: SpendCap; month: SpendCap }, nowMs: number) {
    this.#caps = caps;
    this.#spending = new Spending(nowMs);
  }

  /** Takes over what was spent before the process began. Call before anything is reserved. */
  begin(before: SpentBefore, nowMs: number): void {
    this.#spending = new Spending(nowMs, before);
  }

  /** Whether there is a hard cap, so that a model without a price must not be asked. */
  get isCapped(): boolean {
    return this.#caps.day.hardMicros !== null || this.#caps.month.hardMicros !== null;
  }

  /** The cap that leaves nothing, reserved or spent, in words; null while there is something. */
  spentCap(nowMs: number): string | null {
    const beyond = this.#beyond(1, nowMs);
    if (beyond === null) return null;
    const which = isDaily(beyond.name) ? "day" : "month";
    if (!beyond.isFinal) return `what is left of its cap for the ${which} is reserved by requests that run`;
    const until = new Date(nowMs + beyond.resetMs).toISOString().replace(/:\d\d\.\d+Z$/, "Z");
    return `its cap of ${inDollars(beyond.limit)} for the ${which} is spent, until ${until}`;
  }

  /** Takes that much out of the caps; false where it does not fit. */
  reserve(costMicros: number, nowMs: number): boolean {
    if (this.#beyond(costMicros, nowMs) !== null) return false;
    this.#spending.reserve({ tokens: 0, costMicros });
    return true;
  }

  unreserve(costMicros: number): void {
    this.#spending.unreserve({ tokens: 0, costMicros });
  }

  /** Books what was used. @returns whether a soft cap was passed by it. */
  spend(costMicros: number, nowMs: number): boolean {
    const before = this.#softPassed(nowMs);
    this.#spending.spend({ tokens: 0, costMicros }, nowMs);
    return this.#softPassed(nowMs) > before;
  }

  #softPassed(nowMs: number): number {
    return this.view(nowMs).filter(({ spentMicros, softMicros }) => softMicros !== null && spentMicros >= softMicros)
      .length;
  }

  /** Nothing is reserved. For leak checks. */
  get isSettled(): boolean {
    return this.#spending.isSettled;
  }

  view(nowMs: number): ProviderView["spending"] {
    const spent = this.#spending.spent(nowMs);
    return (["day", "month"] as const).map((period) => ({
      period,
      spentMicros: spent[period].costMicros,
      ...this.#caps[period],
    }));
  }

  #beyond(costMicros: number, nowMs: number): (BudgetState & { isFinal: boolean }) | null {
    const { day, month } = this.#caps;
    return this.#spending.beyondHard(
      {
        ...(day.hardMicros === null ? {} : { costMicrosPerDay: { hard: day.hardMicros } }),
        ...(month.hardMicros === null ? {} : { costMicrosPerMonth: { hard: month.hardMicros } }),
      },
      { tokens: 0, costMicros },
      nowMs,
    );
  }
}

function inDollars(micros: number): string {
  return `$${(micros / 1_000_000).toFixed(2)}`;
}
