import type { EmbeddedEngine, EmbeddedOptions } from "../engines/embedded/start.ts";
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

const CRASHES = new PosternError("engine_start", {
  message: `The embedded engine ended by itself ${MAX_CRASHES + 1} times`,
  hint: "Try a smaller model, and look at the agent's log; then start the agent again.",
});

/** Starts the embedded engine; `startEmbedded`, or a stand-in in tests. */
export type StartEmbedded = (options: EmbeddedOptions) => Promise<EmbeddedEngine>;

export type EmbeddedState =
  | { name: "off" }
  | { name: "starting" }
  | { name: "running" }
  /** It crashed and will be started again. */
  | { name: "waiting" }
  /** For good, until the agent is started again. */
  | { name: "failed"; error: PosternError };

export interface EmbeddedSupervisorOptions {
  start: StartEmbedded;
  engine: Omit<EmbeddedOptions, "signal">;
  clock: Clock;
  /** The engine runs and is ready. */
  onUp: (engine: EmbeddedEngine) => Promise<void>;
  /** It is gone, for whatever reason but `stop`. */
  onDown: () => Promise<void>;
  /** Must not throw. */
  onState: (state: EmbeddedState) => void;
}

/** Keeps the embedded engine's process running. */
export class EmbeddedSupervisor {
  readonly #options: EmbeddedSupervisorOptions;
  readonly #stopped = new AbortController();
  #state: EmbeddedState = { name: "off" };
  #engine: EmbeddedEngine | null = null;
  #crashes = 0;
  #startedAtMs = 0;
  #timer: Timer | null = null;
  #starting: Promise<void> = Promise.resolve();

  constructor(options: EmbeddedSupervisorOptions) {
    this.#options = options;
  }

  get state(): EmbeddedState {
    return this.#state;
  }

  /** Begins to install and start it. Returns at once: the first install fetches tens of megabytes. */
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
    const { start, engine: options, clock, onUp } = this.#options;
    const { signal } = this.#stopped;
    this.#setState({ name: "starting" });
    try {
      const engine = await start({ ...options, signal });
      if (signal.aborted) return await engine.stop();
      this.#engine = engine;
      this.#startedAtMs = clock.monotonicMs();
      engine.onExit(({ isExpected }) => {
        if (!isExpected && !signal.aborted) void this.#onCrash();
      });
      await onUp(engine);
      if (this.#engine === engine) this.#setState({ name: "running" });
    } catch (error) {
      if (signal.aborted) return;
      // Installing or loading failed: what a person has to change does not change by itself.
      if (this.#crashes === 0) this.#setState({ name: "failed", error: toPosternError(error) });
      else this.#restart(toPosternError(error));
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
      this.#setState({ name: "failed", error: error ?? CRASHES });
      return;
    }
    this.#setState({ name: "waiting" });
    const waitMs = Math.min(RESTART_BASE_MS * 2 ** (this.#crashes - 1), RESTART_CAP_MS);
    this.#timer = this.#options.clock.after(waitMs, () => this.start());
  }

  #setState(state: EmbeddedState): void {
    this.#state = state;
    this.#options.onState(state);
  }
}
