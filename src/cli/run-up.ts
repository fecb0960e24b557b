import { AdminClient } from "../admin/client.ts";
import { socketTransport } from "../admin/transport.ts";
import { prepareDataFolder } from "../config/data-folder.ts";
import { formatListen } from "../config/listen-address.ts";
import { loadConfig } from "../config/load.ts";
import type { ResolvedConfig } from "../config/resolved.ts";
import { PosternError } from "../errors.ts";
import { systemClock } from "../lib/clock.ts";
import type { ChildMessage } from "./child-protocol.ts";
import { chooseEngines } from "./choose-engines.ts";
import type { UpOptions } from "./commands/up.ts";
import { waitForFirstModel } from "./first-model.ts";
import { firstSetupLink } from "./first-setup-link.ts";
import type { CommonOptions } from "./invocation.ts";
import { localNodeName } from "./local-node-name.ts";
import type { Output } from "./output.ts";
import { Progress } from "./progress.ts";
import { agentCommandLine, gatewayCommandLine, spawnPart } from "./spawn-part.ts";
import { SupervisedChild } from "./supervised-child.ts";
import { renderServing, type Serving } from "./up-result.ts";

/** Invitations that one run makes for its own agent; more would mean that joining does not work. */
const MAX_INVITATIONS = 3;
const DRAIN_NOTE = "Finishing what runs; a second Ctrl-C or SIGTERM stops at once.";

type GatewayReady = Extract<ChildMessage, { type: "gateway-ready" }>;
type AgentState = Extract<ChildMessage, { type: "agent-state" }>;

/** Starts everything, says how to use it, and stays until it is told to stop. @returns the exit code. */
export async function runUp(options: UpOptions & CommonOptions, output: Output): Promise<number> {
  const config = loadConfig({ part: "check", flags: options });
  // The agent's process does this again; here it keeps a wrong flag from starting anything.
  chooseEngines(config.agent, options);
  prepareDataFolder(config.dataFolder);
  const up = new Up(config, options, output);
  return up.run();
}

class Up {
  readonly #config: ResolvedConfig;
  readonly #output: Output;
  readonly #progress = new Progress();
  readonly #gateway: SupervisedChild;
  readonly #agent: SupervisedChild;
  readonly #gatewayReady = Promise.withResolvers<GatewayReady>();
  readonly #stopping = Promise.withResolvers<void>();
  #admin: AdminClient | null = null;
  #served: GatewayReady | null = null;
  #agentState: AgentState | null = null;
  #lastSignMs = systemClock.monotonicMs();
  #invitations = 0;
  #isServing = false;
  #signals = 0;

  constructor(config: ResolvedConfig, options: UpOptions & CommonOptions, output: Output) {
    this.#config = config;
    this.#output = output;
    this.#gateway = this.#child("gateway", () => gatewayCommandLine(config, options, this.#served));
    this.#agent = this.#child("agent", () => agentCommandLine(config, options));
  }

  async run(): Promise<number> {
    const onSignal = (): void => this.#onSignal();
    process.on("SIGINT", onSignal);
    process.on("SIGTERM", onSignal);
    const keepAlive = setInterval(() => {}, 2 ** 30);
    try {
      const outcome = await Promise.race([
        this.#serve(),
        this.#gateway.gaveUp,
        this.#agent.gaveUp,
        this.#stopping.promise,
      ]);
      if (outcome instanceof PosternError) throw outcome;
      return 0;
    } finally {
      this.#progress.clear();
      await this.#stopChildren();
      clearInterval(keepAlive);
      process.off("SIGINT", onSignal);
      process.off("SIGTERM", onSignal);
    }
  }

  /** Never resolves by itself: it serves until `run` stops it. */
  async #serve(): Promise<never> {
    this.#progress.update("Starting the gateway");
    this.#gateway.start();
    // Its process loads while the gateway opens its store; it dials when it is told to.
    this.#agent.start();
    const ready = await this.#gatewayReady.promise;
    this.#gateway.markServing();
    const admin = new AdminClient(socketTransport(ready.socketPath));
    this.#admin = admin;

