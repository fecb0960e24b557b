import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { formatListen } from "../config/listen-address.ts";
import type { ListenAddress, ResolvedConfig } from "../config/resolved.ts";
import { SUPERVISED_VARIABLE } from "./child-protocol.ts";
import type { UpOptions } from "./commands/up.ts";

/** `bin/postern.js`, beside `src` and `dist` alike. */
const LAUNCHER = fileURLToPath(new URL("../../bin/postern.js", import.meta.url));

/** Starts a part of `postern up` as a process with an IPC channel. No secret is ever on its command line. */
export function spawnPart(commandLine: readonly string[], logLevel: string): ChildProcess {
  // A debugger's port is taken by this process already.
  const nodeFlags = process.execArgv.filter((argument) => !argument.startsWith("--inspect"));
  return spawn(process.execPath, [...nodeFlags, LAUNCHER, ...commandLine], {
    // What the parts print belongs to the log; stdout is for the one result.
    stdio: ["ignore", 2, 2, "ipc"],
    env: { ...process.env, [SUPERVISED_VARIABLE]: "1", POSTERN_LOG: logLevel },
  });
}

/**
 * Command line of the gateway's process.
 *
 * @param served Where it served before it crashed: a port that the system chose must be the same again, because the agent
 * and callers know it by now.
 */
export function gatewayCommandLine(
  config: ResolvedConfig,
  options: UpOptions,
  served: { publicUrl: string; adminUrl: string } | null,
): string[] {
  const { listen, admin } = config.gateway;
  return [
    "gateway",
    ...commonFlags(config),
    ...flag("--listen", sameAddress(listen, served?.publicUrl) ?? options.listen),
    ...flag("--admin-listen", sameAddress(admin.listen, served?.adminUrl) ?? options.adminListen),
    ...(options.acceptRisk ?? []).map((risk) => `--accept-risk=${risk}`),
  ];
}

/** Command line of the agent's process. Where the gateway is, it is told over the channel. */
export function agentCommandLine(config: ResolvedConfig, options: UpOptions): string[] {
  return ["agent", ...commonFlags(config), ...flag("--engine", options.engine), ...flag("--model", options.model)];
}

function commonFlags(config: ResolvedConfig): string[] {
  return [...flag("--config", config.file ?? undefined), "--data", config.dataFolder];
}

function sameAddress({ host, port }: ListenAddress, servedUrl: string | undefined): string | undefined {
  return port !== 0 || servedUrl === undefined
    ? undefined
    : formatListen({ host, port: Number(new URL(servedUrl).port) });
}

function flag(name: string, value: string | undefined): string[] {
  return value === undefined ? [] : [name, value];
}
