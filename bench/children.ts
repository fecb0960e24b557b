import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { createInterface } from "node:readline";

const STOP_GRACE_MS = 5_000;
const ERROR_TAIL_CHARACTERS = 2_000;

/** A program that the benchmark started. */
export interface Child {
  readonly name: string;
  readonly pid: number;
  /** The last of what it wrote to standard error, for messages. */
  errors(): string;
  /** The next line of its standard output; rejects when it ends first or `timeoutMs` pass. */
  line(timeoutMs: number): Promise<string>;
  /** Closes its standard input, then SIGTERM, then SIGKILL after 5 s; resolves when it is gone. */
  stop(): Promise<void>;
  /** Closes its standard input only; the C programs end by that. */
  end(): void;
  readonly exited: Promise<number | null>;
}

export interface StartOptions {
  env?: Record<string, string>;
  cwd?: string;
  /** Written to standard input, which then ends. Otherwise it stays open until `stop`. */
  input?: string;
  /** File that takes both outputs, for programs that log each request; `line` has nothing to tell then. */
  logFile?: string;
  /** Gives it a process group of its own that signals go to: for programs like npm that leave their children behind. */
  isGroup?: boolean;
}

/** How each program that still runs is sent a signal. */
const running = new Map<number, (signal: NodeJS.Signals) => void>();

/** Starts a program. Its standard output is read by lines; its standard error is kept short. */
export function start(name: string, command: string, args: readonly string[], options: StartOptions = {}): Child {
  const { logFile } = options;
  const log = logFile === undefined ? "pipe" : openSync(logFile, "a");
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ["pipe", log, log],
    detached: options.isGroup === true,
  });
  if (typeof log === "number") closeSync(log);
  const { pid } = child;
  child.on("error", () => {}); // told by `exited`
  if (pid === undefined) throw new Error(`cannot start ${name}: ${command}`);
  const signal = (name: NodeJS.Signals) => send(options.isGroup === true ? -pid : pid, name);
  running.set(pid, signal);
  let tail = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    tail = (tail + text).slice(-ERROR_TAIL_CHARACTERS);
  });
  child.stdin?.on("error", () => {});
  if (options.input !== undefined) child.stdin?.end(options.input);
  const lines: string[] = [];
  const waiting: (() => void)[] = [];
  const wake = () => waiting.splice(0).forEach((resolve) => void resolve());
  let isOver = false;
  if (child.stdout !== null) {
    createInterface({ input: child.stdout }).on("line", (line) => {
      lines.push(line);
      wake();
    });
  }
  const exited = new Promise<number | null>((resolve) => {
    child.once("close", (code) => {
      running.delete(pid);
      isOver = true;
      wake();
      resolve(code);
    });
  });
  return {
    name,
    pid,
    exited,
    errors: () => (logFile === undefined ? tail : readFileSync(logFile, "utf8").slice(-ERROR_TAIL_CHARACTERS)),
    end: () => void child.stdin?.end(),
    async line(timeoutMs) {
      const deadline = Date.now() + timeoutMs;
      for (;;) {
        const line = lines.shift();
        if (line !== undefined) return line;
        const leftMs = deadline - Date.now();
        if (isOver || leftMs <= 0) throw new Error(`${name} ${isOver ? "ended" : "said nothing"}: ${tail.trim()}`);
        const { promise, resolve } = Promise.withResolvers<void>();
        const timer = setTimeout(resolve, leftMs);
        waiting.push(resolve);
        await promise;
        clearTimeout(timer);
      }
    },
    async stop() {
      if (isOver) return;
      child.stdin?.end();
      signal("SIGTERM");
      const timer = setTimeout(() => signal("SIGKILL"), STOP_GRACE_MS);
      await exited;
      clearTimeout(timer);
    },
  };
}

/** Runs a program to its end and returns its standard output. Rejects with its standard error when it fails. */
export async function run(name: string, command: string, args: readonly string[], options: StartOptions = {}) {
  const child = start(name, command, args, { input: "", ...options });
  const lines: string[] = [];
  for (;;) {
    try {
      lines.push(await child.line(180_000));
    } catch {
      break;
    }
  }
  const code = await child.exited;
  if (code !== 0) throw new Error(`${name} failed (${code}): ${child.errors().trim() || lines.join("\n")}`);
  return lines.join("\n");
}

/** Ends everything that is still running, at once. Safe in an exit handler. */
export function killAll(): void {
  for (const signal of running.values()) signal("SIGKILL");
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It is gone already.
  }
}

/** A loopback port that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
