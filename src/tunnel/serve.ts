import type { ExchangeHeaders, FailureKind, FailurePhase } from "../lib/exchange.ts";
import type { Placed } from "../lib/live-set.ts";
import {
  BODY_LIMIT_BYTES,
  BODY_MEMORY_BYTES,
  DEADLINE_HEADER,
  ENGINE_HEADER,
  OPERATION_HEADER,
  REQUEST_HEADER,
} from "./constants.ts";
import { FRAME } from "./frames.ts";
import { type RequestHead, writeAnswerHead } from "./heads.ts";
import type { LinkStream, StreamOwner } from "./link-stream.ts";
import type { Session } from "./session.ts";

const NO_BYTES = Buffer.alloc(0);

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

/** Who works on an attempt. Methods of one object, not two functions for each attempt: those keep dead attempts in memory. */
export interface AttemptWorker {
  /** The gateway gave the attempt up (or the link ended): stop the engine. At most once, never after an end. */
  onCancel(): void;
  /** `write` may be called again after it returned false. */
  onResume(): void;
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
 * One stream at the agent: the request, and the answer to be given. Nothing is allocated per chunk: an answer can be handed
 * on as it comes, head by `head`, chunk by `chunk` by `write` until that says false, then `end` or `fail`.
 *
 * Exactly one of `end` and `fail` ends it; after `onCancel`, after an end, all methods do nothing.
 */
export class Attempt implements Placed, StreamOwner {
  /** Among those that run on its link. */
  place = -1;
  readonly request: AttemptRequest;
  /** Null: nobody has to be told anything yet. */
  worker: AttemptWorker | null = null;
  #stream: LinkStream | null = null;
  readonly #budget: BodyBudget;
  readonly #onOver: (attempt: Attempt) => void;
  readonly #bodyBytes: number;
  /** Of the request's body; all of it is taken at once, before any of it comes. */
  #takenBytes = 0;
  #body: Buffer = NO_BYTES;
  #collectedBytes = 0;
  #onBody: ((body: Buffer) => void) | null = null;
  #isBodyComplete = false;
  #isHeadSent = false;
  /** `content-length` of the answer, or -1. */
  #answerLength = -1;
  #answeredBytes = 0;
  #isOver = false;

  /** @param onOver Called once, when the attempt has ended, one way or another. */
  constructor(head: RequestHead, budget: BodyBudget, onOver: (attempt: Attempt) => void) {
    this.request = readRequest(head);
    this.#bodyBytes = head.bodyBytes;
    this.#budget = budget;
    this.#onOver = onOver;
  }

  /**
   * Gives the attempt its stream. Call it first, once.
   *
   * @param isFull The agent takes no more attempts: it is refused.
   */
  begin(stream: LinkStream, isFull: boolean): void {
    this.#stream = stream;
    if (isFull) {
      this.fail("refused", "the agent is at its capacity", "connect");
    } else if (this.#bodyBytes > this.#budget.limitBytes) {
      this.fail("denied", "the request body is too large", "connect");
    } else if (!this.#budget.take(this.#bodyBytes)) {
      this.fail("refused", "no memory for the request body", "connect");
    } else {
      this.#takenBytes = this.#bodyBytes;
    }
  }

