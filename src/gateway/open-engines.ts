import { isLoopback } from "../config/listen-address.ts";
import type { ResolvedConfig } from "../config/resolved.ts";
import { ADAPTERS } from "../engines/adapters.ts";
import { defaultAddresses, discoverEngines } from "../engines/discover.ts";
import { describeExposure } from "../engines/exposure.ts";
import type { Clock } from "../lib/clock.ts";

/**
 * Engines on this machine that others reach past the gateway, without a key: those at the usual ports, and those that the
 * configuration names, unless it says `exposureAccepted`. Takes at most a few seconds. Does not throw.
 *
 * @returns In words: `ollama on port 11434`.
 */
export async function findOpenEngines(
  config: ResolvedConfig,
  clock: Clock,
  usual: readonly URL[] = defaultAddresses(ADAPTERS),
): Promise<string[]> {
  const { agent, gateway, nodes } = config;
  const named = [...nodes, ...agent.engines].map(({ url }) => new URL(url)).filter((url) => isLoopback(url.hostname));
  const accepted = agent.engines.filter((one) => one.exposureAccepted).map(({ url }) => new URL(url).port);
  const addresses = new Map([...usual, ...named].map((url) => [url.port, url]));
  for (const port of accepted) addresses.delete(port);
  const found = await discoverEngines({
    adapters: ADAPTERS,
    addresses: [...addresses.values()],
    ownPorts: [gateway.listen.port, gateway.admin.listen.port],
    clock,
  });
  const open = await Promise.all(
    found.map(async ({ adapter, url }) =>
      (await describeExposure(url)) === null ? [] : [`${adapter.kind} on port ${url.port}`],
    ),
  );
  return open.flat();
}
