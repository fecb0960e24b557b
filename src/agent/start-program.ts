import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { basename, join } from "node:path";
import type { StartedEngineConfig } from "../config/agent-config.ts";
import { adapterOf } from "../engines/adapters.ts";
import { ChildHandle } from "../engines/embedded/child-handle.ts";
import { openProbe } from "../engines/probe.ts";
import { PosternError } from "../errors.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import type { Secret } from "../lib/secret.ts";
import type { SupervisedEngine } from "./engine-supervisor.ts";
import { endLeftover, forgetProcess, rememberProcess } from "./leftover-process.ts";
import { RotatingLog } from "./rotating-log.ts";

/** How often an engine that starts is asked whether it is ready. */
const READY_CHECK_MS = 500;

/** Longest from start to ready. Large models on slow disks need many minutes; one that hangs is started again after it. */
const START_LIMIT_MS = 30 * 60_000;

/** An engine may take this long to end; then it is killed. vLLM ends its workers first. */
const STOP_GRACE_MS = 10_000;

/** Where each program reads its key, so that it is in no list of processes. */
const KEY_VARIABLE = { "llama-server": "LLAMA_API_KEY", vllm: "VLLM_API_KEY" } as const;

const INSTALL_HINT = {
  "llama-server": "Install llama.cpp",
  vllm: "Install vLLM",
} as const;

export interface StartProgramOptions {
  config: StartedEngineConfig;
  /** The engine's own key; without it nobody on this machine gets in. */
  apiKey: Secret;
  /** For `NAME.log` and the note of its process. Must exist. */
  folder: string;
  /** Default: this process's environment, without what is Postern's. */
  environment?: NodeJS.ProcessEnv;
  clock?: Clock;
  /** Ends the program while it starts. */
  signal: AbortSignal;
  /** Default 30 minutes. */
  startLimitMs?: number;
  /** A program of an agent that was killed was still there, and has been ended. */
  onLeftover?(pid: number): void;
}

/**
 * Starts llama-server or vLLM as a child: on loopback, on the port that is configured or a free one, with a key in its environment.
 * Resolves when its adapter says that it is ready.
 *
 * What it writes is kept in `NAME.log`. It leads a process group of its own, so that its helpers end with it and a terminal's Ctrl-C
 * reaches the agent alone, which then ends it in order.
 *
 * @throws PosternError `engine_start`: `detail.isMissing` when there is no such program, else it ended, or took too long.
 */
export async function startProgram(options: StartProgramOptions): Promise<SupervisedEngine> {
  const { config, folder, signal } = options;
  const clock = options.clock ?? systemClock;
  const note = join(folder, `${config.name}.process`);
  const leftover = await endLeftover(note, clock);
  if (leftover !== null) options.onLeftover?.(leftover);
  const port = config.port ?? (await freePort());
  if (signal.aborted) throw failure(config, "it was cancelled", "Start again when you are ready.");
  const child = spawn(config.program, commandLine(config, port), {
    env: environmentOf(options),
    stdio: ["ignore", "pipe", "pipe"],
    detached: process.platform !== "win32",
    windowsHide: true,
  });
  const logFile = join(folder, `${config.name}.log`);
  keepOutput(child, new RotatingLog(logFile));
  const handle = new ChildHandle(child, clock, { graceMs: STOP_GRACE_MS, kill: killGroup });
  handle.onExit(() => forgetProcess(note));
  if (child.pid !== undefined) rememberProcess(note, child.pid);
  const url = new URL(`http://127.0.0.1:${port}`);
  const ended = new AbortController();
  const end = (error: PosternError): void => ended.abort(error);
  const hint = `Look at ${logFile}.`;
  child.once("error", (cause) => end(spawnFailure(config, cause)));
  handle.onExit(({ exitCode, signal: by }) =>
    end(failure(config, `it ended before it was ready (${by === null ? `exit code ${exitCode}` : by})`, hint)),
  );
  const onAbort = (): void => end(failure(config, "it was cancelled", "Start again when you are ready."));
  signal.addEventListener("abort", onAbort, { once: true });
  const limit = clock.after(options.startLimitMs ?? START_LIMIT_MS, () =>
    end(failure(config, "it was not ready in time", hint)),
  );
  try {
    await untilReady(options, url, clock, ended.signal);
  } catch (error) {
    await handle.stop();
    throw error;
  } finally {
    limit.cancel();
    signal.removeEventListener("abort", onAbort);
  }
  return { url, stop: () => handle.stop(), onExit: (callback) => handle.onExit(callback) };
}

