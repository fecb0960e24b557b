import type { Socket } from "node:net";
import type { Placed } from "../lib/live-set.ts";
import { ChunkedBody } from "./chunked-body.ts";
import { closeWith } from "./close-with.ts";
import { HttpRequest } from "./request.ts";
import { mayBecomeHead, parseHead, type RequestHead } from "./request-head.ts";
import { HttpResponse, type ResponseHost } from "./response.ts";

/** What waits behind a request that is being answered, about: from here on the connection is not read until its answer has gone. */
const MAX_BEHIND_BYTES = 64 * 1024;

const HEAD_END = Buffer.from("\r\n\r\n");
const CR = 0x0d;
const LF = 0x0a;
/** Empty lines before a request that are passed over (RFC 9112 §2.2). */
const MAX_EMPTY_LINES = 2;

/** Why a connection was given up by this side. */
export type ConnectionFault = "malformed" | "head_too_large" | "slow_head";

const LAST_WORDS: Readonly<Record<ConnectionFault, string>> = {
  malformed: "400 Bad Request",
  head_too_large: "431 Request Header Fields Too Large",
  slow_head: "408 Request Timeout",
};

/** What a connection asks of its listener. */
export interface ConnectionHost {
  /** Of head and trailer, each. */
  readonly maxHeadBytes: number;
  /** Longest time from the connection's begin, or a request's first byte, to the end of its head. */
  readonly headMs: number;
  /** Longest time of a body after that. */
  readonly bodyMs: number;
  /** Longest time between an answer and the next request. */
  readonly idleMs: number;
  monotonicMs(): number;
  closingLines(keepsAlive: boolean): string;
  onRequest(request: HttpRequest, response: HttpResponse): void;
  /** Takes the socket over, which is paused. */
  onUpgrade(request: HttpRequest, socket: Socket, head: Buffer): void;
  onFault(fault: ConnectionFault): void;
  /** It closed, or was taken over. */
  onEnd(connection: HttpConnection): void;
}

/**
 * The server's side of one HTTP/1.1 connection: one request after the other, each from its first byte to the last of its answer.
 * A request that comes before its turn waits, as bytes.
 *
 * A peer that closes its side has left (as with Node's server): what runs for it ends.
 */
export class HttpConnection implements Placed, ResponseHost {
  place = -1;
  readonly socket: Socket;
  readonly #host: ConnectionHost;
  #state: "idle" | "head" | "body" | "answering" | "over" = "head";
  /** Since when the state is waited in; of a body, since when its head is. */
  #sinceMs: number;
  /** What came and could not be used yet: a part of a head, or what stands behind the request that is being answered. */
  #kept: Buffer | null = null;
  #isTaking = false;
  #request: HttpRequest | null = null;
  #response: HttpResponse | null = null;
  /** How much of a body with a known length is still to come. */
  #bodyLeft = 0;
  #chunks: ChunkedBody | null = null;

  constructor(socket: Socket, host: ConnectionHost) {
    this.socket = socket;
    this.#host = host;
    this.#sinceMs = host.monotonicMs();
    socket.on("data", this.#onData).on("drain", this.#onDrain).on("end", this.#onPeerEnd);
    socket.on("error", this.#onError).on("close", this.#onClose);
  }

  /** Gives the connection up where it has been waited for too long. */
  check(nowMs: number): void {
    const waitedMs = nowMs - this.#sinceMs;
    const { idleMs, headMs, bodyMs } = this.#host;
    if (this.#state === "idle") {
      if (waitedMs > idleMs) this.#close();
    } else if (this.#state === "head") {
      if (waitedMs > headMs) this.#fail("slow_head");
    } else if (this.#state === "body" && waitedMs > headMs + bodyMs) this.#fail("slow_head");
  }

  /** Ends it where nothing is under way; an answer that is leaving leaves. */
  closeIfIdle(): void {
    if (this.#state === "idle" || (this.#state === "head" && this.#kept === null)) this.#close();
  }

  closingLines(keepsAlive: boolean): string {
    return this.#host.closingLines(keepsAlive);
  }

  answered(): void {
    if (this.#response?.shouldKeepAlive !== true || this.socket.destroyed) return this.#close();
    // The rest of its body is dropped first.
    if (this.#state === "answering") this.#next();
  }

  readonly #onData = (chunk: Buffer): void => {
    const kept = this.#kept;
    this.#kept = null;
    this.#take(kept === null ? chunk : Buffer.concat([kept, chunk]));
  };

  readonly #onDrain = (): void => {
    this.#response?.owner?.onDrain();
    if (this.#state === "idle") this.#takeKept();
  };

  readonly #onPeerEnd = (): void => {
    if (this.#state === "head" && this.#kept !== null) this.#fail("malformed");
    else if (this.#state !== "over") {
      this.#state = "over";
      this.#leave();
      this.socket.end();
    }
  };

  readonly #onError = (): void => {
    this.socket.destroy();
  };

  readonly #onClose = (): void => {
    this.#state = "over";
    this.#kept = null;
    this.#leave();
    this.#host.onEnd(this);
  };

  #take(bytes: Buffer): void {
    this.#isTaking = true;
    let rest: Buffer | null = bytes;
    while (rest !== null && rest.length > 0) rest = this.#step(rest);
    this.#isTaking = false;
  }

  /** @returns What the step left. */
  #step(bytes: Buffer): Buffer | null {
    switch (this.#state) {
      case "idle":
        // Who does not take its last answer gets no other.
        if (this.socket.writableNeedDrain) return this.#keep(bytes);
        // An empty line behind a request is no beginning of the next one.
        if (afterEmptyLines(bytes) === bytes.length) return null;
        this.#state = "head";
        this.#sinceMs = this.#host.monotonicMs();
        return this.#readHead(bytes);
      case "head":
        return this.#readHead(bytes);
      case "body":
        return this.#chunks === null ? this.#readBody(bytes) : this.#readChunks(this.#chunks, bytes);
      case "answering":
        return this.#keep(bytes);
      case "over":
        return null;
    }
  }

  #keep(bytes: Buffer): null {
    this.#kept = bytes;
    if (bytes.length >= MAX_BEHIND_BYTES) this.socket.pause();
    return null;
  }

