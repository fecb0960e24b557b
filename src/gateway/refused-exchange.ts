import type { Exchange, ExchangeFailure, ExchangeHandler } from "../lib/exchange.ts";

/** An exchange that cannot begin: its failure comes in the next tick, as an exchange's does. */
export class RefusedExchange implements Exchange {
  #isCancelled = false;

  constructor(handler: ExchangeHandler, detail: string) {
    const failure: ExchangeFailure = { phase: "connect", kind: "refused", detail };
    process.nextTick(() => {
      if (!this.#isCancelled) handler.onFailure(failure);
    });
  }

  pause(): void {}

  resume(): void {}

  cancel(): void {
    this.#isCancelled = true;
  }
}