/** Asks until the adapter says that the engine is ready; rejects with the reason of `ended`. */
async function untilReady(
  { config, apiKey }: StartProgramOptions,
  url: URL,
  clock: Clock,
  ended: AbortSignal,
): Promise<void> {
  const adapter = adapterOf(config.kind);
  const probe = openProbe({ url, host: adapter.hostHeader(url), apiKey, clock, signal: ended });
  try {
    for (;;) {
      ended.throwIfAborted();
      const { ready } = await adapter.read(probe, { kind: config.kind, version: null });
      ended.throwIfAborted();
      if (ready) return;
      await pause(READY_CHECK_MS, clock, ended);
    }
  } finally {
    await probe.close();
  }
}

function pause(ms: number, clock: Clock, ended: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      timer.cancel();
      ended.removeEventListener("abort", done);
      resolve();
    };
    const timer = clock.after(ms, done);
    ended.addEventListener("abort", done, { once: true });
    if (ended.aborted) done();
  });
}

/** The operator's arguments first: of two equal ones the last counts, and address and port are ours to say. */
function commandLine({ kind, program, args }: StartedEngineConfig, port: number): string[] {
  const address = ["--host", "127.0.0.1", "--port", String(port)];
  // `vllm` alone is a program of many commands; `python -m vllm.…` is the server.
  const isBare = kind === "vllm" && /^vllm(\.exe)?$/i.test(basename(program)) && args[0] !== "serve";
  return [...(isBare ? ["serve"] : []), ...args, ...address];
}

function environmentOf({ config, apiKey, environment = process.env }: StartProgramOptions): NodeJS.ProcessEnv {
  const kept = Object.entries(environment).filter(([name]) => !/^(POSTERN_|NODE_)/i.test(name));
  return { ...Object.fromEntries(kept), ...config.environment, [KEY_VARIABLE[config.kind]]: apiKey.reveal() };
}

function keepOutput(child: ChildProcess, log: RotatingLog): void {
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Buffer | string) => log.write(Buffer.from(chunk)));
    stream?.on("error", () => {});
  }
  child.once("close", () => log.close());
}

function killGroup(child: ChildProcess, signal: "SIGTERM" | "SIGKILL"): void {
  if (child.pid === undefined) return;
  try {
    if (process.platform === "win32") child.kill(signal);
    else process.kill(-child.pid, signal);
  } catch {
    // It is gone already.
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const closed = once(server, "close");
  server.close();
  await closed;
  return port;
}

function spawnFailure(config: StartedEngineConfig, cause: NodeJS.ErrnoException): PosternError {
  const setting = `agent.engines.${config.name}.start.program`;
  switch (cause.code) {
    case "ENOENT":
      return failure(
        config,
        `there is no program "${config.program}"`,
        `${INSTALL_HINT[config.kind]}, or give the program's path in ${setting}.`,
        cause,
      );
    case "EACCES":
      return failure(config, `"${config.program}" is not a program that this user may run`, `Check ${setting}.`, cause);
    default:
      return failure(
        config,
        `"${config.program}" cannot be run (${cause.code ?? "unknown reason"})`,
        `Check ${setting}.`,
        cause,
      );
  }
}

function failure(
  config: StartedEngineConfig,
  reason: string,
  hint: string,
  cause?: NodeJS.ErrnoException,
): PosternError {
  return new PosternError("engine_start", {
    message: `Cannot start the engine "${config.name}": ${reason}`,
    hint,
    detail: { isMissing: cause !== undefined },
    ...(cause === undefined ? {} : { cause }),
  });
}
