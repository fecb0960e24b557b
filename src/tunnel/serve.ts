import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { ExchangeHeaders, FailureKind, FailurePhase } from "../lib/exchange.ts";
import type { Placed } from "../lib/live-set.ts";
import {
  BODY_LIMIT_BYTES,
  BODY_MEMORY_BYTES,
  DEADLINE_HEADER,
  END_COMPLETE,
  END_TRAILER,
  ENGINE_HEADER,
  FAILURE_HEADER,
  OPERATION_HEADER,
  PHASE_HEADER,
  REQUEST_HEADER,
} from "./constants.ts";
import { resetCode } from "./endings.ts";

const COMPLETE = { [END_TRAILER]: END_COMPLETE };
const WITH_TRAILERS = { waitForTrailers: true };
const WITHOUT_TRAILERS = {};
const ENDED_AT_ONCE = { endStream: true };

/** Takes the attempts that arrive on a link. Must not throw; what it throws costs the attempt. */
export type AttemptHandler = (attempt: Attempt) => void;

/** What the gateway asks for. Hostile until the agent's guard has looked at it. */
export interface AttemptRequest {
  method: string;
  /** Exactly as it came, query included. */
  path: string;
  /** Lower-case names; the tunnel's own headers are taken out. */
  headers: ExchangeHeaders;
  /** Name of the engine on this node, or an empty string. */
  engine: string;
  /** Id of the operation, or an empty string. */
  operation: string;
  /** The gateway's id of the request, for the log, or an empty string. */
  requestId: string;
  /** Milliseconds left when the request was sent, or null. */
  deadlineMs: number | null;
}

/** Bounds of the bodies that one agent collects. Shared by all its links. */
export class BodyBudget {
  readonly limitBytes: number;
  #leftBytes: number;

  constructor(limitBytes = BODY_LIMIT_BYTES, memoryBytes = BODY_MEMORY_BYTES) {
    this.limitBytes = limitBytes;
    this.#leftBytes = memoryBytes;
  }

