import { tellProviderError } from "../dialects/provider-error.ts";
import { ProviderStream } from "../dialects/provider-stream.ts";
import type { CancelReason, Exchange, ExchangeFailure, ExchangeHandler, ExchangeHeaders } from "../lib/exchange.ts";

/** Most of an error's body that is looked at; a longer one is not told. */
const MAX_ERROR_BYTES = 64 * 1024;

/** What of a provider's head goes on. Its limits, request ids and organizations are the operator's affair. */
const KEPT_HEADERS = ["content-type", "content-length", "retry-after", "retry-after-ms", "x-should-retry"] as const;

/** What an exchange with a provider tells whoever keeps its books. */
export interface ProviderEvents {
  /** The provider has answered. @param isAccount It does not take the operator's key, or wants to be paid. */
  answered(status: number, isAccount: boolean): void;
  /** Nothing more comes, however it ended. Called once, after the answer's own end. */
  ended(): void;
}

/** One exchange with a provider: what it says of the operator's account there ends here. */
export class ProviderExchange implements Exchange, ExchangeHandler {
  readonly #handler: ExchangeHandler;
  readonly #host: string;
  readonly #events: ProviderEvents;
  #inner: Exchange | null = null;
  #isOver = false;
  /** Status and head of an error whose body is being read. */
  #error: { status: number; headers: ExchangeHeaders } | null = null;
  #held: Buffer[] = [];
  #heldBytes = 0;
  #stream: ProviderStream | null = null;

  constructor(handler: ExchangeHandler, host: string, events: ProviderEvents) {
    this.#handler = handler;
    this.#host = host;
    this.#events = events;
  }

  /** @param inner The exchange whose handler this is. */
  over(inner: Exchange): this {
    this.#inner = inner;
    return this;
  }

  pause(): void {
    this.#inner?.pause();
  }

  resume(): void {
    this.#inner?.resume();
  }

  cancel(reason: CancelReason): void {
    this.#inner?.cancel(reason);
    this.#end();
  }

  onHead(status: number, headers: ExchangeHeaders): void {
    const kept: Record<string, string> = {};
    for (const name of KEPT_HEADERS) {
      const value = headers[name];
      if (value !== undefined) kept[name] = value;
    }
    if (status >= 400) {
      this.#error = { status, headers: kept };
      return;
    }
    this.#events.answered(status, false);
    if (headers["content-type"]?.startsWith("text/event-stream") === true)
      this.#stream = new ProviderStream(this.#host);
    this.#handler.onHead(status, kept);
  }

  onData(chunk: Buffer): void {
    if (this.#error !== null) {
      this.#heldBytes += chunk.length;
      if (this.#heldBytes <= MAX_ERROR_BYTES) this.#held.push(chunk);
      return;
    }
    if (this.#stream === null) return this.#handler.onData(chunk);
    this.#pass(() => this.#stream?.push(chunk));
  }

  onEnd(): void {
    if (this.#error !== null) this.#tellError(this.#error.status, this.#error.headers);
    else if (this.#stream !== null) this.#pass(() => this.#stream?.finish());
    if (!this.#isOver) this.#handler.onEnd();
    this.#end();
  }

  onFailure(failure: ExchangeFailure): void {
    if (!this.#isOver) this.#handler.onFailure(failure);
    this.#end();
  }

  #tellError(status: number, headers: ExchangeHeaders): void {
    const isWhole = this.#heldBytes <= MAX_ERROR_BYTES;
    const body = isWhole ? Buffer.concat(this.#held, this.#heldBytes) : Buffer.alloc(0);
    const told = tellProviderError(status, body, this.#host);
    this.#events.answered(status, told.isAccount);
    const { "content-length": _length, ...kept } = headers;
    this.#handler.onHead(told.status, kept);
    if (!this.#isOver && told.body.length > 0) this.#handler.onData(told.body);
  }

  #pass(read: () => Buffer | undefined): void {
    let out: Buffer | undefined;
    try {
      out = read();
    } catch {
      this.#inner?.cancel("protocol");
      this.#handler.onFailure({ phase: "body", kind: "protocol", detail: "an event longer than any may be" });
      return this.#end();
    }
    if (!this.#isOver && out !== undefined && out.length > 0) this.#handler.onData(out);
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#events.ended();
  }
}
