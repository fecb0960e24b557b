import { join } from "node:path";
import type { AgentConfig, StartedEngineConfig } from "../config/agent-config.ts";
import { createCodecs } from "../dialects/codecs.ts";
import { uniqueName } from "../engines/discover.ts";
import { type EmbeddedEngine, startEmbedded } from "../engines/embedded/start.ts";
import { isLoopback } from "../engines/engine-url.ts";
import { describeExposure } from "../engines/exposure.ts";
import { type ErrorCode, type PosternError, toPosternError } from "../errors.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import type { FileLock } from "../lib/file-lock.ts";
import { makePrivateFolder } from "../lib/private-file.ts";
import { Connector } from "../tunnel/connector.ts";
import { EngineKeys } from "./engine-keys.ts";
import { type EngineRunState, EngineSupervisor } from "./engine-supervisor.ts";
import { EngineWatch } from "./engine-watch.ts";
import { Guard } from "./guard.ts";
import { basicHardware, readGpus } from "./hardware.ts";
import type { AgentLog } from "./log.ts";
import { sendMagicPacket } from "./magic-packet.ts";
import type { AgentOptions, AgentStatus, RunningAgent } from "./main.ts";
import { whyNoModels } from "./models-reason.ts";
import { buildReport } from "./report.ts";
import { type AttemptEvents, serveAttempt } from "./serve-attempt.ts";
import { startProgram } from "./start-program.ts";
import type { AgentState, Membership } from "./state.ts";
import { TABLES } from "./tables.ts";
import type { EngineSettings } from "./watched-engine.ts";

const EMBEDDED_NAME = "embedded";

/** What an agent that another gateway invited hears. From elsewhere it may also be somebody in between: dialled again. */
const UNKNOWN_HERE: ReadonlySet<ErrorCode> = new Set(["connector_refused", "gateway_not_trusted"]);

/** The agent at work: everything that `startAgent` puts together. Makes no connection before `start`. */
export class Agent implements RunningAgent, AttemptEvents {
  readonly ended: Promise<PosternError | null>;
  readonly #options: AgentOptions;
  readonly #log: AgentLog;
  readonly #clock: Clock;
  readonly #state: AgentState;
  readonly #lock: FileLock;
  readonly #keys: EngineKeys;
  readonly #watch: EngineWatch;
  readonly #connector: Connector;
  readonly #embedded: EngineSupervisor<EmbeddedEngine>;
  readonly #started: ReadonlyMap<string, EngineSupervisor>;
  readonly #end: (error: PosternError | null) => void;
  readonly #hardware = basicHardware();
  /** By engine name; null where it was looked at and is fine. */
  readonly #exposures = new Map<string, string | null>();
  readonly #remoteModels: ReadonlySet<string>;
  #membership: Membership;
  #lastReport = "";
  #isStopping = false;