  take(bytes: number): boolean {
    if (bytes > this.#leftBytes) return false;
    this.#leftBytes -= bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.#leftBytes += bytes;
  }
}

/**
 * One stream at the agent: the request, and the answer to be given. Callbacks are plain fields, so that nothing is
 * allocated per chunk; an answer can be piped in from `undici.dispatch` as it comes:
 *
 * ```ts
 * onResponseStart: attempt.head(status, headers)
 * onResponseData:  if (!attempt.write(chunk)) { controller.pause(); }   // attempt.onDrain = () => controller.resume()
 * onResponseEnd:   attempt.end()
 * onResponseError: attempt.fail("cut", …)
 * attempt.onCancel = () => controller.abort(…)
 * ```
 *
 * Exactly one of `end` and `fail` ends it; after `onCancel`, after an end, all methods do nothing.
 */
export class Attempt implements Placed {
  /** Among those that run on its link. */
  place = -1;
  readonly request: AttemptRequest;
  /** The gateway gave the attempt up (or the link ended): stop the engine. At most once, never after an end. */
  onCancel: (() => void) | null = null;
  /** `write` may be called again after it returned false. */
  onDrain: (() => void) | null = null;
  readonly #stream: ServerHttp2Stream;
  readonly #budget: BodyBudget;
  readonly #onOver: () => void;
  #bodyBytes = 0;
  #isHeadSent = false;
  /** `content-length` of the answer, or -1. */
  #answerLength = -1;
  #answeredBytes = 0;
  #isOver = false;

  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, budget: BodyBudget, onOver: () => void) {
    this.request = readRequest(headers);
    this.#stream = stream;
    this.#budget = budget;
    this.#onOver = onOver;
    stream.on("drain", () => {
      if (!this.#isOver) this.onDrain?.();
    });
    stream.on("wantTrailers", () => stream.sendTrailers(COMPLETE));
    stream.on("error", () => {});
    stream.on("aborted", () => this.abandon());
    stream.on("close", () => this.abandon());
  }

  /** The gateway, or the link, has given the attempt up. Idempotent. */
  abandon(): void {
    if (this.#isOver) return;
    this.#finish();
    this.onCancel?.();
  }

  /** Whether the attempt has ended, one way or another. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /**
   * Collects the request's body and hands it over once, whole. A body above the limits ends the attempt by itself
   * (`denied`, or `refused` when only the memory for all of them is short), and `onBody` is never called.
   */
  collectBody(onBody: (body: Buffer) => void): void {
    const parts: Buffer[] = [];
    this.#stream.on("data", (chunk: Buffer) => {
      if (this.#isOver) return;
      if (this.#bodyBytes + chunk.length > this.#budget.limitBytes) {
        return this.fail("denied", "the request body is too large", "connect");
      }
      if (!this.#budget.take(chunk.length)) return this.fail("refused", "no memory for the request body", "connect");
      this.#bodyBytes += chunk.length;
      parts.push(chunk);
    });
    this.#stream.on("end", () => {
      if (this.#isOver) return;
      const [first] = parts;
      onBody(parts.length === 1 && first !== undefined ? first : Buffer.concat(parts, this.#bodyBytes));
    });
  }

  /** Sends the head. With a `content-length` the answer must have just as many bytes. Lower-case names, once each. */
  head(status: number, headers: ExchangeHeaders): void {
    if (this.#isOver || this.#isHeadSent) return;
    const length = headers["content-length"];
    try {
      this.#stream.respond({ ":status": status, ...headers }, length === undefined ? WITH_TRAILERS : WITHOUT_TRAILERS);
      if (length !== undefined) this.#answerLength = Number(length);
      this.#isHeadSent = true;
    } catch {
      // A status or header that HTTP/2 does not allow.
      this.fail("protocol", "the engine's answer has an unacceptable head");
    }
  }

  /**
   * Sends a part of the answer. False: wait for `onDrain` before the next one. The chunk must not be written to after. The last
   * byte of a known length goes with the end of the stream, in one frame; `end` is then a formality.
   */
  write(chunk: Uint8Array): boolean {
    if (this.#isOver) return true;
    this.#answeredBytes += chunk.length;
    if (this.#answeredBytes !== this.#answerLength) return this.#stream.write(chunk);
    this.#finish();
    this.#stream.end(chunk);
    return true;
  }

  /** The answer is complete. */
  end(): void {
    if (this.#isOver) return;
    if (!this.#isHeadSent) return this.fail("protocol", "the answer ended before its head");
    this.#finish();
    this.#stream.end();
  }

  /**
   * The answer cannot be given, or not to its end. Before the head the gateway learns kind, phase and detail; after it
   * the stream is reset with the code of the kind. `detail` goes into the gateway's log: no prompt, no reply, no key.
   */
  fail(kind: FailureKind, detail: string, phase: FailurePhase = "request"): void {
    if (this.#isOver) return;
    this.#finish();
    if (this.#stream.destroyed || this.#stream.closed) return;
    if (this.#isHeadSent) {
      this.#stream.close(resetCode(kind));
      return;
    }
    const body = JSON.stringify({ kind, phase, detail });
    this.#stream.respond(
      {
        ":status": 502,
        "content-type": "application/json",
        "content-length": String(Buffer.byteLength(body)),
        [FAILURE_HEADER]: kind,
        [PHASE_HEADER]: phase,
      },
      WITHOUT_TRAILERS,
    );
    this.#stream.end(body);
    // What is left of the request is read and dropped, or the stream would never close.
    this.#stream.resume();
  }

  #finish(): void {
    this.#isOver = true;
    this.#budget.giveBack(this.#bodyBytes);
    this.#bodyBytes = 0;
    this.#onOver();
  }
}

/** Answers a probe of the data path. */
export function answerProbe(stream: ServerHttp2Stream): void {
  stream.on("error", () => {});
  stream.respond({ ":status": 200, "content-length": "2" }, WITHOUT_TRAILERS);
  stream.end("ok");
}

/** Answers with a status and nothing else: for paths of the tunnel that this agent does not have. */
export function answerEmpty(stream: ServerHttp2Stream, status: number): void {
  stream.on("error", () => {});
  stream.respond({ ":status": status }, ENDED_AT_ONCE);
}

/** Refuses a stream so that the gateway knows that nothing was done. */
export function refuseStream(stream: ServerHttp2Stream): void {
  stream.on("error", () => {});
  stream.close(constants.NGHTTP2_REFUSED_STREAM);
}

function readRequest(all: IncomingHttpHeaders): AttemptRequest {
  const headers: Record<string, string> = {};
  for (const name in all) {
    const value: unknown = all[name];
    if (typeof value === "string" && name[0] !== ":") headers[name] = value;
  }
  return {
    method: all[":method"] ?? "",
    path: all[":path"] ?? "",
    engine: takeOut(headers, ENGINE_HEADER),
    operation: takeOut(headers, OPERATION_HEADER),
    requestId: takeOut(headers, REQUEST_HEADER),
    deadlineMs: readDeadline(takeOut(headers, DEADLINE_HEADER)),
    headers,
  };
}

function takeOut(headers: Record<string, string>, name: string): string {
  const value = headers[name] ?? "";
  delete headers[name];
  return value;
}

function readDeadline(value: string): number | null {
  return /^[0-9]{1,9}$/.test(value) ? Number(value) : null;
}
