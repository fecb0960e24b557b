import type {
  CancelReason,
  Exchange,
  ExchangeFailure,
  ExchangeHandler,
  ExchangeRequest,
  FailureKind,
  FailurePhase,
} from "../lib/exchange.ts";
import { FRAME, type ResetReason } from "./frames.ts";
import { readAnswerHead, writeRequestHead } from "./heads.ts";
import type { LinkStream, StreamOwner } from "./link-stream.ts";
import type { Session } from "./session.ts";

/** Answers that end with their head. */
const isWithoutBody = (status: number) => status === 204 || status === 205 || status === 304;

/** A `content-length` (RFC 9110 §8.6); anything else is no length that an answer could have. */
const LENGTH = /^[0-9]{1,15}$/;

/** What an exchange tells the link it runs on. */
export interface ExchangeOwner {
  bytesIn: number;
  bytesOut: number;
  /** Called exactly once, when the exchange no longer counts. */
  onExchangeEnd(): void;
}

/** Sends a request on a new stream. Null when the session takes none now; then nothing was sent and no callback follows. */
export function startExchange(
  session: Session,
  request: ExchangeRequest,
  owner: ExchangeOwner,
  handler: ExchangeHandler,
): Exchange | null {
  const exchange = new StreamExchange(owner, handler);
  const stream = session.open(exchange);
  if (stream === null) return null;
  exchange.send(stream, request);
  return exchange;
}

/**
 * The gateway's side of one stream: one attempt.
 *
 * The answer is complete only when the agent said so with the last frame *and*, where it has a `content-length`, it has as many
 * bytes.
 */
class StreamExchange implements Exchange, StreamOwner {
  #stream: LinkStream | null = null;
  readonly #owner: ExchangeOwner;
  #handler: ExchangeHandler;
  #isDone = false;
  #hasHead = false;
  /** Value of `content-length`, or -1. */
  #expectedBytes = -1;
  #receivedBytes = 0;

  constructor(owner: ExchangeOwner, handler: ExchangeHandler) {
    this.#owner = owner;
    this.#handler = handler;
  }

  send(stream: LinkStream, request: ExchangeRequest): void {
    this.#stream = stream;
    const { body } = request;
    stream.sendHead(FRAME.open, writeRequestHead(request), body === null || body.length === 0);
    if (body === null || body.length === 0) return;
    this.#owner.bytesOut += body.length;
    stream.send(body, true);
  }

  // Exchange

  pause(): void {
    if (!this.#isDone) this.#stream?.pause();
  }

  resume(): void {
    if (!this.#isDone) this.#stream?.resume();
  }

  cancel(_reason: CancelReason): void {
    if (this.#isDone) return;
    this.#finish();
    this.#stream?.reset("cancel", "body");
  }

  // StreamOwner

  onHead(payload: Buffer): void {
    if (this.#isDone) return;
    const head = this.#hasHead ? null : readAnswerHead(payload);
    if (head === null) return this.#reject("unacceptable head");
    this.#hasHead = true;
    const { status, headers } = head;
    const length = headers["content-length"];
    if (isWithoutBody(status)) this.#expectedBytes = 0;
    else if (length !== undefined) this.#expectedBytes = LENGTH.test(length) ? Number(length) : Number.NaN;
    this.#handler.onHead(status, headers);
  }

  onBody(chunk: Buffer): void {
    if (this.#isDone) return;
    if (!this.#hasHead) return this.#reject("a body before its head");
    this.#receivedBytes += chunk.length;
    this.#owner.bytesIn += chunk.length;
    this.#handler.onData(chunk);
  }

  onBodyEnd(): void {
    if (this.#isDone) return;
    if (!this.#hasHead) return this.#reject("an end before its head");
    if (this.#expectedBytes !== -1 && this.#receivedBytes !== this.#expectedBytes) {
      return this.#reject("not as many bytes as its content-length");
    }
    this.#finish().onEnd();
    // An answer before the whole request was sent: the rest of it is of no use.
    this.#stream?.reset("cancel", "body");
  }

  onReset({ kind, phase, detail }: ResetReason): void {
    this.#fail(
      this.#hasHead ? kindInBody(kind) : kind,
      this.#hasHead ? "body" : phase,
      detail || "the agent gave no detail",
    );
  }

  onLinkEnd(detail: string): void {
    this.#fail("reset", this.#hasHead ? "body" : "request", detail);
  }

  onDrain(): void {}

  #reject(detail: string): void {
    this.#fail("protocol", this.#hasHead ? "body" : "request", detail);
    this.#stream?.reset("protocol", "body", detail);
  }

  #fail(kind: FailureKind, phase: FailurePhase, detail: string): void {
    if (this.#isDone) return;
    const failure: ExchangeFailure = { phase, kind, detail };
    this.#finish().onFailure(failure);
  }

  #finish(): ExchangeHandler {
    const handler = this.#handler;
    this.#handler = NOBODY;
    this.#isDone = true;
    this.#owner.onExchangeEnd();
    return handler;
  }
}

/** Hears what comes after the end, which is nothing: what the link keeps of a stream must not keep the request. */
const NOBODY: ExchangeHandler = { onHead() {}, onData() {}, onEnd() {}, onFailure() {} };

/** An engine that cannot be reached any more, once its answer has begun, is a connection that was lost. */
function kindInBody(kind: FailureKind): FailureKind {
  return kind === "unreachable" ? "reset" : kind;
}
