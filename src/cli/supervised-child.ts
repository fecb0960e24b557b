import type { ChildProcess } from "node:child_process";
import { PosternError } from "../errors.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import { type ChildMessage, fromFailedMessage, type ParentMessage, readChildMessage } from "./child-protocol.ts";

/** Wait before the first restart; doubled with each further one, with full jitter above half. */
const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30_000;
/** Crashes in a row after which somebody has to look. */
const MAX_CRASHES = 10;
/** A process that lived this long has recovered; its earlier crashes are forgotten. */
const STABLE_AFTER_MS = 60_000;

export interface SupervisedChildOptions {
  name: "gateway" | "agent";
  /** Starts the process with an IPC channel. */
  spawn(): ChildProcess;
  clock: Clock;
  /** In [0, 1). */
  random: () => number;
  onMessage(message: ChildMessage): void;
  /** The process is gone and will be started again after `delayMs`. */
  onCrash(how: string, delayMs: number): void;
}

/**
 * One child process of `postern up`: started again with backoff when it crashes, given up after `MAX_CRASHES` in a row or
 * when it says that a restart cannot cure its trouble.
 */
export class SupervisedChild {
  readonly #options: SupervisedChildOptions;
  readonly #gaveUp = Promise.withResolvers<PosternError>();
  #process: ChildProcess | null = null;
  #exited = Promise.resolve();
  #failure: PosternError | null = null;
  #isFinal = false;
  #hasServed = false;
  #isStopping = false;
  #crashes = 0;
  #startedMs = 0;
  #timer: Timer | null = null;

  constructor(options: SupervisedChildOptions) {
    this.#options = options;
  }

  /** Resolves with the reason when the child is given up; otherwise never. */
  get gaveUp(): Promise<PosternError> {
    return this.#gaveUp.promise;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  start(): void {
    const child = this.#options.spawn();
    const ended = Promise.withResolvers<void>();
    this.#process = child;
    this.#exited = ended.promise;
    this.#failure = null;
    this.#startedMs = this.#options.clock.monotonicMs();
    child.on("message", (raw) => this.#receive(raw));
    child.once("error", (cause) => {
      this.#failure = new PosternError("internal", {
        message: `Cannot start the ${this.#options.name} process`,
        cause,
      });
    });
    // `close` comes after `error` too, when there never was a process, and after the last message otherwise.
    child.once("close", (code, signal) => {
      this.#process = null;
      ended.resolve();
      this.#onExit(signal === null ? `exit code ${code}` : `signal ${signal}`);
    });
  }

  /** Sends a message; nothing happens when the process is gone. */
  tell(message: ParentMessage): void {
    if (this.#process?.connected === true) this.#process.send(message, () => {});
  }

  /** From here on a failure of this process is a crash that a restart may cure, whatever its code. */
  markServing(): void {
    this.#hasServed = true;
  }

  /** Lets the process finish what runs. Resolves when it is gone; it is not started again. */
  async drain(): Promise<void> {
    this.#isStopping = true;
    this.#timer?.cancel();
    this.tell({ type: "drain" });
    await this.#exited;
  }

  /** Ends the process without asking. */
  kill(): void {
    this.#isStopping = true;
    this.#timer?.cancel();
    this.#process?.kill("SIGKILL");
  }

  #receive(raw: unknown): void {
    const message = readChildMessage(raw);
    if (message === null) return;
    if (message.type === "failed") {
      this.#failure = fromFailedMessage(message);
      this.#isFinal = message.isFinal;
    }
    this.#options.onMessage(message);
  }

  #onExit(how: string): void {
    if (this.#isStopping) return;
    const { clock, name, random } = this.#options;
    if (clock.monotonicMs() - this.#startedMs >= STABLE_AFTER_MS) this.#crashes = 0;
    this.#crashes++;
    // A process that never served has a trouble of its own making: wrong settings, a taken port. Trying again hides it.
    if (this.#isFinal || !this.#hasServed || this.#crashes > MAX_CRASHES) {
      this.#gaveUp.resolve(
        this.#failure ??
          new PosternError("internal", {
            message: this.#hasServed
              ? `The ${name} crashed ${this.#crashes} times in a row (${how})`
              : `The ${name} ended before it served (${how})`,
            hint: "Its last lines above say more; POSTERN_LOG=debug shows everything.",
          }),
      );
      return;
    }
    const ceilingMs = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (this.#crashes - 1));
    const delayMs = Math.round(ceilingMs / 2 + (random() * ceilingMs) / 2);
    this.#options.onCrash(how, delayMs);
    this.#timer = clock.after(delayMs, () => this.start());
  }
}
