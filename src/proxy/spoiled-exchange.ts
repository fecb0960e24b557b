import type { FaultKind } from "../continuity/drill/fault.ts";
import type { CancelReason, Exchange, ExchangeFailure, ExchangeHandler, ExchangeHeaders } from "../lib/exchange.ts";

/** Chunks of a stream that come through before the fault: the caller has content by then. */
const CHUNKS_BEFORE = 3;

const CUT: ExchangeFailure = { phase: "body", kind: "cut", detail: "UND_ERR_SOCKET (drill)" };
const SHORT: ExchangeFailure = {
  phase: "body",
  kind: "cut",
  detail: "UND_ERR_RES_CONTENT_LENGTH_MISMATCH (drill)",
};
const EXTRA = Buffer.from("\n\n0123456789 after the end\n\n");

/**
 * Stands between a target and the relay and spoils the answer on its way: drills play with it what goes wrong in the middle of
 * an answer. One that is not a stream comes in few pieces, so it is spoiled in the middle of its first.
 */
export class SpoiledExchange implements Exchange, ExchangeHandler {
  readonly #handler: ExchangeHandler;
  readonly #kind: FaultKind;
  #inner: Exchange | null = null;
  #type = "";
  #chunks = 0;
  /** Nothing more goes to the handler. */
  #isOver = false;

  constructor(handler: ExchangeHandler, kind: FaultKind) {
    this.#handler = handler;
    this.#kind = kind;
  }

  /** Call once, with what `start` gave. */
  over(inner: Exchange): Exchange {
    this.#inner = inner;
    return this;
  }

  onHead(status: number, headers: ExchangeHeaders): void {
    if (this.#isOver) return;
    this.#type = headers["content-type"] ?? "";
    this.#handler.onHead(status, headers);
  }

  onData(chunk: Buffer): void {
    if (this.#isOver) return;
    this.#chunks += 1;
    const isStream = this.#type.startsWith("text/event-stream") || this.#type.startsWith("application/x-ndjson");
    const isHere = this.#chunks === (isStream ? CHUNKS_BEFORE : 1);
    if (!isHere) return this.#handler.onData(chunk);
    const half = chunk.subarray(0, chunk.length >> 1);
    switch (this.#kind) {
      case "stall":
      case "cut":
        this.#handler.onData(half);
        return this.#stop();
      case "malformed-event":
        this.#handler.onData(this.#malformed());
        if (!this.#isOver) this.#handler.onData(chunk);
        return;
      default:
        this.#handler.onData(chunk);
    }
  }

  onEnd(): void {
    if (this.#isOver) return;
    switch (this.#kind) {
      case "stall":
      case "cut":
        return this.#stop();
      case "short-body":
        return this.#fail(SHORT);
      case "extra-bytes":
        this.#handler.onData(EXTRA);
        break;
      case "malformed-event":
        if (this.#chunks < CHUNKS_BEFORE) this.#handler.onData(this.#malformed());
        break;
    }
    if (this.#isOver) return;
    this.#isOver = true;
    this.#handler.onEnd();
  }

  onFailure(failure: ExchangeFailure): void {
    if (!this.#isOver) this.#fail(failure);
  }

  pause(): void {
    this.#inner?.pause();
  }

  resume(): void {
    if (!this.#isOver) this.#inner?.resume();
  }

  cancel(reason: CancelReason): void {
    this.#isOver = true;
    this.#inner?.cancel(reason);
  }

  /** The answer goes no further. A stalled target keeps its request until the relay gives it up, as a real one would. */
  #stop(): void {
    if (this.#isOver) return;
    if (this.#kind === "stall") {
      this.#isOver = true;
      this.#inner?.pause();
      return;
    }
    this.#inner?.cancel("protocol");
    this.#fail(CUT);
  }

  #fail(failure: ExchangeFailure): void {
    this.#isOver = true;
    this.#handler.onFailure(failure);
  }

  #malformed(): Buffer {
    if (this.#type.startsWith("text/event-stream")) return Buffer.from('\n\ndata: {"broken": \n\n');
    return Buffer.from(this.#type.startsWith("application/x-ndjson") ? '\n{"broken": \n' : '}{"broken": ');
  }
}
