import type { CancelReason, Exchange, ExchangeFailure, ExchangeHandler } from "../lib/exchange.ts";
import type { AnswerFields } from "./answer-fields.ts";
import { readAnswerHead } from "./answer-head.ts";
import type { ConnectionUser, EngineConnection } from "./engine-connection.ts";

/** Who counts exchanges. */
export interface ExchangeOwner {
  /** Once: the exchange is over, one way or another. */
  onOver(): void;
}

/** One exchange with an engine: waits for its connection, then is its user. */
export class EngineExchange implements Exchange, ConnectionUser {
  readonly head: string;
  readonly #handler: ExchangeHandler;
  readonly #owner: ExchangeOwner;
  #body: Buffer | null;
  #connection: EngineConnection | null = null;
  #phase: ExchangeFailure["phase"] = "connect";
  #isDone = false;
  #isPaused = false;

  constructor(owner: ExchangeOwner, handler: ExchangeHandler, head: string, body: Buffer | null) {
    this.#owner = owner;
    this.#handler = handler;
    this.head = head;
    this.#body = body;
  }

  /** Whether it has ended, one way or another. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** Gives it the connection that it is the user of. */
  begin(connection: EngineConnection): void {
    this.#connection = connection;
  }

  /** Fails it, after `start` has returned, unless it is cancelled before. */
  refuse(failure: ExchangeFailure): void {
    queueMicrotask(() => this.#fail(failure));
  }

  // Exchange

  pause(): void {
    if (this.#isDone || this.#isPaused) return;
    this.#isPaused = true;
    this.#connection?.pause();
  }

  resume(): void {
    if (this.#isDone || !this.#isPaused) return;
    this.#isPaused = false;
    this.#connection?.resume();
  }

  cancel(_reason: CancelReason): void {
    if (this.#isDone) return;
    this.#finish()?.abandon();
  }

  // ConnectionUser

  get isPaused(): boolean {
    return this.#isPaused;
  }

  get body(): Buffer | null {
    return this.#body;
  }

  onSent(): void {
    this.#phase = "request";
    this.#body = null;
  }

  onHead({ status, fields }: AnswerFields): void {
    if (this.#isDone) return;
    const headers = readAnswerHead(status, fields);
    if (typeof headers === "string") {
      this.#finish()?.abandon();
      this.#handler.onFailure({ phase: this.#phase, kind: "protocol", detail: headers });
      return;
    }
    this.#phase = "body";
    this.#handler.onHead(status, headers);
  }

  onBody(chunk: Buffer): void {
    if (!this.#isDone) this.#handler.onData(chunk);
  }

  onEnd(): void {
    if (this.#isDone) return;
    this.#finish();
    this.#handler.onEnd();
  }

  onFailure(kind: ExchangeFailure["kind"], detail: string, cause?: unknown): void {
    this.#fail({ phase: this.#phase, kind, detail, ...(cause === undefined ? {} : { cause }) });
  }

  #fail(failure: ExchangeFailure): void {
    if (this.#isDone) return;
    this.#finish();
    this.#handler.onFailure(failure);
  }

  #finish(): EngineConnection | null {
    const connection = this.#connection;
    this.#connection = null;
    this.#body = null;
    this.#isDone = true;
    this.#owner.onOver();
    return connection;
  }
}
