import type { Socket } from "node:net";
import type { Clock, Timer } from "../lib/clock.ts";
import type { ExchangeFailure } from "../lib/exchange.ts";
import type { Placed } from "../lib/live-set.ts";
import type { AnswerFields } from "./answer-fields.ts";
import { AnswerReader, type AnswerSink } from "./answer-reader.ts";
import type { EngineDoor } from "./engine-socket.ts";

/** Bodies up to this size leave in one piece with their head. */
const JOINED_BYTES = 8 * 1024;

/** Idle connections end this much before the far side ends them, so that we never write into a closing one. */
const KEEP_ALIVE_MARGIN_MS = 2_000;
/** However long the far side keeps an idle connection, we do not keep it longer. */
const KEEP_ALIVE_MAX_MS = 60_000;

/** The exchange that a connection works for. */
export interface ConnectionUser {
  /** Whether it wants what comes. */
  readonly isPaused: boolean;
  /** The head of its request, to the empty line; what it sends behind it. */
  readonly head: string;
  readonly body: Buffer | null;
  onSent(): void;
  onHead(head: AnswerFields): void;
  onBody(chunk: Buffer): void;
  /** The answer is whole; the connection is somebody else's from here on. */
  onEnd(): void;
  /** There is no answer, or no more of it; the connection is gone. */
  onFailure(kind: ExchangeFailure["kind"], detail: string, cause?: unknown): void;
}

/** Who keeps connections. */
export interface ConnectionOwner {
  readonly clock: Clock;
  readonly connectTimeoutMs: number;
  readonly keepAliveMs: number;
  /** It has no user any more and may get another one, at the earliest in the next turn of the event loop. */
  onFree(connection: EngineConnection): void;
  onClosed(connection: EngineConnection): void;
}

/** One HTTP/1.1 connection to an engine: one exchange at a time. Closes itself on whatever it does not understand. */
export class EngineConnection implements AnswerSink, Placed {
  /** Among those of its owner. */
  place = -1;
  /** On the owner's monotonic clock: not to be used from then on. Meaningful while it is free. */
  idleUntilMs = 0;
  readonly #owner: ConnectionOwner;
  readonly #socket: Socket;
  readonly #reader = new AnswerReader(this);
  #user: ConnectionUser | null;
  #isOpen = false;
  #isKept = false;
  #keepAliveMs = 0;
  /** What came and is not wanted yet: the rest of one read. */
  #held: Buffer | null = null;
  #isInRead = false;
  #error: NodeJS.ErrnoException | null = null;
  #timer: Timer | null;

