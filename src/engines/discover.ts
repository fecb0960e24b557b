import { type Clock, systemClock } from "../lib/clock.ts";
import type { EngineAdapter } from "./engine.ts";
import { isLoopback, plainHostHeader } from "./engine-url.ts";
import { type IdentifiedEngine, identifyEngine } from "./identify.ts";
import { openProbe } from "./probe.ts";

/** Ports where Postern itself listens. Looking there could only find a gateway, and serving that would make a loop. */
const POSTERN_PORTS: readonly number[] = [8400, 8401];

/** Most addresses that one search asks. */
const MAX_ADDRESSES = 64;

/** Longest wait for one answer during a search: a port where something is silent must not hold up the start. */
const SEARCH_TIMEOUT_MS = 1_000;

export interface DiscoverOptions {
  adapters: readonly EngineAdapter[];
  /** Where to look; default: each adapter's default ports on loopback. */
  addresses?: readonly URL[];
  /** Ports on loopback that are Postern's own although they are not the default ones. */
  ownPorts?: readonly number[];
  clock?: Clock;
  /** Ends the search; what was found so far is dropped. */
  signal?: AbortSignal;
}

/** An engine that answered at an address. */
export interface FoundEngine extends IdentifiedEngine {
  url: URL;
}

/** Each adapter's default ports on loopback. */
export function defaultAddresses(adapters: readonly EngineAdapter[]): URL[] {
  return adapters.flatMap((adapter) => adapter.defaultPorts.map((port) => new URL(`http://127.0.0.1:${port}`)));
}

/**
 * Looks for engines at all addresses at once and tells their kind by what they say.
 *
 * Sends GET requests that load nothing, without any key. Takes at most a few seconds, however silent the addresses are.
 *
 * @returns In the order of the addresses. Never Postern itself. Does not throw.
 */
export async function discoverEngines(options: DiscoverOptions): Promise<FoundEngine[]> {
  const ownPorts = [...POSTERN_PORTS, ...(options.ownPorts ?? [])];
  const addresses = (options.addresses ?? defaultAddresses(options.adapters))
    .filter((url) => !(isLoopback(url) && ownPorts.includes(Number(url.port))))
    .slice(0, MAX_ADDRESSES);
  const found = await Promise.all(addresses.map((url) => ask(url, options)));
  return found.filter((engine) => engine !== null);
}

async function ask(url: URL, options: DiscoverOptions): Promise<FoundEngine | null> {
  const probe = openProbe({
    url,
    host: plainHostHeader(url),
    apiKey: null,
    timeoutMs: SEARCH_TIMEOUT_MS,
    clock: options.clock ?? systemClock,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  try {
    const engine = await identifyEngine(probe, options.adapters);
    return engine === null ? null : { ...engine, url };
  } finally {
    await probe.close();
  }
}

/** A name that is not taken yet: the kind itself, else with a number (`llama-server-2`). */
export function uniqueName(wanted: string, taken: ReadonlySet<string>): string {
  if (!taken.has(wanted)) return wanted;
  for (let number = 2; ; number += 1) {
    const name = `${wanted}-${number}`;
    if (!taken.has(name)) return name;
  }
}
