import type { ChildProcess } from "node:child_process";
import type { Clock } from "../../lib/clock.ts";
import type { EngineExit } from "./start.ts";

/** How long the child may take after SIGTERM before SIGKILL, unless it is said otherwise. */
const STOP_GRACE_MS = 3_000;
/** How much of the child's last words is kept for the log. */
const MAX_STDERR_CHARACTERS = 4_096;

export interface ChildHandleOptions {
  /** From SIGTERM to SIGKILL. Default 3 s. */
  graceMs?: number;
  /** How a signal is sent. Default: to the process alone. */
  kill?(child: ChildProcess, signal: "SIGTERM" | "SIGKILL"): void;
}

/** A child process that can be ended for sure and watched for its end. */
export class ChildHandle {
  readonly #child: ChildProcess;
  readonly #clock: Clock;
  readonly #graceMs: number;
  readonly #kill: (child: ChildProcess, signal: "SIGTERM" | "SIGKILL") => void;
  readonly #exited: Promise<EngineExit>;
  #isStopping = false;
  #lastWords = "";

  constructor(child: ChildProcess, clock: Clock, options: ChildHandleOptions = {}) {
    this.#child = child;
    this.#clock = clock;
    this.#graceMs = options.graceMs ?? STOP_GRACE_MS;
    this.#kill = options.kill ?? ((one, signal) => one.kill(signal));
    this.#exited = new Promise((resolve) => {
      child.once("exit", (exitCode, signal) => resolve({ isExpected: this.#isStopping, exitCode, signal }));
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#lastWords = (this.#lastWords + text).slice(-MAX_STDERR_CHARACTERS);
    });
  }

  get pid(): number {
    return this.#child.pid ?? -1;
  }

  /** The end of what the child wrote to stderr. */
  get lastWords(): string {
    return this.#lastWords;
  }

  /** Calls back once when the child is gone; soon if it already is. */
  onExit(callback: (exit: EngineExit) => void): void {
    void this.#exited.then(callback);
  }

  /** Ends the child, by force if it must be. Resolves when it is gone. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    if (this.#child.pid === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#kill(this.#child, "SIGTERM");
    const timer = this.#clock.after(this.#graceMs, () => this.#kill(this.#child, "SIGKILL"));
    await this.#exited;
    timer.cancel();
  }
}
