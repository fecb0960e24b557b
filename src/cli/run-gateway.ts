import { AdminClient } from "../admin/client.ts";
import { socketTransport } from "../admin/transport.ts";
import { prepareDataFolder } from "../config/data-folder.ts";
import { loadConfig } from "../config/load.ts";
import type { Risk } from "../config/refuse-unsafe-listen.ts";
import { startGateway } from "../gateway/main.ts";
import { growHeapBy } from "../lib/heap-growth.ts";
import { trimHeap } from "../lib/trim-heap.ts";
import { toFailedMessage } from "./child-protocol.ts";
import { firstSetupLink } from "./first-setup-link.ts";
import type { CommonOptions } from "./invocation.ts";
import { createLogger } from "./logger.ts";
import type { Output } from "./output.ts";
import { findSupervisor, StopRequests } from "./supervised.ts";

/** A gateway does not fail by itself once it serves: what breaks then is answered with errors. */
const NEVER = new Promise<never>(() => {});

/** With 200 a gateway under long prompts needs 30 MB more, and is no faster. */
const HEAP_GROWTH_PERCENT = 100;

/** Runs the gateway until it is told to stop; see `StopRequests`. @returns the exit code. Rejects when it cannot start. */
export async function runGateway(
  options: CommonOptions & { listen?: string; adminListen?: string; acceptRisk?: Risk[] },
  output: Output,
): Promise<number> {
  const supervisor = findSupervisor();
  const stops = new StopRequests(supervisor);
  let onHangup = (): void => {};
  // By the custom of servers; the file is also looked at. Before the gateway is there, it means nothing.
  const hangUp = (): void => onHangup();
  process.on("SIGHUP", hangUp);
  try {
    const load = () => loadConfig({ part: "gateway", flags: options });
    const config = load();
    prepareDataFolder(config.dataFolder);
    const gateway = await startGateway(config, {
      log: createLogger(config.logLevel, "gateway"),
      acceptedRisks: new Set(options.acceptRisk),
      load,
    });
    onHangup = () => void gateway.reload();
    const { publicUrl, adminUrl, socketPath } = gateway;
    growHeapBy(HEAP_GROWTH_PERCENT);
    trimHeap();
    supervisor?.tell({ type: "gateway-ready", publicUrl, adminUrl, socketPath });
    if (supervisor === null) {
      const setupLink = await firstSetupLink(new AdminClient(socketTransport(socketPath)), output);
      output.result({ baseUrl: `${publicUrl}/v1`, adminUrl, pid: process.pid }, (paint) =>
        [
          `${paint("bold", "Gateway")} ${publicUrl}/v1`,
          ...(setupLink === null ? [] : [`${paint("bold", "Your first login")} (once, within the hour) ${setupLink}`]),
          paint("dim", `Health, metrics and the admin API ${adminUrl}. Ctrl-C stops it.`),
        ].join("\n"),
      );
    }
    await stops.serve(gateway, NEVER);
    return 0;
  } catch (error) {
    if (supervisor === null) throw error;
    // The supervisor prints it, once.
    supervisor.tell(toFailedMessage(error));
    return 1;
  } finally {
    process.off("SIGHUP", hangUp);
    stops.dispose();
  }
}
