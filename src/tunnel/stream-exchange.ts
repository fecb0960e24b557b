import { type ClientHttp2Stream, constants, type IncomingHttpHeaders } from "node:http2";
import type { CancelReason, Exchange, ExchangeFailure, ExchangeHandler, FailurePhase } from "../lib/exchange.ts";
import type { Placed } from "../lib/live-set.ts";
import { END_COMPLETE, END_TRAILER, FAILURE_HEADER, INTERIM_LIMIT, PHASE_HEADER } from "./constants.ts";
import { kindOfReset, readKind, readPhase } from "./endings.ts";

const { NGHTTP2_CANCEL, NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_PROTOCOL_ERROR } = constants;

/** Bytes kept of the body that explains a failure. */
const FAILURE_BODY_LIMIT = 2048;
/** Characters of an agent's explanation that reach our log. */
const FAILURE_DETAIL_LIMIT = 300;

/** Answers that end with their head. */
const WITHOUT_BODY = new Set([204, 205, 304]);

/** Hears what comes after the end, which is nothing. */
const NOBODY: ExchangeHandler = { onHead() {}, onData() {}, onEnd() {}, onFailure() {} };

const EXCHANGE = Symbol("exchange");

/** A stream with its exchange on it, so that listeners are shared functions and no stream has closures of its own. */
interface Stream extends ClientHttp2Stream {
  [EXCHANGE]: StreamExchange;
}

/** What an exchange tells the link it runs on. */
export interface ExchangeOwner {
  bytesIn: number;
  /** Called exactly once, when the exchange no longer counts. */
  onExchangeEnd(exchange: StreamExchange): void;
}

/**
 * The gateway's side of one stream: one attempt.
 *
 * The answer is complete only when its framing ended *and* the agent said so: by as many bytes as `content-length` named,
 * or by the trailer `postern-end`. END_STREAM alone proves nothing, because Node sends it before an RST_STREAM when a
 * stream is closed with bytes unsent, and reports a reset with NO_ERROR as a plain `end`.
 */
export class StreamExchange implements Exchange, Placed {
  /** Among those that run on its link. */
  place = -1;
  readonly #stream: Stream;
  readonly #owner: ExchangeOwner;
  /** `NOBODY` once it is over: what Node keeps of a stream must not keep the request. */
  #handler: ExchangeHandler;
  #isDone = false;
  #hasHead = false;
  #isComplete = false;
  #isPaused = false;
  #interimCount = 0;
  /** Value of `content-length`, or -1. */
  #expectedBytes = -1;
  #receivedBytes = 0;
  /** Set while the body of a failure is collected instead of relayed. */
  #refusal: { failure: ExchangeFailure; body: string } | null = null;
  #error: unknown;

  constructor(stream: ClientHttp2Stream, owner: ExchangeOwner, handler: ExchangeHandler) {
    const tagged = stream as Stream;
    tagged[EXCHANGE] = this;
    this.#stream = tagged;
    this.#owner = owner;
    this.#handler = handler;
    stream.on("response", onResponse);
    stream.on("headers", onInterim);
    stream.on("trailers", onTrailers);
    stream.on("end", onEnd);
    stream.on("error", onError);
    stream.on("close", onClose);
  }

