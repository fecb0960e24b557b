import { type ChildProcess, fork } from "node:child_process";
import { existsSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { PosternError } from "../../errors.ts";
import { type Clock, systemClock } from "../../lib/clock.ts";
import type { Secret } from "../../lib/secret.ts";
import { ChildHandle } from "./child-handle.ts";
import { CHILD_MESSAGE, type ChildConfig, REQUIRED_ENVIRONMENT } from "./child-protocol.ts";
import { DEMO_CONTEXT_LENGTH, DEMO_MODEL_NAMES, type DemoVariant, ensureDemoModel } from "./demo-model.ts";
import { faultOfGguf } from "./gguf-check.ts";
import { installEngine } from "./install.ts";
import { type EngineProgress, type OnEngineProgress, step } from "./progress.ts";

export interface EmbeddedOptions {
  /** The engine is installed into `engine/` below it, the demo model written into `models/`. */
  dataFolder: string;
  /** A GGUF file to serve; null for the demo model. */
  modelPath: string | null;
  /** The engine key: every request but `/health` must carry it as a Bearer token. */
  apiKey: Secret;
  onProgress?: OnEngineProgress;
  /** Gives up at any stage: npm and the child are stopped. After the engine is ready it has no effect; use `stop`. */
  signal?: AbortSignal;
  /** Which demo model. Default `sentence`. Of no effect with `modelPath`. */
  variant?: DemoVariant;
  /** Most tokens of prompt and answer together. Default 8192, less where the model or memory allow less. */
  contextLength?: number;
  /** Requests answered at the same time. Default 8 for the demo model, 2 for others (each costs memory for a context). */
  sequences?: number;
  /** The child's script. Default: `server.ts` (or `.js`) beside this file, or in a bundle the bundle. */
  entry?: URL;
  /** An existing install to use instead of `dataFolder/engine`. For tests, which share one. */
  engineFolder?: string;
  /** Longest from fork to ready; large models on slow disks need minutes. Default 5 minutes. */
  startTimeLimitMs?: number;
  clock?: Clock;
}

export interface EmbeddedEngine {
  /** `http://127.0.0.1:PORT`, without a path. */
  readonly url: URL;
  readonly pid: number;
  /** Name under which it serves the model. */
  readonly modelName: string;
  /** Ends the child, by force if it must be. Idempotent; resolves when the process is gone. */
  stop(): Promise<void>;
  /** Calls back once when the child is gone, asked for or not; soon if it already is. */
  onExit(callback: (exit: EngineExit) => void): void;
}

export interface EngineExit {
  /** Whether `stop` was called. */
  isExpected: boolean;
  exitCode: number | null;
  signal: NodeJS.Signals | null;
}

const NEXT_STEP =
  "Check that the file is a GGUF model that llama.cpp supports and that there is enough memory, then start again.";
const DEFAULT_CONTEXT_LENGTH = DEMO_CONTEXT_LENGTH;
const DEFAULT_SEQUENCES = { demo: 8, file: 2 } as const;
const DEFAULT_START_LIMIT_MS = 300_000;
const KEPT_VARIABLES =
  /^(path|home|userprofile|tmpdir|temp|tmp|lang|lc_\w+|tz|systemroot|windir|comspec|ld_library_path|dyld_library_path|omp_\w+|ggml_\w+)$/i;

/**
 * Starts llama.cpp in a process of its own and resolves when it is ready to answer.
 *
 * Installs the engine and writes the demo model where they are missing. The child listens on a free loopback port, speaks the
 * OpenAI dialect and ends by itself when this process does.
 *
 * @throws PosternError `engine_install` (see `installEngine`), `engine_start` with the next step, `data_folder`.
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedEngine> {
  const { onProgress, signal } = options;
  if (options.modelPath !== null) checkModel(options.modelPath);
  const engineFolder =
    options.engineFolder ??
    (await installEngine({
      folder: join(options.dataFolder, "engine"),
      ...(onProgress === undefined ? {} : { onProgress }),
      ...(signal === undefined ? {} : { signal }),
    }));
  const config = await childConfig(options, engineFolder);
  if (signal?.aborted) throw cancelled();
  onProgress?.(step("start", "Starting llama.cpp"));
  const child = fork(options.entry ?? defaultEntry(), [], {
    // No inspector port and no loader of the parent's; TypeScript needs none.
    execArgv: [],
    env: childEnvironment(process.env),
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  return await untilReady(child, config, options);
}

/** What the child needs of our environment. The rest stays here: it runs other people's code and has no use for our secrets. */
function childEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = Object.entries(environment).filter(([name]) => KEPT_VARIABLES.test(name));
  return { ...Object.fromEntries(kept), NODE_LLAMA_CPP_SKIP_DOWNLOAD: "true", ...REQUIRED_ENVIRONMENT };
}