  #readHead(bytes: Buffer): Buffer | null {
    const from = afterEmptyLines(bytes);
    const end = bytes.indexOf(HEAD_END, from);
    // Without an end, the last three bytes may be the begin of one: where a head is cut must not decide whether it fits.
    const headEnd = end === -1 ? bytes.length - HEAD_END.length + 1 : end;
    if (headEnd - from > this.#host.maxHeadBytes) return this.#fail("head_too_large");
    if (end === -1) {
      if (!mayBecomeHead(bytes.toString("latin1", from))) return this.#fail("malformed");
      this.#kept = bytes;
      return null;
    }
    const head = parseHead(bytes.toString("latin1", from, end + 2));
    if (head === null || head.method === "CONNECT") return this.#fail("malformed");
    const rest = bytes.subarray(end + HEAD_END.length);
    const request = new HttpRequest(head, this.socket);
    if (head.wantsUpgrade) return this.#handOver(request, rest);
    this.#begin(head, request);
    return rest;
  }

  #begin(head: RequestHead, request: HttpRequest): void {
    const response = new HttpResponse(this, head.method === "HEAD", head.keepsAlive);
    this.#request = request;
    this.#response = response;
    this.#bodyLeft = head.contentLength ?? 0;
    this.#chunks = head.isChunked ? new ChunkedBody(this.#host.maxHeadBytes) : null;
    this.#state = request.complete ? "answering" : "body";
    this.#host.onRequest(request, response);
  }

  #readBody(bytes: Buffer): Buffer | null {
    const count = Math.min(this.#bodyLeft, bytes.length);
    // Made before the reader gets its part, which it may give back.
    const rest = count === bytes.length ? null : bytes.subarray(count);
    this.#bodyLeft -= count;
    this.#request?.deliver(rest === null ? bytes : bytes.subarray(0, count));
    if (this.#bodyLeft === 0) this.#endBody();
    return rest;
  }

  #readChunks(chunks: ChunkedBody, bytes: Buffer): Buffer | null {
    const count = chunks.take(bytes);
    const rest = bytes.subarray(chunks.consumed);
    if (count > 0) this.#request?.deliver(bytes.subarray(0, count));
    if (chunks.fault !== null) return this.#fail(chunks.fault);
    if (chunks.isDone) this.#endBody();
    return rest;
  }

  #endBody(): void {
    if (this.#state !== "body") return;
    this.#state = "answering";
    this.#chunks = null;
    const response = this.#response;
    this.#request?.finish();
    // Its answer may have been there first; then nothing has gone on yet.
    if (this.#state === "answering" && this.#response === response && response?.isEnded === true) this.#next();
  }

  #next(): void {
    this.#request = null;
    this.#response = null;
    this.#state = "idle";
    this.#sinceMs = this.#host.monotonicMs();
    if (!this.#isTaking) this.#takeKept();
  }

  #takeKept(): void {
    const kept = this.#kept;
    if (kept === null) return;
    this.#kept = null;
    if (this.socket.isPaused()) this.socket.resume();
    this.#take(kept);
  }

  #handOver(request: HttpRequest, rest: Buffer): null {
    if (request.hasBody) return this.#fail("malformed");
    const { socket } = this;
    this.#state = "over";
    socket.off("data", this.#onData).off("drain", this.#onDrain).off("end", this.#onPeerEnd);
    socket.off("error", this.#onError).off("close", this.#onClose);
    socket.pause();
    this.#host.onEnd(this);
    this.#host.onUpgrade(request, socket, rest);
    return null;
  }

  #fail(fault: ConnectionFault): null {
    if (this.#state === "over") return null;
    this.#state = "over";
    this.#kept = null;
    this.#host.onFault(fault);
    const response = this.#response;
    // Last words of ours would stand in the middle of an answer.
    if (response?.headersSent === true && !response.isEnded) this.socket.destroy();
    else closeWith(this.socket, LAST_WORDS[fault]);
    this.#leave();
    return null;
  }

  /** After everything that was written has left. */
  #close(): void {
    this.#state = "over";
    this.#kept = null;
    this.socket.destroySoon();
  }

  #leave(): void {
    this.#request?.abort();
    this.#response?.gone();
    this.#request = null;
    this.#response = null;
  }
}

function afterEmptyLines(bytes: Buffer): number {
  let at = 0;
  while (at < 2 * MAX_EMPTY_LINES && bytes[at] === CR && bytes[at + 1] === LF) at += 2;
  return at;
}
