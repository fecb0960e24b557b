import { getCompileCacheDir } from "node:module";
import { dirname } from "node:path";
import { Worker } from "node:worker_threads";
import { PosternError } from "../../errors.ts";
import type { Clock, Timer } from "../../lib/clock.ts";
import {
  type CallName,
  type FromWorker,
  type StoreCalls,
  type ToWorker,
  unpackError,
  type WorkerData,
} from "./protocol.ts";

export interface WorkerClientOptions {
  /** The worker's program. */
  script: URL;
  data: WorkerData;
  clock: Clock;
  /** A call that takes longer is refused with `store_failed`; its effect may still come. */
  callTimeoutMs: number;
  /** A thread without calls for so long is ended; the next call starts another. Null: it stays. */
  idleStopMs: number | null;
}

/** Calls that may wait for one worker: 500 agents that come back at once fit. More means that the store cannot keep up, and waiting longer helps nobody. */
const CALLS_WAITING_MAX = 2_000;
/** V8's own default is 48 MB for all of it; a thread is 10 MB smaller with this, and just as fast on short-lived blocks of rows. */
const YOUNG_GENERATION_MB = 8;
/** Far above what the largest block of journal lines needs; a thread that passes it is ended and started again. */
const OLD_GENERATION_MB = 256;
/** How long a worker may take to open the database: a migration of a large store takes minutes. */
const START_TIMEOUT_MS = 30 * 60_000;
/** How long a worker may take to end its calls, and then to close its database, before it is ended by force. */
const STOP_TIMEOUT_MS = 5_000;

interface Waiting {
  resolve(value: unknown): void;
  reject(error: PosternError): void;
  timer: Timer;
}

/**
 * The main thread's end of one worker thread: starts it when it is needed, numbers calls, bounds them in number and time.
 *
 * A worker that dies takes its outstanding calls with it (`store_failed`); the next call starts a new one. Whether a lost call
 * had its effect is not known, which is why every call of the store can be repeated safely or fails visibly.
 */
export class WorkerClient {
  readonly #options: WorkerClientOptions;
  readonly #waiting = new Map<number, Waiting>();
  #worker: Worker | null = null;
  #starting: Promise<Worker> | null = null;
  #idleTimer: Timer | null = null;
  #ended: Promise<unknown> = Promise.resolve();
  #lastId = 0;
  /** Calls under way, those included that wait for the thread to start. */
  #calls = 0;
  /** Who waits for `#calls` to be zero. */
  readonly #quiet: Array<() => void> = [];
  #isStopped = false;

  constructor(options: WorkerClientOptions) {
    this.#options = options;
  }

  /** Starts the thread now instead of with the first call. Rejects with what kept it from opening the database. */
  async start(): Promise<void> {
    await this.#running();
  }

  /**
   * Makes one call.
   *
   * @param transfer Buffers that move to the worker instead of being copied; they are empty afterwards.
   * @throws PosternError from the call, or `store_failed` for a full queue, a late answer, a dead or a stopped worker.
   */
  async call<Name extends CallName>(
    name: Name,
    args: Parameters<StoreCalls[Name]>,
    transfer: ArrayBuffer[] = [],
  ): Promise<Awaited<ReturnType<StoreCalls[Name]>>> {
    if (this.#isStopped) throw failed("Cannot use the store: it is closed", {});
    if (this.#calls >= CALLS_WAITING_MAX) {
      throw failed(`Cannot use the store: ${CALLS_WAITING_MAX} calls are waiting for it already`, { call: name });
    }
    this.#calls += 1;
    try {
      return await this.#send(await this.#running(), name, args, transfer);
    } finally {
      this.#calls -= 1;
      if (this.#calls === 0) this.#rest();
    }
  }

  async #send<Name extends CallName>(
    worker: Worker,
    name: Name,
    args: Parameters<StoreCalls[Name]>,
    transfer: ArrayBuffer[],
  ): Promise<Awaited<ReturnType<StoreCalls[Name]>>> {
    const value = await new Promise<unknown>((resolve, reject) => {
      this.#lastId += 1;
      const id = this.#lastId;
      const { clock, callTimeoutMs } = this.#options;
      const timer = clock.after(callTimeoutMs, () => {
        const message = `Cannot use the store: no answer within ${callTimeoutMs / 1000} s`;
        this.#settle(id)?.reject(failed(message, { call: name, callTimeoutMs }));
      });
      this.#idleTimer?.cancel();
      worker.ref();
      this.#waiting.set(id, { resolve, reject, timer });
      worker.postMessage({ kind: "call", id, name, args } satisfies ToWorker, transfer);
    });
    // The worker's types vouch for the value: both ends are this program.
    return value as Awaited<ReturnType<StoreCalls[Name]>>;
  }

  /**
   * Lets calls under way end, closes the database, ends the thread. Later calls are refused. Idempotent. What takes too long
   * is ended by force; SQLite undoes a transaction that was under way.
   */
  async stop(): Promise<void> {
    this.#isStopped = true;
    const timer = this.#options.clock.after(STOP_TIMEOUT_MS, () => void this.#worker?.terminate());
    while (this.#calls > 0) await new Promise<void>((resolve) => this.#quiet.push(resolve));
    await this.#starting?.catch(() => undefined);
    timer.cancel();
    await this.#end();
  }

  async #running(): Promise<Worker> {
    if (this.#worker !== null) return this.#worker;
    this.#starting ??= this.#startWorker().finally(() => {
      this.#starting = null;
    });
    return this.#starting;
  }

