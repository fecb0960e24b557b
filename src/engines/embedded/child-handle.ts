import type { ChildProcess } from "node:child_process";
import type { Clock } from "../../lib/clock.ts";
import type { EngineExit } from "./start.ts";

/** How long the child may take after SIGTERM before SIGKILL. */
const STOP_GRACE_MS = 3_000;
/** How much of the child's last words is kept for the log. */
const MAX_STDERR_CHARACTERS = 4_096;

/** A child process that can be ended for sure and watched for its end. */
export class ChildHandle {
  readonly #child: ChildProcess;
  readonly #clock: Clock;
  readonly #exited: Promise<EngineExit>;
  #isStopping = false;
  #lastWords = "";

  constructor(child: ChildProcess, clock: Clock) {
    this.#child = child;
    this.#clock = clock;
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
    this.#child.kill("SIGTERM");
    const timer = this.#clock.after(STOP_GRACE_MS, () => this.#child.kill("SIGKILL"));
    await this.#exited;
    timer.cancel();
  }
}
