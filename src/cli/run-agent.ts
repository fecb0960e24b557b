import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type AgentStatus, startAgent } from "../agent/main.ts";
import { AgentState } from "../agent/state.ts";
import type { AgentConfig } from "../config/agent-config.ts";
import { prepareDataFolder } from "../config/data-folder.ts";
import { isLoopback } from "../config/listen-address.ts";
import { loadConfig } from "../config/load.ts";
import { type EngineProgress, step } from "../engines/embedded/progress.ts";
import { startEmbedded } from "../engines/embedded/start.ts";
import { PosternError, toPosternError } from "../errors.ts";
import { growHeapBy } from "../lib/heap-growth.ts";
import { Secret } from "../lib/secret.ts";
import { VERSION } from "../lib/version.ts";
import { toFailedMessage } from "./child-protocol.ts";
import { chooseEngines } from "./choose-engines.ts";
import type { AgentCommandOptions } from "./commands/agent.ts";
import type { CommonOptions } from "./invocation.ts";
import { createLogger } from "./logger.ts";
import type { Output } from "./output.ts";
import { Progress } from "./progress.ts";
import { findSupervisor, StopRequests, type Supervisor } from "./supervised.ts";

export interface AgentRun {
  /** Of `agent join`; null: this machine has joined before. */
  invitation: Secret | null;
  /** Gateway to dial; null: the configured one, or the one that was joined. */
  gateway: URL | null;
  /** Script that the embedded engine's process runs, where there is no file of its own for it (the bundle). */
  engineEntry: URL | null;
}

/** The gateway of this machine does not know this agent, or is another one than it joined: `up` may invite it again. */
const CURED_BY_INVITATION: ReadonlySet<string> = new Set(["connector_refused", "gateway_not_trusted"]);

/** Reads of links over TLS take 64 KiB each beside reads of engines (Node 26.10), and its heap is small: three times as much is 50 MB. */
const HEAP_GROWTH_PERCENT = 300;

/** Runs the agent until it is told to stop; see `StopRequests`. @returns the exit code. Rejects when it cannot join or is refused for good. */
export async function runAgent(
  options: AgentCommandOptions & CommonOptions,
  run: AgentRun,
  output: Output,
): Promise<number> {
  const supervisor = findSupervisor();
  const stops = new StopRequests(supervisor);
  growHeapBy(HEAP_GROWTH_PERCENT);
  try {
    const config = loadConfig({ part: "agent", flags: options });
    prepareDataFolder(config.dataFolder);
    const agentConfig = chooseEngines(config.agent, options);
    const log = createLogger(config.logLevel, "agent");
    let { invitation, gateway } = run;
    let ownPorts = [config.gateway.listen.port, config.gateway.admin.listen.port];
    if (supervisor !== null) {
      const told = await waitForGateway(supervisor, stops);
      if (told === null) return 0;
      gateway = new URL(told.gatewayUrl);
      ownPorts = told.ownPorts;
    }
    let hasTold = false;
    for (;;) {
      const failure = await serveOnce();
      if (failure === null) return 0;
      if (supervisor === null || !CURED_BY_INVITATION.has(failure.code)) throw failure;
      refuseToLeaveAnother(config.dataFolder, failure);
      const invited = await askInvitation(supervisor, failure, stops);
      if (invited === null) return 0;
      invitation = invited;
    }

    async function serveOnce(): Promise<PosternError | null> {
      const telling = supervisor === null ? tellPeople() : tellSupervisor(supervisor, agentConfig);
      const gaveUp = new AbortController();
      void stops.asked.then(() => gaveUp.abort());
      try {
        const agent = await startAgent({
          dataFolder: config.dataFolder,
          version: VERSION,
          config: agentConfig,
          gateway,
          invitation,
          log,
          ownPorts,
          environment: process.env,
          signal: gaveUp.signal,
          onProgress: telling.onProgress,
          onStatus: telling.onStatus,
          ...(run.engineEntry === null
            ? {}
            : { startEmbedded: (embedded) => startEmbedded({ ...embedded, entry: run.engineEntry ?? new URL("") }) }),
        });
        telling.onStarted(agent.status());
        if (supervisor === null && !hasTold) {
          hasTold = true;
          tellStarted(agent.status(), run, output);
        }
        return await stops.serve(agent, agent.ended);
      } catch (error) {
        return gaveUp.signal.aborted ? null : toPosternError(error);
      } finally {
        telling.end();
      }
    }
  } catch (error) {
    if (supervisor === null) throw error;
    // The supervisor prints it, once.
    supervisor.tell(toFailedMessage(error));
    return 1;
  } finally {
    stops.dispose();
  }
}

