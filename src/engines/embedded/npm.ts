import { spawn } from "node:child_process";
import { existsSync, realpathSync } from "node:fs";
import { basename, delimiter, dirname, join } from "node:path";
import type { Clock } from "../../lib/clock.ts";

/** How to start npm: a program and the arguments that come before npm's own. */
export interface Npm {
  command: string;
  args: readonly string[];
}

export interface NpmRun {
  cwd: string;
  environment: NodeJS.ProcessEnv;
  signal: AbortSignal | undefined;
  timeLimitMs: number;
  clock: Clock;
  /** Called for each line that npm writes to stderr, without its end. */
  onLine(line: string): void;
}

export interface NpmResult {
  /** npm's exit code; null when it was killed or never started. */
  exitCode: number | null;
  /** npm's own code of the failure, such as `ENOTFOUND` or `EINTEGRITY`, where it named one. */
  errorCode: string | null;
  isTimedOut: boolean;
  isAborted: boolean;
}

/** How long npm may take to go after SIGTERM. */
const KILL_GRACE_MS = 2_000;
/** A line of npm's output longer than this is cut: it is only read for progress and codes. */
const MAX_LINE_CHARACTERS = 4_096;
/** Settings of an outer `npm start` or `npm install -g` that would redirect our own npm. Registry, proxy and cache stay. */
const FOREIGN_SETTING =
  /^npm_(config_(prefix|local_prefix|global|global_prefix|location|workspaces?|include_workspace_root|dry_run|package_lock|package_lock_only|omit|include|json|loglevel|ignore_scripts|install_strategy)|package_.*|lifecycle_.*|command)$/i;

/**
 * Finds npm: the one that started us (`npm_execpath`), one beside the running Node, or one on PATH, in that order.
 *
 * The running Node may itself be an npm package without an npm beside it, so none of the places can be relied upon.
 */
export function findNpm(environment: NodeJS.ProcessEnv, nodePath: string): Npm | null {
  const started = environment["npm_execpath"];
  if (started !== undefined && isNpmScript(started) && existsSync(started)) return script(nodePath, started);
  const folders = [dirname(nodePath), ...(environment["PATH"] ?? environment["Path"] ?? "").split(delimiter)];
  for (const folder of folders.filter((one) => one !== "")) {
    const found = npmIn(folder, nodePath);
    if (found !== null) return found;
  }
  return null;
}

/** Runs npm once. Never rejects: every way to end is in the result. Resolves when the process is gone. */
export function runNpm(npm: Npm, args: readonly string[], run: NpmRun): Promise<NpmResult> {
  return new Promise((resolve) => {
    const result: NpmResult = { exitCode: null, errorCode: null, isTimedOut: false, isAborted: false };
    const child = spawn(npm.command, [...npm.args, ...args], {
      cwd: run.cwd,
      env: run.environment,
      stdio: ["ignore", "ignore", "pipe"],
      windowsHide: true,
    });
    function stop(): void {
      child.kill("SIGTERM");
      run.clock.after(KILL_GRACE_MS, () => child.kill("SIGKILL"));
    }
    const timer = run.clock.after(run.timeLimitMs, () => {
      result.isTimedOut = true;
      stop();
    });
    function onAbort(): void {
      result.isAborted = true;
      stop();
    }
    if (run.signal?.aborted) onAbort();
    else run.signal?.addEventListener("abort", onAbort, { once: true });
    function finish(exitCode: number | null): void {
      timer.cancel();
      run.signal?.removeEventListener("abort", onAbort);
      resolve({ ...result, exitCode });
    }
    readLines(child.stderr, (line) => {
      result.errorCode ??= /^npm (?:error|ERR!) code (\w+)/.exec(line)?.[1] ?? null;
      run.onLine(line);
    });
    child.on("error", (error: NodeJS.ErrnoException) => {
      result.errorCode ??= error.code ?? "ESPAWN";
      // `close` follows when the process had started (a failed kill) and does not when it had not.
      if (child.pid === undefined) finish(null);
    });
    child.on("close", (exitCode) => finish(exitCode));
  });
}

/** The environment for our own npm: the caller's, without what an outer npm put there about its own project. */
export function npmEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !FOREIGN_SETTING.test(name)));
}

function npmIn(folder: string, nodePath: string): Npm | null {
  // Windows installs, and `lib` beside `bin` elsewhere.
  for (const path of [
    join(folder, "node_modules/npm/bin/npm-cli.js"),
    join(folder, "../lib/node_modules/npm/bin/npm-cli.js"),
  ]) {
    if (existsSync(path)) return script(nodePath, path);
  }
  const program = join(folder, "npm");
  if (process.platform === "win32" || !existsSync(program)) return null;
  const real = realpathSync(program);
  return isNpmScript(real) ? script(nodePath, real) : { command: program, args: [] };
}

function isNpmScript(path: string): boolean {
  return /^npm-cli\.[cm]?js$/.test(basename(path));
}

function script(nodePath: string, path: string): Npm {
  return { command: nodePath, args: [path] };
}

function readLines(stream: NodeJS.ReadableStream, onLine: (line: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (chunk: string) => {
    const lines = `${rest}${chunk}`.split(/\r?\n/);
    rest = (lines.pop() ?? "").slice(0, MAX_LINE_CHARACTERS);
    for (const line of lines) onLine(line);
  });
  stream.on("end", () => {
    if (rest !== "") onLine(rest);
  });
}