  pause(): void {
    this.#isPaused = true;
    if (this.#hasHead && !this.#isDone) this.#stream.pause();
  }

  resume(): void {
    this.#isPaused = false;
    if (this.#hasHead && !this.#isDone) this.#stream.resume();
  }

  cancel(_reason: CancelReason): void {
    if (this.#isDone) return;
    this.#finish();
    this.#stream.close(NGHTTP2_CANCEL);
  }

  /** Ends the exchange because its link ended. Idempotent. */
  abandon(detail: string): void {
    this.#fail({ phase: this.#phase(), kind: "reset", detail });
  }

  onResponse(headers: IncomingHttpHeaders & { ":status"?: number }): void {
    if (this.#isDone) return;
    const status = headers[":status"] ?? 0;
    if (this.#hasHead || status < 200 || status > 599) {
      this.#reject(NGHTTP2_PROTOCOL_ERROR, `unacceptable head (status ${status})`);
      return;
    }
    this.#hasHead = true;
    const plain: Record<string, string> = {};
    for (const name in headers) {
      const value: unknown = headers[name];
      if (typeof value === "string") plain[name] = value;
    }
    const refused = plain[FAILURE_HEADER];
    if (refused !== undefined) {
      this.#refusal = {
        failure: { phase: readPhase(plain[PHASE_HEADER]), kind: readKind(refused), detail: "the agent gave no detail" },
        body: "",
      };
      this.#stream.on("data", onRefusalData);
      return;
    }
    const length = plain["content-length"];
    if (WITHOUT_BODY.has(status)) this.#expectedBytes = 0;
    else if (length !== undefined) this.#expectedBytes = Number(length);
    this.#handler.onHead(status, plain);
    if (this.#isDone) return;
    if (this.#isPaused) this.#stream.pause();
    // Only now: a chunk that came with the head must not overtake it.
    this.#stream.on("data", onData);
  }

  onInterim(): void {
    this.#interimCount += 1;
    if (this.#interimCount > INTERIM_LIMIT) this.#reject(NGHTTP2_ENHANCE_YOUR_CALM, "too many interim answers");
  }

  onTrailers(trailers: IncomingHttpHeaders): void {
    this.#isComplete = trailers[END_TRAILER] === END_COMPLETE;
  }

  onData(chunk: Buffer): void {
    if (this.#isDone) return;
    this.#receivedBytes += chunk.length;
    this.#owner.bytesIn += chunk.length;
    this.#handler.onData(chunk);
  }

  onRefusalData(chunk: Buffer): void {
    if (this.#refusal === null || this.#refusal.body.length >= FAILURE_BODY_LIMIT) return;
    this.#refusal.body += chunk.toString("latin1", 0, FAILURE_BODY_LIMIT);
  }

  onEnd(): void {
    if (this.#isDone || this.#refusal !== null || !this.#hasHead) return;
    if (this.#isComplete || this.#receivedBytes === this.#expectedBytes) {
      this.#finish().onEnd();
    }
  }

  onError(error: unknown): void {
    this.#error = error;
  }

  onClose(): void {
    if (this.#isDone) return;
    if (this.#refusal !== null) {
      this.#fail({ ...this.#refusal.failure, detail: readDetail(this.#refusal.body) });
      return;
    }
    const code = this.#stream.rstCode;
    const kind = isGoaway(this.#error) ? "refused" : kindOfReset(code);
    this.#fail({ phase: this.#phase(), kind, detail: `stream closed with code ${code}`, cause: this.#error });
  }

  #phase(): FailurePhase {
    return this.#hasHead ? "body" : "request";
  }

  #reject(code: number, detail: string): void {
    if (this.#isDone) return;
    this.#fail({ phase: this.#phase(), kind: "protocol", detail });
    this.#stream.close(code);
  }

  #fail(failure: ExchangeFailure): void {
    if (!this.#isDone) this.#finish().onFailure(failure);
  }

  // Here and not on 'close', which on a busy session may never fire (undici PR 5560).
  #finish(): ExchangeHandler {
    const handler = this.#handler;
    this.#handler = NOBODY;
    this.#isDone = true;
    this.#owner.onExchangeEnd(this);
    return handler;
  }
}

function isGoaway(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ERR_HTTP2_GOAWAY_SESSION";
}

function readDetail(body: string): string {
  try {
    const value: unknown = JSON.parse(body);
    if (typeof value === "object" && value !== null && "detail" in value && typeof value.detail === "string") {
      return value.detail.replace(/[^\x20-\x7e]/g, "?").slice(0, FAILURE_DETAIL_LIMIT);
    }
  } catch {
    // Somebody else's body.
  }
  return "the agent gave no detail";
}

function onResponse(this: ClientHttp2Stream, headers: IncomingHttpHeaders & { ":status"?: number }): void {
  (this as Stream)[EXCHANGE].onResponse(headers);
}

function onInterim(this: ClientHttp2Stream): void {
  (this as Stream)[EXCHANGE].onInterim();
}

function onTrailers(this: ClientHttp2Stream, trailers: IncomingHttpHeaders): void {
  (this as Stream)[EXCHANGE].onTrailers(trailers);
}

function onData(this: ClientHttp2Stream, chunk: Buffer): void {
  (this as Stream)[EXCHANGE].onData(chunk);
}

function onRefusalData(this: ClientHttp2Stream, chunk: Buffer): void {
  (this as Stream)[EXCHANGE].onRefusalData(chunk);
}

function onEnd(this: ClientHttp2Stream): void {
  (this as Stream)[EXCHANGE].onEnd();
}

function onError(this: ClientHttp2Stream, error: unknown): void {
  (this as Stream)[EXCHANGE].onError(error);
}

function onClose(this: ClientHttp2Stream): void {
  (this as Stream)[EXCHANGE].onClose();
}
