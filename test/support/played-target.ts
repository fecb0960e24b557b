import type { CancelReason, Exchange, ExchangeHandler, ExchangeRequest } from "../../src/lib/exchange.ts";
import type { Target, TargetTimes } from "../../src/proxy/target.ts";
import type { Backend } from "../../src/routing/backend.ts";
import { hashText } from "../../src/routing/hash.ts";
import type { EngineKind } from "../../src/tunnel/link.ts";

/** A target whose answers the test gives: take the next attempt with `next()` and call its handler. */
export class PlayedTarget implements Target {
  readonly id: string;
  readonly hash: number;
  readonly backend: Backend;
  readonly engine = "played";
  engineKind: EngineKind = "vllm";
  readonly engineModel: string;
  isLoaded: boolean | null = true;
  sizeBytes: number | null = null;
  contextLength: number | null = null;
  operations: ReadonlySet<string> = new Set(["openai.chat", "openai.completions", "openai.embeddings"]);
  inFlight = 0;
  slots: number | null = null;
  leaves = false;
  times: TargetTimes | null = null;
  isLoading = false;
  isAsleep = false;
  isUsageRefused = false;
  isAccepting = true;
  readonly attempts: PlayedAttempt[] = [];
  /** Plays every attempt from now on, right after it has begun; null: the test takes them with `next()`. */
  play: ((attempt: PlayedAttempt) => void) | null = null;
  #waiting: Array<(attempt: PlayedAttempt) => void> = [];
  #taken = 0;

  readonly #onEnded: () => void;

  constructor(model: string, node: string, onEnded: () => void = () => {}) {
    this.#onEnded = onEnded;
    this.id = `${node}/${model}`;
    this.hash = hashText(this.id);
    const isProvider = node.startsWith("provider/");
    const name = node.replace("provider/", "");
    this.backend = {
      kind: isProvider ? "provider" : "node",
      id: `id-${name}`,
      name,
      label: isProvider ? node : `node/${node}`,
      locality: isProvider ? "cloud" : "own",
      tags: [],
    };
    this.leaves = isProvider;
    this.engineModel = model;
  }

  canAccept(): boolean {
    return this.isAccepting;
  }

  get busy(): number {
    return this.inFlight;
  }

  began(): void {
    this.inFlight += 1;
  }

  ended(): void {
    this.inFlight -= 1;
    this.#onEnded();
  }

  start(request: ExchangeRequest, handler: ExchangeHandler): Exchange {
    const attempt = new PlayedAttempt(request, handler);
    this.attempts.push(attempt);
    const { play } = this;
    if (play === null) this.#waiting.shift()?.(attempt);
    else {
      this.#taken += 1;
      queueMicrotask(() => play(attempt));
    }
    return attempt;
  }

  /** The next attempt that was not taken yet; waits for it. */
  next(): Promise<PlayedAttempt> {
    const ready = this.attempts[this.#taken];
    this.#taken += 1;
    if (ready !== undefined) return Promise.resolve(ready);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}

export class PlayedAttempt implements Exchange {
  readonly request: ExchangeRequest;
  readonly handler: ExchangeHandler;
  isPaused = false;
  cancelled: CancelReason | null = null;
  readonly whenCancelled: Promise<CancelReason>;
  #onCancel: (reason: CancelReason) => void = () => {};

  constructor(request: ExchangeRequest, handler: ExchangeHandler) {
    this.request = request;
    this.handler = handler;
    this.whenCancelled = new Promise((resolve) => {
      this.#onCancel = resolve;
    });
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  cancel(reason: CancelReason): void {
    if (this.cancelled !== null) return;
    this.cancelled = reason;
    this.#onCancel(reason);
  }

  /** Head of a stream. */
  streamHead(): void {
    this.handler.onHead(200, { "content-type": "text/event-stream" });
  }

  data(text: string): void {
    this.handler.onData(Buffer.from(text));
  }

  /** A chat chunk with this text. */
  token(text: string): void {
    this.data(
      `data: ${JSON.stringify({ id: "c", object: "chat.completion.chunk", choices: [{ index: 0, delta: { content: text }, finish_reason: null }] })}\n\n`,
    );
  }

  /** Finish reason, usage and `[DONE]`, then the clean end. */
  finish(tokensIn = 3, tokensOut = 2): void {
    this.data(`data: ${JSON.stringify({ id: "c", choices: [{ index: 0, delta: {}, finish_reason: "stop" }] })}\n\n`);
    this.data(
      `data: ${JSON.stringify({ id: "c", choices: [], usage: { prompt_tokens: tokensIn, completion_tokens: tokensOut, total_tokens: tokensIn + tokensOut } })}\n\n`,
    );
    this.data("data: [DONE]\n\n");
    this.handler.onEnd();
  }

  /** A whole JSON answer. */
  answer(status: number, body: unknown): void {
    this.handler.onHead(status, { "content-type": "application/json" });
    this.handler.onData(Buffer.from(JSON.stringify(body)));
    this.handler.onEnd();
  }
}
