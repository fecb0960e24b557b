import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { SHARED_ENGINE_FOLDER, sharedEngine } from "../../src/engines/embedded/__fixtures__/shared-engine.ts";

const LAUNCHER = resolve(import.meta.dirname, "../../bin/postern.js");
/** After this a process that does not end is killed, and the test fails on its exit. */
const KILL_AFTER_MS = 20_000;

/** A folder for one test's data, removed by `cleanUp`. The engine of the tests is linked in, so that nothing is downloaded twice. */
export async function temporaryFolder(name: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), `postern-${name}-`));
  cleanUps.push(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Makes the shared install of llama.cpp the engine of a data folder. False, after saying so loudly, where it cannot be had. */
export async function linkEngine(dataFolder: string): Promise<boolean> {
  if ((await sharedEngine()) === null) return false;
  await mkdir(dataFolder, { recursive: true, mode: 0o700 });
  await symlink(SHARED_ENGINE_FOLDER, join(dataFolder, "engine"));
  return true;
}

const cleanUps: Array<() => unknown> = [];

/** Ends every process and removes every folder of the test. For `afterEach`. */
export async function cleanUp(): Promise<void> {
  for (let one = cleanUps.pop(); one !== undefined; one = cleanUps.pop()) await one();
}

export interface RunOptions {
  env?: Record<string, string>;
  cwd?: string;
  /** The launcher to run instead of this checkout's. */
  launcher?: string;
  /** A program to run instead of Node with a launcher. */
  program?: string;
  input?: string;
}

/** A `postern` command as its own process. Ended by `cleanUp` at the latest. */
export class Postern {
  readonly child: ChildProcess;
  stdout = "";
  stderr = "";
  readonly exited: Promise<number | null>;
  #watchers = new Set<() => void>();
  #hasExited = false;

  constructor(args: readonly string[], options: RunOptions = {}) {
    const { PATH = "", HOME = "" } = process.env;
    const command = options.program === undefined ? [options.launcher ?? LAUNCHER, ...args] : args;
    this.child = spawn(options.program ?? process.execPath, command, {
      env: { PATH, HOME, NO_COLOR: "1", POSTERN_LOG: "info", ...npmEnvironment(), ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.child.stdin?.end(options.input ?? "");
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
      this.#notify();
    });
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
      this.#notify();
    });
    this.exited = once(this.child, "exit").then(([code]) => {
      this.#hasExited = true;
      this.#notify();
      return code as number | null;
    });
    cleanUps.push(() => this.stop());
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** The first line of stdout as JSON. Rejects, with what was said on stderr, when the process ends without one. */
  async firstJson<T>(): Promise<T> {
    await this.until(() => this.stdout.includes("\n"), "a line on stdout");
    return JSON.parse(this.stdout.slice(0, this.stdout.indexOf("\n"))) as T;
  }

  /** Resolves when stderr holds the text. */
  async untilLogged(text: string): Promise<void> {
    await this.until(() => this.stderr.includes(text), JSON.stringify(text));
  }

  async until(condition: () => boolean, what: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const check = () => {
        if (condition()) resolve();
        else if (this.#hasExited)
          reject(new Error(`the process ended without ${what}\nstdout: ${this.stdout}\nstderr: ${this.stderr}`));
        else return;
        this.#watchers.delete(check);
      };
      this.#watchers.add(check);
      check();
    });
  }

  /** SIGTERM, and SIGKILL if that is not enough. */
  async stop(): Promise<number | null> {
    if (this.#hasExited) return this.exited;
    this.child.kill("SIGTERM");
    const timer = setTimeout(() => this.child.kill("SIGKILL"), KILL_AFTER_MS);
    const code = await this.exited;
    clearTimeout(timer);
    return code;
  }

  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.exited;
  }

  #notify(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}

/** Runs a command to its end and gives its `--json` answer. Rejects when it fails. */
export async function postern<T>(args: readonly string[], options: RunOptions = {}): Promise<T> {
  const run = new Postern([...args, "--json"], options);
  const code = await run.exited;
  if (code !== 0) throw new Error(`postern ${args.join(" ")} ended with ${code}\n${run.stdout}\n${run.stderr}`);
  return JSON.parse(run.stdout) as T;
}

/** npm's own settings of this machine, which an install from a registry needs. */
function npmEnvironment(): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && /^(npm_config_|NPM_CONFIG_|npm_execpath$|NODE_EXTRA_CA_CERTS$)/.test(name))
      kept[name] = value;
  }
  return kept;
}
