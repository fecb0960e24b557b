import type { Logger } from "pino";
import type { SpentBefore } from "../access/budget.ts";
import type { ProviderView } from "../admin/contract-providers.ts";
import type { ProviderConfig } from "../config/provider-config.ts";
import type { Clock } from "../lib/clock.ts";
import type { Closers } from "../lib/closers.ts";
import type { Prices } from "../usage/price.ts";
import type { LiveCatalogue } from "./catalogue.ts";
import { Provider } from "./provider.ts";

interface ProvidersParts {
  configs: readonly ProviderConfig[];
  catalogue: Pick<LiveCatalogue, "setProvider">;
  prices: Prices;
  clock: Clock;
  log: Logger;
  /** Gets what has to be closed. */
  closers: Closers;
}

/** The providers of a gateway, for those who keep the books and those who look. */
export interface Providers {
  /** Takes over what was spent before the process began, by label. */
  begin(before: ReadonlyMap<string, SpentBefore>): void;
  /** Books what a request cost. @param servedBy Label of who answered; a node's is passed over. */
  spend(servedBy: string | null, costMicros: number): void;
  views(): ProviderView[];
}

/** Puts the providers of the configuration into the catalogue. Waits for none of them: a cloud that is away is no reason not to start. */
export function openProviders({ configs, catalogue, prices, clock, log, closers }: ProvidersParts): Providers {
  const providers = new Map<string, Provider>();
  for (const config of configs) {
    const { name } = config;
    const provider = new Provider({
      config,
      clock,
      prices,
      events: {
        offers: (offers) => catalogue.setProvider(name, offers),
        listFailed: (reason) => log.warn({ provider: name, reason }, "models of a provider not read"),
        accountRefused: () => log.warn({ provider: name }, "a provider refuses its key or the account behind it"),
      },
    });
    closers.add(() => provider.stop());
    providers.set(`provider/${name}`, provider);
    provider.start();
  }
  return {
    begin(before) {
      const nowMs = clock.nowMs();
      for (const [label, { spending }] of providers) {
        const spent = before.get(label);
        if (spent !== undefined) spending.begin(spent, nowMs);
      }
    },
    spend(servedBy, costMicros) {
      if (servedBy === null || costMicros === 0) return;
      const provider = providers.get(servedBy);
      if (provider?.spending.spend(costMicros, clock.nowMs()) === true)
        log.warn({ provider: provider.name }, "a provider's soft cap is reached");
    },
    views: () => [...providers.values()].map((provider) => provider.view()),
  };
}
