import { STATUS_CODES } from "node:http";
import type { Socket } from "node:net";

/** Answers up to this size leave in one piece with their head. */
const MAX_JOINED_BYTES = 16 * 1024;
const NONE: readonly string[] = [];
/** No line of a head may begin where a value ends (RFC 9110 §5.5). */
const NOT_A_VALUE = /[^\t\x20-\x7e\x80-\xff]/;

/** Who answers, and wants to know how it goes. */
export interface ResponseOwner {
  /** More can be taken again, after a `write` that said no. */
  onDrain(): void;
  /** The connection closed before the answer was whole. */
  onClose(): void;
}

/** What a response asks of its connection. */
export interface ResponseHost {
  readonly socket: Socket;
  /** `Date`, and what is said of the connection's further life; lines of a head. */
  closingLines(keepsAlive: boolean): string;
  /** The answer is written, all of it. */
  answered(): void;
}

/**
 * An answer on a connection of ours; as much of Node's `ServerResponse` as is needed, under the same names. Bodies are framed by
 * whoever writes them: `Content-Length` in the head, or chunks.
 */
export class HttpResponse {
  /** Name, value, name, value, …, of every answer of this listener, whoever answers. */
  edgeHeaders: readonly string[] = NONE;
  /** Whether the connection goes on after the answer. Has its effect with the head. */
  shouldKeepAlive: boolean;
  headersSent = false;
  /** The last byte has been handed over. */
  isEnded = false;
  /** The connection is gone, or is of no use any more: nothing that is written now will arrive. */
  destroyed = false;
  /** Who is told what becomes of the answer. */
  owner: ResponseOwner | null = null;
  readonly #host: ResponseHost;
  readonly #isHead: boolean;
  /** A head that waits for the first bytes, to leave with them. */
  #waiting = "";

  constructor(host: ResponseHost, isHead: boolean, shouldKeepAlive: boolean) {
    this.#host = host;
    this.#isHead = isHead;
    this.shouldKeepAlive = shouldKeepAlive;
  }

  /** Tells the caller to send its body (RFC 9110 §10.1.1). */
  writeContinue(): void {
    if (!this.destroyed) this.#host.socket.write("HTTP/1.1 100 Continue\r\n\r\n", "latin1");
  }

  /**
   * Sets the head, which leaves with the first bytes or with `flush`.
   *
   * @param headers Name, value, name, value, …; with `Content-Length` unless the status has no body or `isChunked`.
   * @param isChunked The body comes in chunks, which the caller frames.
   * @throws TypeError for a value that is not one; nothing is set then.
   */
  writeHead(status: number, headers: readonly string[], isChunked = false): this {
    if (this.headersSent) throw new Error("A response has one head");
    let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? "Unknown"}\r\n`;
    text += fieldLines(headers);
    if (this.edgeHeaders.length > 0) text += fieldLines(this.edgeHeaders);
    if (isChunked) text += "Transfer-Encoding: chunked\r\n";
    this.#waiting = `${text}${this.#host.closingLines(this.shouldKeepAlive)}\r\n`;
    this.headersSent = true;
    return this;
  }

  /** Sends the head by itself. */
  flush(): void {
    if (this.destroyed || this.#waiting === "") return;
    this.#host.socket.write(this.#takeWaiting(), "latin1");
  }

  /**
   * Sends a part of the body.
   *
   * @param then Called once it has left, or has failed to.
   * @returns False where the caller does not take it at the moment: `ResponseOwner.onDrain` follows, if nothing comes between.
   */
  write(bytes: Buffer, then?: () => void): boolean {
    if (this.destroyed || this.isEnded) {
      if (then !== undefined) queueMicrotask(then);
      return true;
    }
    const { socket } = this.#host;
    if (this.#isHead || bytes.length === 0) {
      this.flush();
      if (then !== undefined) queueMicrotask(then);
      return !socket.writableNeedDrain;
    }
    if (this.#waiting === "") return socket.write(bytes, then);
    socket.cork();
    socket.write(this.#takeWaiting(), "latin1");
    const isTaken = socket.write(bytes, then);
    socket.uncork();
    return isTaken;
  }

  /** Sends the last part of the body, if there is one. Does nothing once the connection is gone. */
  end(bytes?: Buffer): void {
    if (this.destroyed || this.isEnded) return;
    if (bytes === undefined || bytes.length === 0 || this.#isHead) this.flush();
    else if (this.#waiting !== "" && bytes.length <= MAX_JOINED_BYTES) {
      // As one text, because that leaves in one piece: two writes are twice the cost.
      this.#host.socket.write(this.#takeWaiting() + bytes.toString("latin1"), "latin1");
    } else this.write(bytes);
    this.isEnded = true;
    this.owner = null;
    this.#host.answered();
  }

  /** Closes the connection, whatever has been sent. */
  destroy(): void {
    this.#host.socket.destroy();
  }

  /** For the connection: it is gone, or of no use any more. */
  gone(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    if (!this.isEnded) this.owner?.onClose();
    this.owner = null;
  }

  #takeWaiting(): string {
    const head = this.#waiting;
    this.#waiting = "";
    return head;
  }
}

function fieldLines(headers: readonly string[]): string {
  let text = "";
  for (let at = 0; at < headers.length; at += 2) {
    const value = headers[at + 1] ?? "";
    if (NOT_A_VALUE.test(value)) throw new TypeError(`${headers[at]} has a value that no header may have`);
    text += `${headers[at]}: ${value}\r\n`;
  }
  return text;
}
