/**
 * One HTTP exchange as Postern's own parts see it: request out, head, chunks, then exactly one ending.
 *
 * The same contract is fulfilled by a link (gateway to agent), by a direct connection (gateway to an engine in the same
 * network) and by the agent's connection to its engine, so that the relay above does not care which it has. Callbacks
 * instead of streams: a token crosses this interface thousands of times a second.
 */
export interface ExchangeRequest {
  method: "GET" | "POST";
  /** Canonical path of an operation, never the caller's bytes. */
  path: string;
  /** Lower-case names. Built by us from an allowlist; hop-by-hop names must not appear. */
  headers: Record<string, string>;
  body: Buffer | null;
  /** What it may cost at most, in micro-dollars; null: there is no price. Left out: it costs nothing. Never leaves the process. */
  maxCostMicros?: number | null;
}

/** Header names in lower case. A repeated header is joined or, where that is not allowed, makes the answer bad. */
export type ExchangeHeaders = Readonly<Record<string, string>>;

/**
 * Receives an answer. After `start` returns, calls come in this order: `onHead` at most once, `onData` any number of
 * times, then exactly one of `onEnd` and `onFailure`, and nothing after it (nothing at all after `cancel`).
 * A handler must not throw.
 */
export interface ExchangeHandler {
  onHead(status: number, headers: ExchangeHeaders): void;
  /** The buffer belongs to the handler; it may be kept but not written to. */
  onData(chunk: Buffer): void;
  /** The answer is complete: its framing ended as HTTP says it must. */
  onEnd(): void;
  onFailure(failure: ExchangeFailure): void;
}

/** A running exchange. All methods are idempotent and safe after the end. */
export interface Exchange {
  /** Stops `onData`, and through flow control the sender; a few chunks already on their way may still arrive. */
  pause(): void;
  resume(): void;
  /** Gives the exchange up at once, on the far side too (the engine stops). No callback follows. */
  cancel(reason: CancelReason): void;
}

export type CancelReason = "caller_left" | "deadline" | "revoked" | "shutdown" | "protocol" | "superseded";

/** Where an exchange stopped. What may happen next is decided from this (see routing). */
export type FailurePhase =
  /** No connection: nothing was sent. */
  | "connect"
  /** The request was being written, or was written, and no head came. */
  | "request"
  /** The head came, the body did not end as it should. */
  | "body";

export type FailureKind =
  /** Connection refused, no route, DNS, TLS. */
  | "unreachable"
  /** The far side said that it did not take the request (REFUSED_STREAM, GOAWAY, draining, at capacity). */
  | "refused"
  /** Connection lost or stream reset. */
  | "reset"
  /** Ended before its framing said so. */
  | "cut"
  /** A limit of ours on time was reached. */
  | "timeout"
  /** What came was not acceptable HTTP: bad framing, redirects, endless head, wrong encoding. */
  | "protocol"
  /** The agent's own policy refused the request (operation, field, model). A gateway bug or a gateway taken over. */
  | "denied";

export interface ExchangeFailure {
  phase: FailurePhase;
  kind: FailureKind;
  /** For the log. Never a prompt, a reply or a key. */
  detail: string;
  cause?: unknown;
}

/** Anything an exchange can be started on. */
export interface Exchanger {
  /** Starts an exchange. Never throws; trouble arrives at `onFailure`, always after this call returned. */
  start(request: ExchangeRequest, handler: ExchangeHandler): Exchange;
}