  constructor(options: AgentOptions, state: AgentState, membership: Membership, lock: FileLock) {
    this.#lock = lock;
    this.#options = options;
    this.#log = options.log;
    this.#clock = options.clock ?? systemClock;
    this.#state = state;
    this.#membership = membership;
    this.#remoteModels = new Set(options.config.guard.remoteModels);
    this.#keys = EngineKeys.open(state.folder);
    const { promise, resolve } = Promise.withResolvers<PosternError | null>();
    this.ended = promise;
    this.#end = resolve;
    this.#watch = new EngineWatch({
      engines: options.config.engines.map(settingsOf),
      discover: options.config.discover,
      clock: this.#clock,
      onRead: () => this.#onRead(),
      ...(options.addresses === undefined ? {} : { addresses: options.addresses }),
      // Engines of our own are not to be found a second time, under another name and without their key.
      ownPorts: [...(options.ownPorts ?? []), ...options.config.started.flatMap(({ port }) => port ?? [])],
      reservedNames: options.config.started.map(({ name }) => name),
    });
    this.#connector = this.#createConnector();
    this.#embedded = this.#createEmbedded();
    this.#started = new Map(options.config.started.map((engine) => [engine.name, this.#createStarted(engine)]));
  }

  async start(): Promise<void> {
    this.#connector.start();
    for (const engine of this.#started.values()) engine.start();
    await this.#watch.start();
    const { mode } = this.#options.config.embedded;
    const hasEngine = this.#watch.list().length > 0 || this.#started.size > 0;
    if (!this.#isStopping && (mode === "always" || (mode === "auto" && !hasEngine))) this.#embedded.start();
    void this.#lookAtGpus();
  }

  status(): AgentStatus {
    const engines = this.#watch.list().map((engine) => engine.report(this.#remoteModels));
    const { state: embedded } = this.#embedded;
    const started = [...this.#started].map(([name, { state }]) => ({ name, state }));
    return {
      gateway: this.#membership.gateway,
      node: this.#membership.node,
      connection: this.#connector.state,
      attempts: this.#connector.running,
      engines,
      embedded,
      started,
      modelsReason: whyNoModels(
        engines,
        embedded,
        this.#options.config.embedded.mode !== "none",
        started.map(({ state }) => state),
      ),
      warnings: [...this.#exposures].flatMap(([name, words]) => (words === null ? [] : [`${name}: ${words}`])),
    };
  }

  async drain(drainMs?: number): Promise<void> {
    this.#log.info({ attempts: this.#connector.running }, "agent_draining");
    await this.#connector.drain(drainMs);
    await this.stop();
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#connector.stop();
    const started = [...this.#started.values()].map((engine) => engine.stop());
    await Promise.all([this.#embedded.stop(), ...started, this.#watch.stop()]);
    this.#lock.release();
    this.#end(null);
  }

  onDenied(attempt: Parameters<AttemptEvents["onDenied"]>[0], failure: Parameters<AttemptEvents["onDenied"]>[1]): void {
    const { requestId, engine, operation } = attempt.request;
    this.#log.warn({ requestId, engine, operation, kind: failure.kind, detail: failure.detail }, "attempt_denied");
  }

  onEngineFailure(...[attempt, engine, failure]: Parameters<AttemptEvents["onEngineFailure"]>): void {
    const { requestId, operation } = attempt.request;
    const { phase, kind, detail } = failure;
    this.#log.warn({ requestId, engine: engine.name, operation, phase, kind, detail }, "engine_failed");
    if (kind !== "protocol") this.#watch.suspect(engine.name);
  }

  #createConnector(): Connector {
    const guard = new Guard({
      findEngine: (name) => this.#watch.find(name),
      remoteModels: this.#remoteModels,
      codecs: createCodecs(this.#options.config.guard.fields),
    });
    return new Connector({
      url: new URL(this.#membership.gateway),
      gatewayFingerprint: this.#membership.gatewayFingerprint,
      identity: this.#state.identity,
      environment: this.#options.environment ?? {},
      agentVersion: this.#options.version,
      tables: TABLES,
      nextEpoch: async (floor) => this.#state.nextEpoch(floor),
      onAttempt: (attempt) => serveAttempt(attempt, guard, this),
      onEngineProbe: async (engine) => (await this.#watch.find(engine)?.ask()) ?? null,
      clock: this.#clock,
      events: {
        onState: (connection) => {
          if (connection.name === "failed") this.#onRefused(connection.error);
          this.#changed();
        },
        onDialFailure: ({ error, stage }, waitMs) => {
          const { code, message: reason } = error;
          this.#log.warn({ code, reason, stage, waitMs: Math.round(waitMs) }, "dial_failed");
          if (UNKNOWN_HERE.has(code) && isLoopback(new URL(this.#membership.gateway))) this.#giveUp(error);
        },
        onLinkOpen: (slot, carrier) => this.#log.info({ slot, carrier }, "link_open"),
        onLinkClosed: (slot, detail) => this.#log.info({ slot, detail }, "link_closed"),
        onGatewayFingerprint: (gatewayFingerprint) => this.#onRotation(gatewayFingerprint),
        onWake: (mac) => this.#wake(mac),
        onModels: (granted, refused) => this.#log.info({ granted, refused }, "models_granted"),
      },
    });
  }

  #wake(mac: string): void {
    if (!this.#options.config.wakeOnLan) {
      this.#log.warn({ mac, hint: "Set agent.wakeOnLan to allow it." }, "wake_refused");
      return;
    }
    sendMagicPacket(mac).then(
      () => this.#log.info({ mac }, "wake_sent"),
      (error: unknown) => this.#log.warn({ mac, reason: String(error) }, "wake_failed"),
    );
  }

  #createStarted(config: StartedEngineConfig): EngineSupervisor {
    const { name, kind } = config;
    const apiKey = this.#keys.keyOf(name);
    const folder = join(this.#state.folder, "engines");
    return new EngineSupervisor({
      title: `The engine "${name}"`,
      start: (signal) => {
        makePrivateFolder(folder);
        const onLeftover = (pid: number) => this.#log.warn({ engine: name, pid }, "engine_leftover_ended");
        return startProgram({ config, apiKey, folder, clock: this.#clock, signal, onLeftover });
      },
      // A program that is not there does not come by itself; one that ended may have found the GPU's memory taken.
      isPassing: (error) => error.code === "engine_start" && error.detail["isMissing"] !== true,
      clock: this.#clock,
      onUp: ({ url }) => this.#watch.add({ ...PLAIN, name, url, kind, apiKey, exposureAccepted: true }),
      onDown: () => this.#watch.remove(name),
      onState: (state) => this.#onEngineState("started_engine", { engine: name }, state),
    });
  }

  #onEngineState(event: string, fields: object, state: EngineRunState): void {
    const error =
      state.name === "failed"
        ? {
            code: state.error.code,
            reason: state.error.message,
            ...(state.error.hint === undefined ? {} : { hint: state.error.hint }),
          }
        : {};
    this.#log[state.name === "failed" ? "error" : "info"]({ ...fields, state: state.name, ...error }, event);
    this.#changed();
  }

  #createEmbedded(): EngineSupervisor<EmbeddedEngine> {
    const { onProgress, config, dataFolder } = this.#options;
    let name = EMBEDDED_NAME;
    const start = this.#options.startEmbedded ?? startEmbedded;
    return new EngineSupervisor({
      title: "The embedded engine",
      start: (signal) =>
        start({
          dataFolder,
          modelPath: config.embedded.modelPath,
          apiKey: this.#keys.keyOf(EMBEDDED_NAME),
          ...(onProgress === undefined ? {} : { onProgress }),
          signal,
        }),
      clock: this.#clock,
      onUp: async ({ url }: EmbeddedEngine) => {
        name = uniqueName(EMBEDDED_NAME, new Set(this.#watch.list().map((engine) => engine.name)));
        const apiKey = this.#keys.keyOf(EMBEDDED_NAME);
        await this.#watch.add({ ...PLAIN, name, url, kind: "embedded", apiKey, exposureAccepted: true });
      },
      onDown: () => this.#watch.remove(name),
      onState: (embedded) => this.#onEngineState("embedded_engine", {}, embedded),
    });
  }

  #onRead(): void {
    const report = buildReport(
      this.#options.version,
      this.#hardware,
      this.#watch.list().map((engine) => engine.report(this.#remoteModels)),
    );
    const text = JSON.stringify(report);
    if (text === this.#lastReport) return;
    this.#lastReport = text;
    this.#connector.report(report);
    for (const engine of this.#watch.list()) {
      if (engine.state.ready && !this.#exposures.has(engine.name)) void this.#lookAtExposure(engine.settings);
    }
    this.#changed();
  }

  /** Once per engine and run, until the operator says that it is meant so. */
  async #lookAtExposure({ name, url, exposureAccepted }: EngineSettings): Promise<void> {
    this.#exposures.set(name, null);
    if (exposureAccepted) return;
    const words = await describeExposure(url);
    if (words === null || this.#isStopping) return;
    this.#exposures.set(name, words);
    const hint = `Let it listen on loopback only, or set agent.engines.${name}.exposureAccepted.`;
    this.#log.warn({ engine: name, reason: words, hint }, "engine_exposed");
    this.#changed();
  }

  async #lookAtGpus(): Promise<void> {
    this.#hardware.gpus = await readGpus();
    if (!this.#isStopping) this.#onRead();
  }

  #onRotation(gatewayFingerprint: string): void {
    this.#membership = { ...this.#membership, gatewayFingerprint };
    try {
      this.#state.join(this.#membership);
      this.#log.info({ gatewayFingerprint }, "gateway_identity_rotated");
    } catch (error) {
      this.#log.error({ reason: toPosternError(error).message }, "state_not_written");
    }
  }

  /** A gateway on this machine is whom it seems to be: one that does not know this agent will not know it later. */
  #giveUp(error: PosternError): void {
    void this.#connector.stop();
    this.#onRefused(error);
  }

  #onRefused(error: PosternError): void {
    this.#log.error({ code: error.code, reason: error.message, hint: error.hint }, "gateway_refused");
    this.#end(error);
  }

  #changed(): void {
    this.#options.onStatus?.(this.status());
  }
}

const PLAIN = { kind: null, apiKey: null, host: null, caFile: null, serverName: null, exposureAccepted: false };

function settingsOf(engine: AgentConfig["engines"][number]): EngineSettings {
  return { ...engine, url: new URL(engine.url) };
}
