import { BUDGET_NAMES, isDaily, isMoney } from "../../access/budget.ts";
import type { KeyLimits } from "../../access/key-limits.ts";
import type { Keyring } from "../../access/keyring.ts";
import type { LiveKey } from "../../access/live-key.ts";
import type { ProviderView } from "../../admin/contract-providers.ts";
import type { BudgetReading } from "../../continuity/alerts/upkeep-findings.ts";

/** What keys with budgets used of them. Which keys those are is looked up only when a key has changed: there may be many. */
export class KeyBudgets {
  readonly #keyring: Keyring;
  readonly #limits: KeyLimits;
  #keys: LiveKey[] = [];
  #changes = -1;

  constructor(keyring: Keyring, limits: KeyLimits) {
    this.#keyring = keyring;
    this.#limits = limits;
  }

  *read(nowMs: number): Generator<BudgetReading> {
    if (this.#changes !== this.#keyring.changes) {
      this.#changes = this.#keyring.changes;
      this.#keys = [...this.#keyring.all()].filter(mayHaveBudgets);
    }
    for (const key of this.#keys) {
      if (key.refusalAt(nowMs) !== null) continue;
      const { day, month } = this.#limits.spent(key.id, nowMs);
      for (const budget of BUDGET_NAMES) {
        const edges = key.policy.limits.budgets?.[budget];
        if (edges === undefined) continue;
        const period = isDaily(budget) ? day : month;
        const spent = isMoney(budget) ? period.costMicros : period.tokens;
        yield {
          owner: key.record.name,
          kind: "key",
          budget,
          spent,
          soft: edges.soft ?? null,
          hard: edges.hard ?? null,
        };
      }
    }
  }
}

/** By the text of its policy: to read that of each key would take memory for all that never come. */
function mayHaveBudgets({ record }: LiveKey): boolean {
  return record.policy.includes('"budgets"') && record.revokedAtMs === null;
}

/** What providers cost, beside their caps. */
export function* readProviderBudgets(providers: readonly ProviderView[]): Generator<BudgetReading> {
  for (const { name, spending } of providers) {
    for (const { period, spentMicros, softMicros, hardMicros } of spending) {
      const budget = period === "day" ? "costMicrosPerDay" : "costMicrosPerMonth";
      yield { owner: name, kind: "provider", budget, spent: spentMicros, soft: softMicros, hard: hardMicros };
    }
  }
}