/**
 * The child's script: `server.ts` from sources, `server.js` when compiled. In a bundle there is no file beside this one; then it
 * is the bundle itself, which runs `server.ts` when it is forked without arguments (cli/agent-bundle.ts).
 */
function defaultEntry(): URL {
  const beside = new URL(import.meta.url.endsWith(".ts") ? "./server.ts" : "./server.js", import.meta.url);
  return existsSync(fileURLToPath(beside)) ? beside : new URL(import.meta.url);
}

async function childConfig(options: EmbeddedOptions, engineFolder: string): Promise<ChildConfig> {
  const variant = options.variant ?? "sentence";
  const isDemo = options.modelPath === null;
  if (isDemo) options.onProgress?.(step("model", "Preparing the demo model"));
  return {
    apiKey: options.apiKey.reveal(),
    engineFolder,
    modelPath:
      options.modelPath === null
        ? await ensureDemoModel(join(options.dataFolder, "models"), variant)
        : resolve(options.modelPath),
    name: options.modelPath === null ? DEMO_MODEL_NAMES[variant] : basename(options.modelPath).replace(/\.gguf$/i, ""),
    contextLength: options.contextLength ?? DEFAULT_CONTEXT_LENGTH,
    sequences: options.sequences ?? (isDemo ? DEFAULT_SEQUENCES.demo : DEFAULT_SEQUENCES.file),
    isEndless: isDemo && variant === "endless",
  };
}

async function untilReady(child: ChildProcess, config: ChildConfig, options: EmbeddedOptions): Promise<EmbeddedEngine> {
  const clock = options.clock ?? systemClock;
  const handle = new ChildHandle(child, clock);
  const ready = Promise.withResolvers<number>();
  const timer = clock.after(options.startTimeLimitMs ?? DEFAULT_START_LIMIT_MS, () =>
    ready.reject(failure("it was not ready in time", "Try a smaller model or a faster disk.")),
  );
  const onAbort = (): void => ready.reject(cancelled());
  options.signal?.addEventListener("abort", onAbort, { once: true });
  child.on("error", (cause) => ready.reject(failure("its process could not be started", NEXT_STEP, {}, cause)));
  handle.onExit(({ exitCode, signal }) =>
    ready.reject(failure("its process ended", NEXT_STEP, { exitCode, signal, stderr: handle.lastWords })),
  );
  let port = 0;
  child.on("message", (raw) => {
    const message = CHILD_MESSAGE.safeParse(raw).data;
    if (message?.type === "listening") port = message.port;
    else if (message?.type === "loading") options.onProgress?.(loading(message.share));
    else if (message?.type === "ready") ready.resolve(port);
    else if (message?.type === "failed") {
      ready.reject(failure("llama.cpp could not load the model", NEXT_STEP, { reason: message.reason }));
    }
  });
  // A failure to send comes with the exit or the error that caused it.
  child.send(config, () => {});
  try {
    const url = new URL(`http://127.0.0.1:${await ready.promise}`);
    options.onProgress?.(step("ready", "The embedded engine is ready"));
    return {
      url,
      pid: handle.pid,
      modelName: config.name,
      stop: () => handle.stop(),
      onExit: (callback) => handle.onExit(callback),
    };
  } catch (error) {
    await handle.stop();
    throw error;
  } finally {
    timer.cancel();
    options.signal?.removeEventListener("abort", onAbort);
  }
}

function loading(share: number): EngineProgress {
  return { phase: "start", message: "Loading the model", done: Math.round(share * 100), total: 100, unit: "percent" };
}

function checkModel(path: string): void {
  let fault: string | null;
  try {
    fault = faultOfGguf(path);
  } catch (cause) {
    throw failure("the model file cannot be read", "Check the path given with --model.", { path }, cause);
  }
  if (fault === null) return;
  throw failure(
    `the model file cannot be used: ${fault}`,
    "Use a whole .gguf file; download it again if it was interrupted.",
    { path },
  );
}

function cancelled(): PosternError {
  return failure("it was cancelled", "Start again when you are ready.");
}

function failure(reason: string, hint: string, detail: Record<string, unknown> = {}, cause?: unknown): PosternError {
  return new PosternError("engine_start", {
    message: `The embedded engine could not be started: ${reason}`,
    hint,
    detail,
    ...(cause === undefined ? {} : { cause }),
  });
}
