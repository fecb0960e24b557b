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
  /** Public name of the model, or a place (`provider/NAME/MODEL`, `node/NAME/MODEL`), or a glob over either. */
  model: string;
}

/** Models of which the price is kept ready; more are looked up again. Names come from the catalogue, not from callers. */
const MAX_KNOWN = 10_000;
const MILLION = 1_000_000;
const PLACE = /^(?:provider|node)\//;

/** The price list of the configuration. */
export class Prices {
  #rules: readonly PriceRule[] = [];
  #hasPlaces = false;
  readonly #known = new Map<string, Price | null>();

  constructor(rules: readonly PriceRule[]) {
    this.replaceAll(rules);
  }

  /** Takes over what there is now. What ends from now on costs as they say. */
  replaceAll(rules: readonly PriceRule[]): void {
    this.#rules = rules;
    this.#hasPlaces = rules.some((rule) => PLACE.test(rule.model));
    this.#known.clear();
  }

  /**
   * The price of a model by its public name and by where it runs: that of the first rule that fits, or null.
   *
   * @param place `provider/NAME/MODEL` or `node/NAME/MODEL`; null: nowhere in particular.
   */
  find(model: string, place: string | null): Price | null {
    const key = place === null || !this.#hasPlaces ? model : `${model}\n${place}`;
    const known = this.#known.get(key);
    if (known !== undefined) return known;
    const fits = ({ model: glob }: PriceRule) =>
      matchesGlob(glob, model) || (place !== null && PLACE.test(glob) && matchesGlob(glob, place));
    const price = this.#rules.find(fits) ?? null;
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(key, price);
    return price;
  }

  /** What that much of a model costs there, in whole micro-dollars, rounded up; 0 for a model without a price. */
  costOf(model: string, place: string | null, usage: Pick<Usage, "tokensIn" | "tokensInCached" | "tokensOut">): number {
    const price = this.find(model, place);
    if (price === null) return 0;
    const cached = Math.min(usage.tokensInCached, usage.tokensIn);
    const micros =
      (usage.tokensIn - cached) * price.inputMicros +
      cached * price.cachedMicros +
      usage.tokensOut * price.outputMicros;
    return Math.ceil(micros / MILLION);
  }
}
