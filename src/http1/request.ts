import type { Socket } from "node:net";
import type { RequestHead } from "./request-head.ts";

/** Who gets a body. */
export interface BodyReader {
  /** Its own from then on. */
  onData(chunk: Buffer): void;
  onEnd(): void;
  /** The connection ended, or its framing broke, before the body was whole. */
  onClose(): void;
}

/** A request on a connection of ours; as much of Node's `IncomingMessage` as is needed, under the same names. */
export class HttpRequest {
  readonly method: string;
  /** The target, as it came. */
  readonly url: string;
  readonly httpVersion: "1.0" | "1.1";
  /** Name in lower case, value, name, value, …. Repeated fields are repeated. */
  readonly rawHeaders: readonly string[];
  /** Null when the body is chunked or absent. */
  readonly contentLength: number | null;
  readonly hasBody: boolean;
  /** A `TLSSocket` where the connection has TLS. */
  readonly socket: Socket;
  /** Its body has been received, all of it. */
  complete: boolean;
  #reader: BodyReader | null = null;
  #isAborted = false;

  constructor(head: RequestHead, socket: Socket) {
    this.method = head.method;
    this.url = head.target;
    this.httpVersion = head.httpVersion;
    this.rawHeaders = head.rawHeaders;
    this.contentLength = head.contentLength;
    this.hasBody = head.isChunked || (head.contentLength ?? 0) > 0;
    this.complete = !this.hasBody;
    this.socket = socket;
  }

  /** The first value of a field. @param name In lower case. */
  header(name: string): string | undefined {
    const { rawHeaders } = this;
    for (let at = 0; at < rawHeaders.length; at += 2) if (rawHeaders[at] === name) return rawHeaders[at + 1];
    return undefined;
  }

  /** Has the body given to a reader, from here on: what came while there was none is dropped. Tells at once of the end of a body that is there or will never be. */
  read(reader: BodyReader): void {
    this.#reader = reader;
    if (this.complete) reader.onEnd();
    else if (this.#isAborted) reader.onClose();
  }

  /** What is left of the body is dropped as it comes. */
  drop(): void {
    this.#reader = null;
  }

  /** For the connection: a part of the body. */
  deliver(chunk: Buffer): void {
    this.#reader?.onData(chunk);
  }

  /** For the connection: that was all. */
  finish(): void {
    this.complete = true;
    this.#reader?.onEnd();
  }

  /** For the connection: no more will come. */
  abort(): void {
    const reader = this.#reader;
    this.#reader = null;
    this.#isAborted = true;
    if (!this.complete) reader?.onClose();
  }
}
