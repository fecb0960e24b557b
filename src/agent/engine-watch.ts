import { ADAPTERS } from "../engines/adapters.ts";
import { defaultAddresses, discoverEngines, uniqueName } from "../engines/discover.ts";
import { PosternError } from "../errors.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import { type EngineSettings, WatchedEngine } from "./watched-engine.ts";

/** An engine that answers is read this often: lists and health only, which no engine computes for. */
const READ_INTERVAL_MS = 5_000;

/** An engine that is away is tried less and less often, down to this. */
const MAX_AWAY_INTERVAL_MS = 30_000;

/** The usual ports are searched this often; a port that is closed costs one refused connection. */
const SEARCH_INTERVAL_MS = 15_000;

/** Engines on one node. */
const MAX_ENGINES = 32;

/** After a failed attempt the engine is read at once, but not more often than this. */
const SUSPECT_INTERVAL_MS = 500;

export interface EngineWatchOptions {
  /** Engines that the operator named. */
  engines: readonly EngineSettings[];
  /** Whether to look for others on their usual ports. */
  discover: boolean;
  /** Where to look; default: the usual ports on loopback. */
  addresses?: readonly URL[];
  /** Ports of this machine where Postern itself listens. */
  ownPorts?: readonly number[];
  /** Names that engines get which are found must not have: they are for engines that will be added. */
  reservedNames?: readonly string[];
  clock: Clock;
  /** Called after each reading or search, whether or not something changed. Must not throw. */
  onRead: () => void;
}

/** Knows the engines of this node: finds them, keeps asking what they serve, and notices when they go and come back. */
export class EngineWatch {
  readonly #options: EngineWatchOptions;
  readonly #clock: Clock;
  readonly #engines = new Map<string, WatchedEngine>();
  readonly #readAtMs = new Map<string, number>();
  readonly #timers = new Map<string, Timer>();
  readonly #stopped = new AbortController();
  #searchTimer: Timer | null = null;

  /** @throws PosternError `config_invalid` when there are too many engines, or a CA file cannot be read. */
  constructor(options: EngineWatchOptions) {
    this.#options = options;
    this.#clock = options.clock;
    if (options.engines.length > MAX_ENGINES) {
      throw new PosternError("config_invalid", {
        message: `Cannot load config: "agent.engines" must have at most ${MAX_ENGINES} entries, got ${options.engines.length}`,
      });
    }
    for (const settings of options.engines) {
      this.#engines.set(settings.name, new WatchedEngine(settings, this.#clock));
    }
  }

  /** Reads the named engines and searches once; resolves when both are done. Then goes on until `stop`. */
  async start(): Promise<void> {
    await Promise.all([...this.#engines.values()].map((engine) => this.#read(engine, READ_INTERVAL_MS)));
    await this.#search();
  }

  /** The engine of this name, or undefined. On the way of every attempt. */
  find(name: string): WatchedEngine | undefined {
    return this.#engines.get(name);
  }

  /** In the order in which they were named or found. */
  list(): WatchedEngine[] {
    return [...this.#engines.values()];
  }

  /** Takes in an engine that the agent itself has started; resolves when it was read. */
  async add(settings: EngineSettings): Promise<void> {
    const engine = new WatchedEngine(settings, this.#clock);
    this.#engines.set(engine.name, engine);
    await this.#read(engine, READ_INTERVAL_MS);
  }

  /** Forgets an engine; attempts that run on it fail. */
  async remove(name: string): Promise<void> {
    const engine = this.#engines.get(name);
    if (engine === undefined) return;
    this.#engines.delete(name);
    this.#timers.get(name)?.cancel();
    this.#timers.delete(name);
    await engine.stop();
    this.#options.onRead();
  }

  /** An attempt could not connect: the engine is read now, not when its turn comes. */
  suspect(name: string): void {
    const engine = this.#engines.get(name);
    const sinceMs = this.#clock.monotonicMs() - (this.#readAtMs.get(name) ?? 0);
    if (engine === undefined || !engine.state.ready || sinceMs < SUSPECT_INTERVAL_MS) return;
    this.#readSoon(engine, 0, READ_INTERVAL_MS);
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#searchTimer?.cancel();
    for (const timer of this.#timers.values()) timer.cancel();
    await Promise.all(this.list().map((engine) => engine.stop()));
  }

  async #read(engine: WatchedEngine, intervalMs: number): Promise<void> {
    await engine.read();
    if (this.#stopped.signal.aborted || this.#engines.get(engine.name) !== engine) return;
    this.#readAtMs.set(engine.name, this.#clock.monotonicMs());
    if (engine.isAway) this.#readSoon(engine, intervalMs, Math.min(intervalMs * 2, MAX_AWAY_INTERVAL_MS));
    else this.#readSoon(engine, READ_INTERVAL_MS, READ_INTERVAL_MS);
    this.#options.onRead();
  }

  #readSoon(engine: WatchedEngine, delayMs: number, intervalMs: number): void {
    this.#timers.get(engine.name)?.cancel();
    const timer = this.#clock.after(delayMs, () => {
      // Does not throw; `stop` has ended the connections of one that is still under way.
      void this.#read(engine, intervalMs);
    });
    this.#timers.set(engine.name, timer);
  }

  async #search(): Promise<void> {
    if (!this.#options.discover) return;
    const known = new Set(this.list().map((engine) => engine.settings.url.host));
    const addresses = (this.#options.addresses ?? defaultAddresses(ADAPTERS)).filter((url) => !isKnown(url, known));
    const found = await discoverEngines({
      adapters: ADAPTERS,
      addresses,
      clock: this.#clock,
      signal: this.#stopped.signal,
      ...(this.#options.ownPorts === undefined ? {} : { ownPorts: this.#options.ownPorts }),
    });
    if (this.#stopped.signal.aborted) return;
    for (const { url, identity } of found) {
      if (this.#engines.size >= MAX_ENGINES) break;
      const name = uniqueName(
        identity.kind,
        new Set([...this.#engines.keys(), ...(this.#options.reservedNames ?? [])]),
      );
      await this.add({ ...UNNAMED, name, url });
    }
    this.#searchTimer = this.#clock.after(SEARCH_INTERVAL_MS, () => {
      void this.#search();
    });
    this.#options.onRead();
  }
}

/** What a found engine is treated like. It gets no key: whoever listens on a usual port could ask for one. */
const UNNAMED: Omit<EngineSettings, "name" | "url"> = {
  kind: null,
  apiKey: null,
  host: null,
  caFile: null,
  serverName: null,
  exposureAccepted: false,
};

function isKnown(url: URL, known: ReadonlySet<string>): boolean {
  return known.has(url.host) || known.has(`localhost:${url.port}`) || known.has(`[::1]:${url.port}`);
}
