import { readFileSync } from "node:fs";
import type { EngineConfig } from "../config/agent-config.ts";
import { ADAPTERS, adapterOf } from "../engines/adapters.ts";
import { advisoriesFor } from "../engines/advisories.ts";
import { connectEngine, type EngineConnections } from "../engines/dispatch.ts";
import type { EngineState } from "../engines/engine.ts";
import { unready } from "../engines/engine-state.ts";
import { plainHostHeader } from "../engines/engine-url.ts";
import { type IdentifiedEngine, identifyEngine } from "../engines/identify.ts";
import { type OpenProbe, openProbe } from "../engines/probe.ts";
import { PosternError } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import type { EngineProbeAnswer } from "../tunnel/engine-probe.ts";
import type { EngineKind, EngineReport } from "../tunnel/link.ts";
import { isServed } from "./tables.ts";

/** How to reach one engine, and what to tell it. Its name is unique on this node. */
export interface EngineSettings extends Omit<EngineConfig, "url"> {
  url: URL;
}

const AWAY: EngineState = unready("it does not answer");

/** After this many readings the engine is asked again what it is: it may have been replaced between two of them. */
const READINGS_PER_IDENTITY = 30;

/** Least time between two questions that a gateway may have put to the engine. */
const ASK_INTERVAL_MS = 1_000;

/** One engine of this node: how it is reached, what it said last, and the connections that attempts use. */
export class WatchedEngine {
  readonly name: string;
  readonly settings: EngineSettings;
  readonly #ca: string | null;
  readonly #probe: OpenProbe;
  readonly #clock: Clock;
  #asked: Promise<EngineProbeAnswer> | null = null;
  #askedMs = 0;
  #connections: EngineConnections | null = null;
  #identified: IdentifiedEngine | null = null;
  #state: EngineState = AWAY;
  #readings = 0;
  /** Model names for the guard; rebuilt with each reading, read for each attempt. */
  #models: ReadonlyMap<string, { remote: boolean }> = new Map();
  #operations: ReadonlySet<string> = new Set();

  /** @throws PosternError `config_invalid` when the CA file cannot be read. */
  constructor(settings: EngineSettings, clock: Clock) {
    this.name = settings.name;
    this.settings = settings;
    this.#clock = clock;
    this.#ca = settings.caFile === null ? null : readAuthority(settings.caFile, settings.name);
    this.#probe = openProbe({
      url: settings.url,
      host: settings.host ?? this.#hostOf(settings.kind),
      apiKey: settings.apiKey,
      ca: this.#ca,
      serverName: settings.serverName,
      clock,
    });
  }

  /** What the engine said at the last reading. */
  get state(): EngineState {
    return this.#state;
  }

  get kind(): EngineKind {
    return this.#identified?.identity.kind ?? this.settings.kind ?? "openai";
  }

  get operations(): ReadonlySet<string> {
    return this.#operations;
  }

  /** Models by the engine's own name. */
  get models(): ReadonlyMap<string, { remote: boolean }> {
    return this.#models;
  }

  /** The way for attempts. Null until the engine has said once what it is. */
  get connections(): EngineConnections | null {
    return this.#connections;
  }

  /** Whether nothing answers there at all. One that answers and is not ready may be so any moment. */
  get isAway(): boolean {
    return this.#state.reason === AWAY.reason;
  }

  /** Asks the engine what it is, where that is not known, and what it serves. Does not throw; an engine that is away is a state. */
  async read(): Promise<void> {
    if (this.#readings % READINGS_PER_IDENTITY === 0 || this.#identified === null) await this.#identify();
    this.#readings += 1;
    const engine = this.#identified;
    const hints = { isBusy: (this.#connections?.active ?? 0) > 0 };
    this.#settle(
      engine === null ? await this.#whyUnknown() : await engine.adapter.read(this.#probe, engine.identity, hints),
    );
    // Whoever answers next at this address may be another program.
    if (!this.#state.ready && this.#state.models.length === 0) this.#readings = 0;
  }

  /**
   * Asks the engine for what it answers from memory, now. Questions that come together, or within `ASK_INTERVAL_MS`, get one answer.
   * Does not reject.
   */
  ask(): Promise<EngineProbeAnswer> {
    const nowMs = this.#clock.monotonicMs();
    if (this.#asked === null || nowMs - this.#askedMs >= ASK_INTERVAL_MS) {
      this.#askedMs = nowMs;
      this.#asked = this.#ask(nowMs);
    }
    return this.#asked;
  }

  async #ask(startedMs: number): Promise<EngineProbeAnswer> {
    const path = this.#identified?.adapter.healthPath ?? "/v1/models";
    try {
      const { status } = await this.#probe.get(path);
      return { ok: status < 500, ms: this.#clock.monotonicMs() - startedMs };
    } catch {
      return { ok: false, ms: this.#clock.monotonicMs() - startedMs };
    }
  }

  /**
   * What the gateway is told of it.
   *
   * @param remoteModels Models that run in somebody else's cloud and that the operator allows; the others are not mentioned.
   */
  report(remoteModels: ReadonlySet<string> = new Set()): EngineReport {
    return {
      name: this.name,
      kind: this.kind,
      version: this.#identified?.identity.version ?? null,
      ready: this.#state.ready,
      reason: this.#state.reason,
      operations: [...this.#operations],
      models: this.#state.models.filter((model) => !model.remote || remoteModels.has(model.name)),
      slots: this.settings.slots ?? this.#state.slots,
      isLoading: this.#state.isLoading,
      load: this.#state.load,
      advisories: this.#identified === null ? [] : advisoriesFor(this.#identified.identity),
    };
  }

  /** Ends every connection. Attempts that run fail. */
  async stop(): Promise<void> {
    await Promise.all([this.#probe.close(), this.#connections?.destroy()]);
  }

  async #identify(): Promise<void> {
    const { kind, url, host, apiKey, serverName } = this.settings;
    const found = await identifyEngine(this.#probe, kind === null ? ADAPTERS : [adapterOf(kind)]);
    // A server that is away now keeps its name and its connections: attempts then fail at once, as they should.
    if (found === null) return;
    this.#identified = found;
    this.#operations = new Set(found.adapter.operations(found.identity).filter(isServed));
    this.#connections ??= connectEngine({
      url,
      host: host ?? found.adapter.hostHeader(url),
      apiKey,
      ca: this.#ca,
      serverName,
    });
  }

  async #whyUnknown(): Promise<EngineState> {
    try {
      const { status } = await this.#probe.get("/v1/models");
      if (status === 401 || status === 403)
        return { ...AWAY, reason: "it wants another API key than the one configured" };
      const { kind } = this.settings;
      return {
        ...AWAY,
        reason: `it does not answer like ${kind === null ? "an inference server that is known here" : kind}`,
      };
    } catch {
      return AWAY;
    }
  }

  #settle(state: EngineState): void {
    this.#state = state;
    this.#models = new Map(state.models.map((model) => [model.name, { remote: model.remote }]));
  }

  #hostOf(kind: EngineKind | null): string {
    return kind === null ? plainHostHeader(this.settings.url) : adapterOf(kind).hostHeader(this.settings.url);
  }
}

function readAuthority(file: string, engine: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw new PosternError("config_invalid", {
      message: `Cannot read "${file}", the authority of the engine "${engine}"`,
      hint: "Give the path of a PEM file.",
      cause,
    });
  }
}