/** An agent that works for a gateway elsewhere must not be taken over in silence by the one that `up` runs here. */
function refuseToLeaveAnother(dataFolder: string, failure: PosternError): void {
  const { membership } = AgentState.open(join(dataFolder, "agent"));
  if (failure.code !== "gateway_not_trusted" || membership === null) return;
  const { hostname, origin } = new URL(membership.gateway);
  if (isLoopback(hostname.replace(/^\[|\]$/g, ""))) return;
  throw new PosternError("gateway_not_trusted", {
    message: `The agent of this data folder has joined ${origin}, not the gateway of this machine`,
    hint: "Run it alone with `postern agent`, or give `postern up` a data folder of its own with --data.",
  });
}

/** Where the gateway is, once it serves. Null when the process is to end first. */
async function waitForGateway(
  supervisor: Supervisor,
  stops: StopRequests,
): Promise<{ gatewayUrl: string; ownPorts: number[] } | null> {
  const told = new Promise<{ gatewayUrl: string; ownPorts: number[] }>((resolve) => {
    supervisor.onMessage((message) => {
      if (message.type === "dial") resolve(message);
    });
  });
  supervisor.tell({ type: "agent-waiting" });
  return Promise.race([told, stops.asked.then(() => null)]);
}

/** Asks `up` for an invitation. Null when the process is to end first. */
async function askInvitation(
  supervisor: Supervisor,
  failure: PosternError,
  stops: StopRequests,
): Promise<Secret | null> {
  const invited = new Promise<Secret>((resolve) => {
    supervisor.onMessage((message) => {
      if (message.type === "join") resolve(new Secret(message.code));
    });
  });
  supervisor.tell({ type: "agent-needs-invitation", reason: failure.message });
  return Promise.race([invited, stops.asked.then(() => null)]);
}

interface Telling {
  onProgress(progress: EngineProgress): void;
  onStatus(status: AgentStatus): void;
  /** The first look at the engines is over: from here on "no model" is an answer, not a beginning. */
  onStarted(status: AgentStatus): void;
  end(): void;
}

function tellSupervisor(supervisor: Supervisor, config: AgentConfig): Telling {
  let isStarted = false;
  function tellState(status: AgentStatus): void {
    const isPreparing = status.embedded.name === "starting" || status.embedded.name === "waiting";
    supervisor.tell({
      type: "agent-state",
      node: status.node.name,
      isConnected: status.connection.name === "connected",
      noModelReason: isStarted && !isPreparing ? status.modelsReason : null,
    });
  }
  supervisor.tell({
    type: "progress",
    ...step("prepare", config.discover ? "Looking for engines on this machine" : "Asking the engine"),
  });
  return {
    onProgress: ({ message, done, total, unit }) => supervisor.tell({ type: "progress", message, done, total, unit }),
    onStatus: tellState,
    onStarted(status) {
      isStarted = true;
      tellState(status);
    },
    end: () => {},
  };
}

function tellPeople(): Telling {
  const progress = new Progress();
  return {
    onProgress({ phase, message, done, total, unit }) {
      if (phase === "ready") progress.clear();
      else
        progress.update(
          message,
          done === null ? "" : `${done}${total === null ? "" : `/${total}`} ${unit ?? ""}`.trim(),
        );
    },
    onStatus() {},
    onStarted() {},
    end: () => progress.clear(),
  };
}

function tellStarted({ node, gateway, modelsReason, warnings }: AgentStatus, run: AgentRun, output: Output): void {
  const again = run.engineEntry === null ? "postern agent" : `node ${fileURLToPath(run.engineEntry)} agent`;
  for (const warning of warnings) output.note(`Warning: ${warning}`, "yellow");
  output.result({ node: node.name, gateway, pid: process.pid }, (paint) =>
    [
      `${paint("bold", "Agent")} of node ${node.name} for ${gateway}`,
      ...(modelsReason === null ? [] : [paint("yellow", modelsReason)]),
      paint("dim", `It keeps running here; Ctrl-C stops it. Next time: ${again}`),
    ].join("\n"),
  );
}
