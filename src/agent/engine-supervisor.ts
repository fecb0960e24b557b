import { PosternError, toPosternError } from "../errors.ts";
import type { Clock, Timer } from "../lib/clock.ts";

/** A crashed engine is started again after this long, then after twice as long, and so on. */
const RESTART_BASE_MS = 1_000;

/** Longest wait before a restart. */
const RESTART_CAP_MS = 60_000;

/** An engine that has run this long is healthy: its next crash counts as the first. */
const STABLE_MS = 60_000;

/** Crashes in a row after which it is given up. */
const MAX_CRASHES = 5;

/** A process of an engine that runs and is ready. */
export interface SupervisedEngine {
  /** `http://127.0.0.1:PORT`, without a path. */
  readonly url: URL;
  /** Ends it, by force if it must be. Idempotent; resolves when the process is gone. */
  stop(): Promise<void>;
  /** Calls back once when the process is gone, asked for or not. */
  onExit(callback: (exit: { isExpected: boolean }) => void): void;
}

export type EngineRunState =
  | { name: "off" }
  | { name: "starting" }
  | { name: "running" }
  /** It crashed and will be started again. */
  | { name: "waiting" }
  /** For good, until the agent is started again. */
  | { name: "failed"; error: PosternError };

export interface EngineSupervisorOptions<Engine extends SupervisedEngine> {
  /** Begins a sentence: `The embedded engine`. */
  title: string;
  /** Resolves when the engine is ready; gives up when the signal is aborted, and then has ended what it began. */
  start(signal: AbortSignal): Promise<Engine>;
  /** Whether a first start that failed may succeed when it is tried again. Default: never, a person has to change something. */
  isPassing?(error: PosternError): boolean;
  clock: Clock;
  /** The engine runs and is ready. */
  onUp: (engine: Engine) => Promise<void>;
  /** It is gone, for whatever reason but `stop`. */
  onDown: () => Promise<void>;
  /** Must not throw. */
  onState: (state: EngineRunState) => void;
}

/** Keeps the process of one engine running: started again when it crashes, later each time, and given up in the end. */
export class EngineSupervisor<Engine extends SupervisedEngine = SupervisedEngine> {
  readonly #options: EngineSupervisorOptions<Engine>;
  readonly #stopped = new AbortController();
  #state: EngineRunState = { name: "off" };
  #engine: Engine | null = null;
  #crashes = 0;
  #startedAtMs = 0;
  #timer: Timer | null = null;
  #starting: Promise<void> = Promise.resolve();

  constructor(options: EngineSupervisorOptions<Engine>) {
    this.#options = options;
  }

  get state(): EngineRunState {
    return this.#state;
  }

  /** Begins to start it. Returns at once: the embedded engine's first install fetches tens of megabytes, a large model loads for minutes. */
  start(): void {
    this.#starting = this.#run();
  }

  /** Ends the process, or the attempt to start one. Resolves when it is gone. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#timer?.cancel();
    await this.#starting;
    await this.#engine?.stop();
  }

  async #run(): Promise<void> {
    const { start, clock, onUp, isPassing } = this.#options;
    const { signal } = this.#stopped;
    this.#setState({ name: "starting" });
    try {
      const engine = await start(signal);
      if (signal.aborted) return await engine.stop();
      this.#engine = engine;
      this.#startedAtMs = clock.monotonicMs();
      engine.onExit(({ isExpected }) => {
        if (!isExpected && !signal.aborted) void this.#onCrash();
      });
      await onUp(engine);
      if (this.#engine === engine) this.#setState({ name: "running" });
    } catch (cause) {
      if (signal.aborted) return;
      const error = toPosternError(cause);
      if (this.#crashes === 0 && isPassing?.(error) !== true) this.#setState({ name: "failed", error });
      else this.#restart(error);
    }
  }

  async #onCrash(): Promise<void> {
    this.#engine = null;
    if (this.#options.clock.monotonicMs() - this.#startedAtMs >= STABLE_MS) this.#crashes = 0;
    this.#restart(null);
    await this.#options.onDown();
  }

  #restart(error: PosternError | null): void {
    this.#crashes += 1;
    if (this.#crashes > MAX_CRASHES) {
      this.#setState({ name: "failed", error: error ?? this.#tooManyCrashes() });
      return;
    }
    this.#setState({ name: "waiting" });
    const waitMs = Math.min(RESTART_BASE_MS * 2 ** (this.#crashes - 1), RESTART_CAP_MS);
    this.#timer = this.#options.clock.after(waitMs, () => this.start());
  }

  #tooManyCrashes(): PosternError {
    return new PosternError("engine_start", {
      message: `${this.#options.title} ended by itself ${MAX_CRASHES + 1} times`,
      hint: "Try a smaller model, and look at the agent's log; then start the agent again.",
    });
  }

  #setState(state: EngineRunState): void {
    this.#state = state;
    this.#options.onState(state);
  }
}