  async #startWorker(): Promise<Worker> {
    // One after the other: the thread before this one may still be closing its connection.
    await this.#ended;
    const { script, data } = this.#options;
    const worker = new Worker(script, {
      name: `store-${data.role}`,
      workerData: data,
      env: environment(),
      // Flags of the main program (--eval, --input-type, --inspect) would keep a thread from starting.
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB, maxOldGenerationSizeMb: OLD_GENERATION_MB },
    });
    const ready = Promise.withResolvers<Worker>();
    const ended = Promise.withResolvers<void>();
    this.#ended = ended.promise;
    let cause: unknown;
    worker.on("message", (message: FromWorker) => {
      if (message.kind === "ready") ready.resolve(worker);
      else if (message.kind === "failed") ready.reject(unpackError(message.error));
      else this.#answer(message);
    });
    worker.on("error", (error) => {
      cause = error;
    });
    worker.on("exit", (exitCode) => {
      const reason = cause instanceof Error ? cause.message : `exit code ${exitCode}`;
      const error = failed("Cannot use the store: its thread ended in the middle", { exitCode, reason }, cause);
      ready.reject(error);
      if (this.#worker === worker) this.#worker = null;
      for (const id of [...this.#waiting.keys()]) this.#settle(id)?.reject(error);
      ended.resolve();
    });
    const timer = this.#options.clock.after(START_TIMEOUT_MS, () => void worker.terminate());
    try {
      this.#worker = await ready.promise;
    } finally {
      timer.cancel();
    }
    if (this.#calls === 0) this.#rest();
    return worker;
  }

  #answer(message: Extract<FromWorker, { id: number }>): void {
    const waiting = this.#settle(message.id);
    if (message.kind === "answer") waiting?.resolve(message.value);
    else waiting?.reject(unpackError(message.error));
  }

  #settle(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    waiting?.timer.cancel();
    return waiting;
  }

  /** Nothing to do: an idle store keeps neither the process alive nor, for readers, the thread. */
  #rest(): void {
    for (const resolve of this.#quiet.splice(0)) resolve();
    this.#worker?.unref();
    const { idleStopMs, clock } = this.#options;
    if (idleStopMs === null) return;
    this.#idleTimer?.cancel();
    this.#idleTimer = clock.after(idleStopMs, () => {
      if (this.#calls === 0) this.#end().catch(() => undefined);
    });
  }

  async #end(): Promise<void> {
    this.#idleTimer?.cancel();
    const worker = this.#worker;
    if (worker === null) {
      await this.#ended;
      return;
    }
    // Messages are handled in order, so the calls before this one are answered first.
    this.#worker = null;
    worker.ref();
    worker.postMessage({ kind: "stop" } satisfies ToWorker);
    const timer = this.#options.clock.after(STOP_TIMEOUT_MS, () => void worker.terminate());
    await this.#ended;
    timer.cancel();
  }
}

/**
 * A thread does not inherit the main thread's compile cache, and only the environment turns it on before the first import.
 * With it a thread that runs from TypeScript source costs 30 MB less: the compiler is never loaded.
 */
function environment(): NodeJS.ProcessEnv {
  const versionFolder = getCompileCacheDir();
  return versionFolder === undefined ? process.env : { ...process.env, NODE_COMPILE_CACHE: dirname(versionFolder) };
}

function failed(message: string, detail: Record<string, unknown>, cause?: unknown): PosternError {
  return new PosternError("store_failed", {
    message,
    hint: "It is tried again by itself. If it stays, look at the disk and at the log, then restart the gateway.",
    detail,
    ...(cause === undefined ? {} : { cause }),
  });
}
