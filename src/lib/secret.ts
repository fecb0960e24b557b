import { inspect } from "node:util";

/**
 * A value that must not be printed: keys, invitations, engine keys, seeds.
 *
 * `String(secret)`, template strings, `JSON.stringify` and `console.log` all give `***`; only `reveal()` gives the value,
 * so that each place that needs it can be found by that word.
 */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The value itself. Call it where the secret is used, never where it is passed on. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return "***";
  }

  toJSON(): string {
    return "***";
  }

  [inspect.custom](): string {
    return "***";
  }
}
