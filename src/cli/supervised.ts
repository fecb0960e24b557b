import { PosternError } from "../errors.ts";
import { type ChildMessage, type ParentMessage, readParentMessage, SUPERVISED_VARIABLE } from "./child-protocol.ts";

/** The other end of `postern up`, seen from a process that it started; null in a process that runs by itself. */
export interface Supervisor {
  /** Tells; does nothing when the supervisor is gone. */
  tell(message: ChildMessage): void;
  /** Called for each message of the protocol. */
  onMessage(handler: (message: ParentMessage) => void): void;
}

/** The supervisor of this process, or null. */
export function findSupervisor(): Supervisor | null {
  if (process.env[SUPERVISED_VARIABLE] === undefined || process.send === undefined) return null;
  return {
    tell(message) {
      if (process.connected) process.send?.(message, undefined, {}, () => {});
    },
    onMessage(handler) {
      process.on("message", (raw) => {
        const message = readParentMessage(raw);
        if (message !== null) handler(message);
      });
    },
  };
}

/** Something that serves until it is told to stop. */
export interface Service {
  drain(): Promise<void>;
  stop(): Promise<void>;
}

/**
 * When this process is to end: SIGINT or SIGTERM (a second one does not wait for what still runs), the supervisor's word,
 * or the supervisor's death. Keeps the process alive until `dispose`.
 */
export class StopRequests {
  readonly #asked = Promise.withResolvers<"drain" | "stop">();
  readonly #hurried = Promise.withResolvers<void>();
  readonly #keepAlive = setInterval(() => {}, 2 ** 30);
  readonly #onSignal: () => void;
  readonly #onInterrupt: () => void;
  #signals = 0;

  constructor(supervisor: Supervisor | null) {
    this.#onSignal = () => {
      this.#signals++;
      if (this.#signals === 1) this.#asked.resolve("drain");
      else this.#hurried.resolve();
    };
    // Ctrl-C reaches the whole process group; a supervised process leaves it to its supervisor to say what follows.
    this.#onInterrupt = supervisor === null ? this.#onSignal : () => {};
    process.on("SIGTERM", this.#onSignal);
    process.on("SIGINT", this.#onInterrupt);
    if (supervisor === null) return;
    supervisor.onMessage((message) => {
      if (message.type === "drain") this.#asked.resolve("drain");
    });
    process.once("disconnect", () => {
      this.#asked.resolve("stop");
      this.#hurried.resolve();
    });
  }

  /** Resolves when the process is to end, and how. */
  get asked(): Promise<"drain" | "stop"> {
    return this.#asked.promise;
  }

  /**
   * Serves until the process is to end, then drains or stops the service.
   *
   * @param failed Resolves with an error when the service cannot go on by itself, with null when it ended as it was told.
   * @returns when the service has stopped; the error where it failed.
   */
  async serve(service: Service, failed: Promise<PosternError | null>): Promise<PosternError | null> {
    const how = await Promise.race([this.#asked.promise, failed]);
    if (how === "drain") await Promise.race([service.drain(), this.#hurried.promise]);
    await service.stop();
    return how instanceof PosternError ? how : null;
  }

  /** Lets the process end. */
  dispose(): void {
    clearInterval(this.#keepAlive);
    process.off("SIGTERM", this.#onSignal);
    process.off("SIGINT", this.#onInterrupt);
    if (process.connected) process.disconnect?.();
  }
}
