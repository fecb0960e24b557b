import type { KeyPolicy } from "../access/policy.ts";
import type { CaptureConfig } from "../config/resolved.ts";
import type { Capture, CapturedPart } from "../storage/store.ts";

/** Memory of everything that is being captured or waits to be written. Beyond it, requests go uncaptured and are counted. */
export const MAX_CAPTURE_MEMORY_BYTES = 32 * 1024 * 1024;
/** Captures that wait to be written. */
export const MAX_WAITING_CAPTURES = 1000;
const HOUR_MS = 3_600_000;

/** What became of a request that was to be captured. */
export type CaptureResult = "kept" | "dropped" | "failed";

export interface CapturesOptions {
  config: CaptureConfig;
  /** Writes one down, or leaves it (`false`) where its key is gone or says no by now. */
  write(capture: Capture): Promise<boolean>;
  onResult(result: CaptureResult, error: unknown): void;
}

type Words = NonNullable<KeyPolicy["capture"]>;

/**
 * Prompts and answers of the keys whose policy says so, on their way to the disk.
 *
 * The request path only copies bytes, up to the bound of an item. They are written behind the answer, one after the other, and
 * what does not fit the bounds above is dropped: a capture never slows a request and never fails one.
 */
export class Captures {
  readonly #options: CapturesOptions;
  readonly #waiting: Capture[] = [];
  #isWriting = false;
  #heldBytes = 0;
  #onIdle: Array<() => void> = [];

  constructor(options: CapturesOptions) {
    this.#options = options;
  }

  /** Begins with one request. Null where its key says nothing of capture. */
  begin(words: Words | undefined): RequestCapture | null {
    return words === undefined ? null : new RequestCapture(words, this.#options.config, this);
  }

  /** Bytes in memory. For leak checks. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** @returns Whether there was room. */
  hold(bytes: number): boolean {
    if (this.#heldBytes + bytes > MAX_CAPTURE_MEMORY_BYTES) return false;
    this.#heldBytes += bytes;
    return true;
  }

  letGo(bytes: number): void {
    this.#heldBytes -= bytes;
  }

  dropped(): void {
    this.#options.onResult("dropped", null);
  }

  add(capture: Capture): void {
    if (this.#waiting.length >= MAX_WAITING_CAPTURES) {
      this.letGo(sizeOf(capture));
      return this.dropped();
    }
    this.#waiting.push(capture);
    if (!this.#isWriting) void this.#writeAll();
  }

  /** Resolves when everything that was captured so far is written or given up. */
  settled(): Promise<void> {
    if (!this.#isWriting) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  async #writeAll(): Promise<void> {
    this.#isWriting = true;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      try {
        if (await this.#options.write(next)) this.#options.onResult("kept", null);
      } catch (error) {
        this.#options.onResult("failed", error);
      }
      this.letGo(sizeOf(next));
    }
    this.#isWriting = false;
    for (const resolve of this.#onIdle.splice(0)) resolve();
  }
}

/** What one request and its answer were, as far as they are kept. */
export class RequestCapture {
  /** What is kept, for the caller to be told: `requests`, `answers`. */
  readonly kinds: string;
  readonly #words: Words;
  readonly #config: CaptureConfig;
  readonly #captures: Captures;
  readonly #request: Part | null;
  readonly #answer: Part | null;
  #isOver = false;

  constructor(words: Words, config: CaptureConfig, captures: Captures) {
    this.#words = words;
    this.#config = config;
    this.#captures = captures;
    this.#request = words.requests === true ? new Part(config.itemBytes, captures) : null;
    this.#answer = words.answers === true ? new Part(config.itemBytes, captures) : null;
    this.kinds = [words.requests === true ? "requests" : "", words.answers === true ? "answers" : ""]
      .filter((one) => one !== "")
      .join(", ");
  }

  /** The body as it came, before anything was changed. */
  request(bytes: Buffer): void {
    this.#request?.add(bytes);
  }

  /** A part of the answer as the caller gets it. */
  answer(bytes: Buffer): void {
    this.#answer?.add(bytes);
  }

  /** The request is over: what was held of it is written down. */
  finish(about: Pick<Capture, "id" | "keyId" | "operation" | "model">, nowMs: number): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#request?.isLost === true || this.#answer?.isLost === true) {
      this.#captures.letGo((this.#request?.heldBytes ?? 0) + (this.#answer?.heldBytes ?? 0));
      return this.#captures.dropped();
    }
    const keptMs = Math.min(this.#words.retentionHours * HOUR_MS, this.#config.maxRetentionMs);
    const request = this.#request?.take() ?? null;
    const answer = this.#answer?.take() ?? null;
    this.#captures.add({ ...about, capturedAtMs: nowMs, expiresAtMs: nowMs + keptMs, request, answer });
  }

  /** The request is over and leaves no record: what was held of it is forgotten. Idempotent. */
  forget(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#captures.letGo((this.#request?.heldBytes ?? 0) + (this.#answer?.heldBytes ?? 0));
  }
}

/** Bytes up to a bound. Copied, because what they are cut from is larger than they are. */
class Part {
  /** There was no memory for a part of it. */
  isLost = false;
  heldBytes = 0;
  readonly #maxBytes: number;
  readonly #captures: Captures;
  readonly #chunks: Buffer[] = [];
  #seenBytes = 0;

  constructor(maxBytes: number, captures: Captures) {
    this.#maxBytes = maxBytes;
    this.#captures = captures;
  }

  add(bytes: Buffer): void {
    this.#seenBytes += bytes.length;
    const room = Math.min(this.#maxBytes - this.heldBytes, bytes.length);
    if (room <= 0 || this.isLost) return;
    if (!this.#captures.hold(room)) {
      this.isLost = true;
      return;
    }
    this.heldBytes += room;
    this.#chunks.push(Buffer.from(bytes.subarray(0, room)));
  }

  take(): CapturedPart {
    const kept = Buffer.concat(this.#chunks);
    return { kept, bytes: this.#seenBytes, isCut: this.#seenBytes > kept.length };
  }
}

function sizeOf({ request, answer }: Capture): number {
  return (request?.kept.length ?? 0) + (answer?.kept.length ?? 0);
}
