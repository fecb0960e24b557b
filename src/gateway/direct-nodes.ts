import { readFileSync } from "node:fs";
import { arch, cpus, platform, totalmem } from "node:os";
import type { DirectNodeConfig } from "../config/resolved.ts";
import { FIELDS_VERSION } from "../dialects/field-policy.ts";
import { OPERATIONS_VERSION } from "../dialects/operations.ts";
import { ADAPTERS, adapterOf } from "../engines/adapters.ts";
import { advisoriesFor } from "../engines/advisories.ts";
import { connectEngine, type EngineConnections } from "../engines/dispatch.ts";
import { plainHostHeader } from "../engines/engine-url.ts";
import { type IdentifiedEngine, identifyEngine } from "../engines/identify.ts";
import { openProbe } from "../engines/probe.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import type { EngineReport, NodeReport } from "../tunnel/link.ts";

/** How often a direct node is asked what it serves. Reads lists and health only; loads nothing. */
const POLL_MS = 5_000;
/** Name of the one engine of a direct node. */
export const DIRECT_ENGINE = "direct";

/** A node that the configuration names by URL: same cluster, LAN or tailnet; no agent. */
export class DirectNode {
  readonly name: string;
  readonly connections: EngineConnections;
  readonly #config: DirectNodeConfig;
  readonly #clock: Clock;
  readonly #onReport: (report: NodeReport) => void;
  readonly #url: URL;
  readonly #ca: string | null;
  #identified: IdentifiedEngine | null = null;
  #lastReport = "";
  #timer: Timer | null = null;
  #isStopped = false;

  /** @throws an `Error` of the file system when the CA file cannot be read. */
  constructor(
    config: DirectNodeConfig,
    connectTimeoutMs: number,
    clock: Clock,
    onReport: (report: NodeReport) => void,
  ) {
    this.name = config.name;
    this.#config = config;
    this.#clock = clock;
    this.#onReport = onReport;
    this.#url = new URL(config.url);
    this.#ca = config.caFile === null ? null : readFileSync(config.caFile, "utf8");
    const kind = config.kind === null ? null : adapterOf(config.kind);
    const host = config.host ?? kind?.hostHeader(this.#url) ?? plainHostHeader(this.#url);
    this.connections = connectEngine({
      url: this.#url,
      host,
      apiKey: config.apiKey,
      ca: this.#ca,
      serverName: config.serverName,
      connectTimeoutMs,
    });
  }

  /** Reads the node once, then every few seconds. Resolves after the first reading, whatever it said. */
  async start(): Promise<void> {
    await this.#poll();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.connections.destroy();
  }

  async #poll(): Promise<void> {
    const engine = await this.#read();
    if (this.#isStopped) return;
    const report: NodeReport = {
      agentVersion: "",
      operationsVersion: OPERATIONS_VERSION,
      fieldsVersion: FIELDS_VERSION,
      hardware: { platform: platform(), arch: arch(), cpus: cpus().length, memoryBytes: totalmem(), gpus: [] },
      engines: [engine],
    };
    const text = JSON.stringify(engine);
    if (text !== this.#lastReport) {
      this.#lastReport = text;
      this.#onReport(report);
    }
    this.#timer = this.#clock.after(POLL_MS, () => {
      this.#poll().catch(() => {});
    });
  }

  async #read(): Promise<EngineReport> {
    const host = this.#config.host ?? plainHostHeader(this.#url);
    const probe = openProbe({
      url: this.#url,
      host,
      apiKey: this.#config.apiKey,
      ca: this.#ca,
      serverName: this.#config.serverName,
    });
    const away: EngineReport = {
      name: DIRECT_ENGINE,
      kind: this.#config.kind ?? "openai",
      version: null,
      ready: false,
      reason: "it does not answer, or not like an inference server",
      operations: [],
      models: [],
      slots: null,
    };
    try {
      const adapters = this.#config.kind === null ? ADAPTERS : [adapterOf(this.#config.kind)];
      this.#identified = (await identifyEngine(probe, adapters)) ?? null;
      if (this.#identified === null) return away;
      const { adapter, identity } = this.#identified;
      const state = await adapter.read(probe, identity, { isBusy: this.connections.active > 0 });
      const { kind, version } = identity;
      const operations = [...adapter.operations(identity)];
      // Nobody has allowed them here: what the engine hands on to somebody else's cloud is not served.
      const models = state.models.filter((model) => !model.remote);
      const slots = this.#config.slots ?? state.slots;
      return { ...away, kind, version, ...state, slots, models, operations, advisories: advisoriesFor(identity) };
    } catch {
      return away;
    } finally {
      await probe.close();
    }
  }
}
