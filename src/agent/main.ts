import { join } from "node:path";
import type { AgentConfig } from "../config/agent-config.ts";
import type { OnEngineProgress } from "../engines/embedded/progress.ts";
import type { EmbeddedEngine, EmbeddedOptions } from "../engines/embedded/start.ts";
import type { PosternError } from "../errors.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import { makePrivateFolder } from "../lib/private-file.ts";
import type { Secret } from "../lib/secret.ts";
import type { ConnectorState } from "../tunnel/connector.ts";
import type { EngineReport } from "../tunnel/link.ts";
import type { ProxyEnvironment } from "../tunnel/proxy-connect.ts";
import type { EngineRunState } from "./engine-supervisor.ts";
import { lockAgentFolder } from "./folder-lock.ts";
import { joinGateway } from "./join-gateway.ts";
import type { AgentLog } from "./log.ts";
import { Agent } from "./running-agent.ts";
import { AgentState, type Membership } from "./state.ts";
import { TABLES } from "./tables.ts";

export interface AgentOptions {
  /** The agent keeps its state in `agent/` below it, and the embedded engine in `engine/` and `models/`. */
  dataFolder: string;
  /** Version of this program, for the gateway. */
  version: string;
  config: AgentConfig;
  /** Origin of the gateway; null: `config.gateway`, else the one that was joined before. */
  gateway: URL | null;
  /** `pstn_…` of `agent join`; null: this machine has joined before. */
  invitation: Secret | null;
  log: AgentLog;
  /** Ports of this machine where Postern listens, besides the default ones: never taken for an engine. */
  ownPorts?: readonly number[];
  /** Where to look for engines; default: the usual ports on loopback. */
  addresses?: readonly URL[];
  /** Progress of installing and starting the embedded engine. */
  onProgress?: OnEngineProgress;
  /** Called on every change. Must not throw. */
  onStatus?: (status: AgentStatus) => void;
  /** Where `HTTPS_PROXY` and its like are read. Default: none. */
  environment?: ProxyEnvironment;
  /** Starts the embedded engine; a stand-in in tests. */
  startEmbedded?: (options: EmbeddedOptions) => Promise<EmbeddedEngine>;
  clock?: Clock;
  /** Gives up while joining. After `startAgent` has resolved it has no effect; use `stop`. */
  signal?: AbortSignal;
}

export interface AgentStatus {
  gateway: string;
  node: { id: string; name: string };
  connection: ConnectorState;
  /** Attempts that run now. */
  attempts: number;
  engines: EngineReport[];
  embedded: EngineRunState;
  /** Engines of `agent.engines` that the agent starts itself, by name. */
  started: ReadonlyArray<{ name: string; state: EngineRunState }>;
  /** Why no model is served and what to do about it; null when there is one, or soon will be. */
  modelsReason: string | null;
  /** Engines that others in the network can reach past Postern, in words. */
  warnings: string[];
}

export interface RunningAgent {
  status(): AgentStatus;
  /** Takes no more attempts, lets running ones finish (default at most 10 min), then stops. */
  drain(drainMs?: number): Promise<void>;
  /** Ends everything at once. Idempotent. */
  stop(): Promise<void>;
  /** Resolves when the agent has ended: null after `drain` or `stop`, else what a person has to do. */
  readonly ended: Promise<PosternError | null>;
}

/**
 * Starts the agent: joins or remembers its gateway, finds engines, keeps the links up and serves attempts.
 *
 * Resolves when the engines were looked for once and the first dial is on its way. The embedded engine, where it is needed,
 * is prepared in the background; without any engine the agent stays connected and says why it serves nothing.
 *
 * @throws PosternError of `joinGateway`, `data_folder`, `config_invalid`.
 */
export async function startAgent(options: AgentOptions): Promise<RunningAgent> {
  const folder = join(options.dataFolder, "agent");
  makePrivateFolder(folder);
  const lock = lockAgentFolder(folder);
  try {
    const state = AgentState.open(folder);
    const agent = new Agent(options, state, await findGateway(options, state), lock);
    await agent.start();
    return agent;
  } catch (error) {
    lock.release();
    throw error;
  }
}

function findGateway(options: AgentOptions, state: AgentState): Promise<Membership> {
  const gateway = options.gateway ?? (options.config.gateway === null ? null : new URL(options.config.gateway));
  return joinGateway({
    state,
    gateway,
    invitation: options.invitation,
    agentVersion: options.version,
    tables: TABLES,
    environment: options.environment ?? {},
    clock: options.clock ?? systemClock,
    signal: options.signal ?? new AbortController().signal,
  });
}
