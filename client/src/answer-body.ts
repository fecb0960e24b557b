import type { AttemptLimits } from "./attempt-limits.ts";
import type { FailureReason } from "./failover-error.ts";
import type { StreamWatch } from "./stream-watch.ts";

/** Why an attempt ends. Never leaves this package: the caller gets a `FailoverError` or the signal's own reason. */
export class AttemptFault extends Error {
  readonly reason: FailureReason | "caller_left";
  readonly systemCode: string | null;

  constructor(reason: FailureReason | "caller_left", systemCode: string | null = null) {
    super(reason);
    this.reason = reason;
    this.systemCode = systemCode;
  }
}

/** Longest beginning of a stream that is held while it has no content. Beyond it, what there is goes to the caller. */
const MAX_HELD_STREAM_BYTES = 1024 * 1024;
/** Longest answer, not streamed, that is held until it is whole. A longer one is handed over from here on. */
const MAX_HELD_ANSWER_BYTES = 16 * 1024 * 1024;

/** How an answer is held back until it is certain enough to be the answer. */
export type Hold = "none" | "first-content" | "whole";

/**
 * The body of one answer: held until it is certain, then read on at the caller's pace.
 *
 * Owns the reader of the response. `close` gives it back; reading to the end does too.
 */
export class AnswerBody {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #limits: AttemptLimits;
  readonly #watch: StreamWatch | null;
  readonly #held: Uint8Array[] = [];
  #lastByte = 0;
  #hasEnded = false;

  constructor(source: ReadableStream<Uint8Array>, limits: AttemptLimits, watch: StreamWatch | null) {
    this.#reader = source.getReader();
    this.#limits = limits;
    this.#watch = watch;
  }

  /** The answer is here to its end, and whole. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /**
   * Reads until the answer has content, or is whole.
   *
   * @throws AttemptFault when it fails before: nothing has reached the caller, so another target may be asked.
   */
  async hold(hold: Hold, isJson: boolean): Promise<void> {
    const limitBytes = hold === "whole" ? MAX_HELD_ANSWER_BYTES : MAX_HELD_STREAM_BYTES;
    for (let size = 0; hold !== "none" && size <= limitBytes; ) {
      const chunk = await this.#read();
      if (this.#watch?.stage === "failed") throw new AttemptFault("said_error");
      if (chunk === null) break;
      size += chunk.length;
      this.#held.push(chunk);
      if (hold === "first-content" && this.#watch?.stage !== "waiting") break;
    }
    // An answer whose length nobody said ends with its connection, whole or not. All answers in JSON are objects or lists.
    if (this.#hasEnded && hold === "whole" && isJson && !"}]".includes(String.fromCharCode(this.#lastByte))) {
      throw new AttemptFault("cut");
    }
  }

  /**
   * The next bytes; null at the end of a whole answer.
   *
   * @param idleMs Longest silence.
   * @throws AttemptFault when the answer breaks; also where the connection ended well and the answer did not.
   */
  async next(idleMs: number): Promise<Uint8Array | null> {
    const held = this.#held.shift();
    if (held !== undefined) return held;
    if (this.#hasEnded) return null;
    // Runs only while we wait: a slow caller is not the target's silence.
    this.#limits.start("stalled", idleMs);
    try {
      return await this.#read();
    } finally {
      this.#limits.clear("stalled");
    }
  }

  /** Stops reading; the connection is given up. */
  close(): void {
    this.#held.length = 0;
    this.#reader.cancel().catch(() => {});
  }

  async #read(): Promise<Uint8Array | null> {
    let chunk: Uint8Array | undefined;
    try {
      ({ value: chunk } = await this.#limits.race(this.#reader.read(), () => {}));
    } catch {
      throw new AttemptFault(this.#limits.stopReason ?? "cut");
    }
    const stageBefore = this.#watch?.stage;
    try {
      if (chunk === undefined) this.#watch?.end();
      else this.#watch?.push(chunk);
    } catch {
      throw new AttemptFault("bad_answer");
    }
    // A reader that stops at [DONE] would take the answer for whole. Only the chunk with the server's error in it goes through.
    if (this.#watch?.hasEarlyDone === true && (this.#watch.stage !== "failed" || stageBefore === "failed")) {
      throw new AttemptFault(stageBefore === "failed" ? "said_error" : "cut");
    }
    if (chunk !== undefined) {
      for (let at = chunk.length - 1; at >= 0; at -= 1) {
        const byte = chunk[at] ?? 0;
        if (byte <= 0x20) continue;
        this.#lastByte = byte;
        break;
      }
      return chunk;
    }
    const stage = this.#watch?.stage;
    if (stage !== undefined && stage !== "finished" && stage !== "refused") {
      throw new AttemptFault(stage === "failed" ? "said_error" : "cut");
    }
    this.#hasEnded = true;
    return null;
  }
}
