import type { Logger } from "pino";
import type { ProviderConfig } from "../config/provider-config.ts";
import type { Clock } from "../lib/clock.ts";
import type { Closers } from "../lib/closers.ts";
import type { LiveCatalogue } from "./catalogue.ts";
import { Provider } from "./provider.ts";

interface ProvidersParts {
  configs: readonly ProviderConfig[];
  catalogue: Pick<LiveCatalogue, "setProvider">;
  clock: Clock;
  log: Logger;
  /** Gets what has to be closed. */
  closers: Closers;
}

/** Puts the providers of the configuration into the catalogue. Waits for none of them: a cloud that is away is no reason not to start. */
export function openProviders({ configs, catalogue, clock, log, closers }: ProvidersParts): void {
  for (const config of configs) {
    const provider = new Provider(config, clock, {
      offers: (offers) => catalogue.setProvider(config.name, offers),
      listFailed: (reason) => log.warn({ provider: config.name, reason }, "models of a provider not read"),
    });
    closers.add(() => provider.stop());
    provider.start();
  }
}