  /** Opens it, for its first user. */
  constructor(owner: ConnectionOwner, door: EngineDoor, user: ConnectionUser) {
    this.#owner = owner;
    this.#user = user;
    this.#socket = door.open(
      () => this.#onOpen(),
      (bytes) => this.#onBytes(bytes),
    );
    this.#timer = owner.clock.after(owner.connectTimeoutMs, () => this.#onTimeout());
    this.#socket.on("error", (error) => {
      this.#error = error;
    });
    this.#socket.on("end", () => this.#onEnd());
    this.#socket.on("close", () => this.#onClose());
  }

  get isClosed(): boolean {
    return this.#socket.destroyed;
  }

  /** Sends the next request. Only while it is free. */
  use(user: ConnectionUser): void {
    this.#user = user;
    this.#send(user);
  }

  /** The user is gone: whatever still comes is nobody's. Idempotent. */
  abandon(): void {
    this.#user = null;
    this.#held = null;
    this.#socket.destroy();
  }

  /** Ends it, and what runs on it as a failure. */
  destroy(detail: string): void {
    this.#fail("reset", detail);
  }

  /** The user's `isPaused` is true now. */
  pause(): void {
    // A head is always wanted.
    if (this.#reader.isInBody) this.#socket.pause();
  }

  /** The user's `isPaused` is false now. */
  resume(): void {
    // What is held is delivered later, not here: whoever resumes may itself be in the middle of something that came.
    if (this.#held !== null) queueMicrotask(() => this.#continue());
    else this.#socket.resume();
  }

  // AnswerSink

  get isReading(): boolean {
    return this.#user !== null && !this.#user.isPaused;
  }

  onHead(head: AnswerFields): void {
    this.#isKept = head.isKept;
    this.#keepAliveMs =
      head.keepAliveMs === null
        ? this.#owner.keepAliveMs
        : Math.min(head.keepAliveMs - KEEP_ALIVE_MARGIN_MS, KEEP_ALIVE_MAX_MS);
    this.#user?.onHead(head);
  }

  onBody(chunk: Buffer): void {
    this.#user?.onBody(chunk);
  }

  onEnd(): void {
    const user = this.#user;
    if (user === null) return;
    this.#user = null;
    user.onEnd();
  }

  onViolation(detail: string): void {
    this.#fail("protocol", detail);
  }

  #onOpen(): void {
    this.#isOpen = true;
    this.#timer?.cancel();
    this.#timer = null;
    if (this.#user !== null) this.#send(this.#user);
  }

  #onTimeout(): void {
    this.#fail("timeout", `no connection within ${this.#owner.connectTimeoutMs} ms`);
  }

  #send(user: ConnectionUser): void {
    const { head, body } = user;
    this.#reader.reset();
    if (body === null) {
      this.#socket.write(head, "latin1");
    } else if (body.length <= JOINED_BYTES) {
      // A string of the same bytes: one write without memory of its own.
      this.#socket.write(head + body.toString("latin1"), "latin1");
    } else {
      this.#socket.cork();
      this.#socket.write(head, "latin1");
      this.#socket.write(body);
      this.#socket.uncork();
    }
    user.onSent();
  }

  #onBytes(bytes: Buffer): void {
    // Held up in the middle of a read; nothing more is read until it is used.
    if (this.#held !== null) this.#held = Buffer.concat([this.#held, bytes]);
    else this.#read(bytes);
  }

  #continue(): void {
    const bytes = this.#held;
    if (bytes === null || !this.isReading || this.#isInRead) return;
    this.#held = null;
    this.#read(bytes);
    if (this.#held === null) this.#socket.resume();
  }

  #read(bytes: Buffer): void {
    this.#isInRead = true;
    const used = this.#reader.push(bytes);
    this.#isInRead = false;
    if (this.#reader.isDone) return this.#afterAnswer(used === bytes.length);
    if (this.#user === null) return;
    if (used < bytes.length) this.#held = bytes.subarray(used);
    if (this.#user.isPaused && this.#reader.isInBody) this.#socket.pause();
    else if (this.#held !== null) queueMicrotask(() => this.#continue());
  }

  /** @param isAll Nothing came behind the answer, or where none was expected: that would be taken for somebody else's. */
  #afterAnswer(isAll: boolean): void {
    const isWritten = this.#socket.writableLength === 0;
    if (!isAll || !isWritten || !this.#isKept || this.#keepAliveMs <= 0 || this.#socket.destroyed) {
      return this.abandon();
    }
    // A pause of the last user must not be the next one's.
    if (this.#socket.isPaused()) this.#socket.resume();
    this.idleUntilMs = this.#owner.clock.monotonicMs() + this.#keepAliveMs;
    this.#owner.onFree(this);
  }

  #onEnd(): void {
    if (!this.#reader.finish()) {
      if (this.#reader.isInBody) this.#fail("cut", "the connection ended inside the answer");
      else this.#fail("reset", "the connection ended before the answer");
    }
    this.#socket.destroy();
  }

  #onClose(): void {
    this.#timer?.cancel();
    const error = this.#error;
    const detail = error?.code ?? error?.message ?? "the connection closed";
    this.#fail(
      this.#isOpen ? (this.#reader.isInBody && error === null ? "cut" : "reset") : "unreachable",
      detail,
      error,
    );
    this.#owner.onClosed(this);
  }

  #fail(kind: ExchangeFailure["kind"], detail: string, cause?: unknown): void {
    const user = this.#user;
    this.abandon();
    user?.onFailure(kind, detail, cause);
  }
}