  /** Whether the attempt has ended, one way or another. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /**
   * Hands the request's body over once, whole. A body above the limits ends the attempt by itself (`denied`, or `refused` when
   * only the memory for all of them is short), and `onBody` is never called.
   */
  collectBody(onBody: (body: Buffer) => void): void {
    this.#onBody = onBody;
    if (this.#isBodyComplete) this.#handOver();
  }

  /** Sends the head. With a `content-length` the answer must have just as many bytes. Lower-case names, once each. */
  head(status: number, headers: ExchangeHeaders): void {
    if (this.#isOver || this.#isHeadSent) return;
    const length = headers["content-length"];
    if (length !== undefined) this.#answerLength = Number(length);
    this.#isHeadSent = true;
    this.#stream?.sendHead(FRAME.head, writeAnswerHead(status, headers), false);
  }

  /**
   * Sends a part of the answer. False: wait for `onResume` before the next one. The chunk must not be written to after. The last
   * byte of a known length goes with the end of the stream, in one frame; `end` is then a formality.
   */
  write(chunk: Uint8Array): boolean {
    if (this.#isOver || this.#stream === null) return true;
    this.#answeredBytes += chunk.length;
    if (this.#answeredBytes !== this.#answerLength) return this.#stream.send(chunk);
    this.#finish();
    this.#stream.send(chunk, true);
    return true;
  }

  /** The answer is complete. */
  end(): void {
    if (this.#isOver) return;
    if (!this.#isHeadSent) return this.fail("protocol", "the answer ended before its head");
    this.#finish();
    this.#stream?.end();
  }

  /**
   * The answer cannot be given, or not to its end: the gateway learns kind, phase and detail. `detail` goes into the gateway's
   * log: no prompt, no reply, no key.
   */
  fail(kind: FailureKind, detail: string, phase: FailurePhase = "request"): void {
    if (this.#isOver) return;
    this.#finish();
    this.#stream?.reset(kind, phase, detail);
  }

  // StreamOwner

  onHead(): void {
    this.fail("protocol", "the gateway sent the head of an answer");
  }

  onBody(chunk: Buffer): void {
    if (this.#isOver) return;
    const total = this.#collectedBytes + chunk.length;
    if (total > this.#bodyBytes) return this.fail("protocol", "more body than was announced", "connect");
    if (this.#collectedBytes === 0 && total === this.#bodyBytes) {
      this.#body = chunk;
    } else {
      if (this.#collectedBytes === 0) this.#body = Buffer.allocUnsafe(this.#bodyBytes);
      chunk.copy(this.#body, this.#collectedBytes);
    }
    this.#collectedBytes = total;
  }

  onBodyEnd(): void {
    if (this.#isOver) return;
    if (this.#collectedBytes !== this.#bodyBytes)
      return this.fail("protocol", "less body than was announced", "connect");
    this.#isBodyComplete = true;
    if (this.#onBody !== null) this.#handOver();
  }

  onReset(): void {
    this.#abandon();
  }

  onLinkEnd(): void {
    this.#abandon();
  }

  onDrain(): void {
    if (!this.#isOver) this.worker?.onResume();
  }

  #handOver(): void {
    const onBody = this.#onBody;
    const body = this.#body;
    this.#onBody = null;
    this.#body = NO_BYTES;
    if (!this.#isOver) onBody?.(body);
  }

  #abandon(): void {
    if (this.#isOver) return;
    this.#finish();
    this.worker?.onCancel();
  }

  #finish(): void {
    this.#isOver = true;
    this.#budget.giveBack(this.#takenBytes);
    this.#takenBytes = 0;
    this.#body = NO_BYTES;
    this.#onBody = null;
    this.#onOver(this);
  }
}

/** Answers a stream that is no attempt: a probe of the data path, or a path of the tunnel that this agent does not have. */
export function ownAnswer(session: Session, id: number, isLast: boolean, status: number, body: string): void {
  const nobody: StreamOwner = { onHead() {}, onBody() {}, onBodyEnd() {}, onReset() {}, onLinkEnd() {}, onDrain() {} };
  const stream = session.accept(id, isLast, nobody);
  stream.sendHead(FRAME.head, writeAnswerHead(status, { "content-length": String(body.length) }), body.length === 0);
  if (body.length > 0) stream.send(Buffer.from(body), true);
}

/** The same for an answer that takes a while. What comes too late is dropped. */
export function ownAnswerLater(
  session: Session,
  id: number,
  isLast: boolean,
  answer: Promise<{ status: number; body: string }>,
): void {
  let isOver = false;
  const end = (): void => {
    isOver = true;
  };
  const nobody: StreamOwner = { onHead() {}, onBody() {}, onBodyEnd() {}, onReset: end, onLinkEnd: end, onDrain() {} };
  const stream = session.accept(id, isLast, nobody);
  answer
    .catch(() => ({ status: 500, body: "" }))
    .then(({ status, body }) => {
      if (isOver) return;
      stream.sendHead(
        FRAME.head,
        writeAnswerHead(status, { "content-length": String(body.length) }),
        body.length === 0,
      );
      if (body.length > 0) stream.send(Buffer.from(body, "latin1"), true);
    })
    .catch(() => {});
}

function readRequest({ method, path, headers }: RequestHead): AttemptRequest {
  // Copied, not deleted from: V8 makes a slow dictionary of an object that something is deleted from.
  const others: Record<string, string> = {};
  for (const name in headers) if (!isOwn(name)) others[name] = headers[name] as string;
  return {
    method,
    path,
    engine: headers[ENGINE_HEADER] ?? "",
    operation: headers[OPERATION_HEADER] ?? "",
    requestId: headers[REQUEST_HEADER] ?? "",
    deadlineMs: readDeadline(headers[DEADLINE_HEADER] ?? ""),
    headers: others,
  };
}

function isOwn(name: string): boolean {
  return name === ENGINE_HEADER || name === OPERATION_HEADER || name === REQUEST_HEADER || name === DEADLINE_HEADER;
}

function readDeadline(value: string): number | null {
  return /^[0-9]{1,9}$/.test(value) ? Number(value) : null;
}