    this.#progress.update("Starting the agent");
    const { models, reason } = await waitForFirstModel({
      admin,
      agent: { noModelReason: () => this.#noModelReason(), lastSignMs: () => this.#lastSignMs },
      nowMs: () => systemClock.monotonicMs(),
      pause: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      onProbe: (model, isLoaded) =>
        this.#progress.update(`Waiting for ${model} to answer${isLoaded ? "" : ", which has to be loaded first"}`),
    });
    this.#agent.markServing();
    this.#isServing = true;
    const apiKey = await firstKey(admin);
    this.#progress.clear();
    const serving: Serving = {
      baseUrl: `${ready.publicUrl}/v1`,
      adminUrl: ready.adminUrl,
      apiKey,
      models,
      modelsReason: reason,
      node: this.#agentState?.node ?? localNodeName(this.#config),
    };
    const setupLink = await firstSetupLink(admin, this.#output);
    this.#output.result(serving, (paint) => renderServing(serving, paint, setupLink));
    return new Promise(() => {});
  }

  #onMessage(message: ChildMessage): void {
    this.#lastSignMs = systemClock.monotonicMs();
    switch (message.type) {
      case "gateway-ready":
        this.#served = message;
        this.#gatewayReady.resolve(message);
        break;
      case "agent-waiting":
        void this.#tellAgentToDial();
        break;
      case "agent-needs-invitation":
        void this.#invite();
        break;
      case "agent-state":
        this.#agentState = message;
        break;
      case "progress": {
        const { done, total, unit } = message;
        this.#progress.update(
          message.message,
          done === null ? "" : `${done}${total === null ? "" : `/${total}`} ${unit ?? ""}`.trim(),
        );
        break;
      }
      case "failed":
        break;
      default:
        message satisfies never;
    }
  }

  async #tellAgentToDial(): Promise<void> {
    const { publicUrl, adminUrl } = await this.#gatewayReady.promise;
    const gatewayUrl = this.#dialUrl(publicUrl);
    const ownPorts = [gatewayUrl, adminUrl].map((url) => Number(new URL(url).port)).filter((port) => port > 0);
    this.#agent.tell({ type: "dial", gatewayUrl, ownPorts });
  }

  async #invite(): Promise<void> {
    if (this.#isServing) {
      // Somebody removed the node; making it again in silence would undo that.
      this.#output.note(
        "The gateway does not know this machine's agent any more. Next step: start `postern up` again to join anew.",
        "yellow",
      );
      return;
    }
    const gatewayUrl = this.#dialUrl((await this.#gatewayReady.promise).publicUrl);
    this.#invitations++;
    try {
      if (this.#invitations > MAX_INVITATIONS) {
        throw new PosternError("invitation_refused", {
          message: "The agent could not join the gateway of this machine",
        });
      }
      const invited = await this.#admin?.inviteNode({ name: localNodeName(this.#config), url: gatewayUrl });
      if (invited !== undefined) this.#agent.tell({ type: "join", code: invited.code });
    } catch (error) {
      this.#output.note(error instanceof Error ? error.message : String(error), "red");
      this.#agent.kill();
      this.#stopping.reject(error);
    }
  }

  /** Where the agent finds the gateway on this machine, whatever name it has in public. */
  #dialUrl(publicUrl: string): string {
    const { listen, tls, publicUrl: configured } = this.#config.gateway;
    if (configured === null) return publicUrl;
    const host = listen.host === "0.0.0.0" ? "127.0.0.1" : listen.host === "::" ? "::1" : listen.host;
    return `${tls === null ? "http" : "https"}://${formatListen({ host, port: listen.port })}`;
  }

  #noModelReason(): string | null {
    return this.#agentState?.noModelReason ?? null;
  }

  #onSignal(): void {
    this.#signals++;
    if (this.#signals === 1) {
      this.#progress.clear();
      this.#output.note(DRAIN_NOTE);
      this.#stopping.resolve();
      return;
    }
    this.#gateway.kill();
    this.#agent.kill();
  }

  async #stopChildren(): Promise<void> {
    // The gateway first: its running answers come through the agent.
    await this.#gateway.drain();
    await this.#agent.drain();
    await this.#admin?.close();
  }

  #child(name: "gateway" | "agent", commandLine: () => string[]): SupervisedChild {
    return new SupervisedChild({
      name,
      clock: systemClock,
      random: Math.random,
      spawn: () => spawnPart(commandLine(), this.#logLevel()),
      onMessage: (message) => this.#onMessage(message),
      onCrash: (how, delayMs) =>
        this.#output.note(
          `The ${name} ended (${how}); starting it again in ${(delayMs / 1000).toFixed(1)} s`,
          "yellow",
        ),
    });
  }

  /** On a terminal the log would bury what a person reads, so that only trouble is shown unless more is asked for. */
  #logLevel(): string {
    return (
      process.env["POSTERN_LOG"] || (process.stderr.isTTY && !this.#output.isJson ? "warn" : this.#config.logLevel)
    );
  }
}

/** The first key, made by the run that finds none; null on every other. */
async function firstKey(admin: AdminClient): Promise<string | null> {
  if ((await admin.listKeys()).length > 0) return null;
  return (await admin.createKey({ name: "first" })).secret;
}
