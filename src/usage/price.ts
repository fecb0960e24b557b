import type { Usage } from "../dialects/dialect.ts";
import { matchesGlob } from "../lib/glob.ts";

/** What a million tokens of a model cost, in micro-dollars. */
export interface Price {
  inputMicros: number;
  /** Input that the engine had computed before. */
  cachedMicros: number;
  outputMicros: number;
}

export interface PriceRule extends Price {
  /** Public name of the model, or a glob. */
  model: string;
}

/** Models of which the price is kept ready; more are looked up again. Names come from the catalogue, not from callers. */
const MAX_KNOWN = 10_000;
const MILLION = 1_000_000;

/** The price list of the configuration. */
export class Prices {
  readonly #rules: readonly PriceRule[];
  readonly #known = new Map<string, Price | null>();

  constructor(rules: readonly PriceRule[]) {
    this.#rules = rules;
  }

  /** The price of a model by its public name: that of the first rule that fits, or null. */
  find(model: string): Price | null {
    const known = this.#known.get(model);
    if (known !== undefined) return known;
    const price = this.#rules.find((rule) => matchesGlob(rule.model, model)) ?? null;
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(model, price);
    return price;
  }

  /** What that much of a model costs, in whole micro-dollars, rounded up; 0 for a model without a price. */
  costOf(model: string, usage: Pick<Usage, "tokensIn" | "tokensInCached" | "tokensOut">): number {
    const price = this.find(model);
    if (price === null) return 0;
    const cached = Math.min(usage.tokensInCached, usage.tokensIn);
    const micros =
      (usage.tokensIn - cached) * price.inputMicros +
      cached * price.cachedMicros +
      usage.tokensOut * price.outputMicros;
    return Math.ceil(micros / MILLION);
  }
}
