import { Duplex } from "node:stream";
import { WebSocket } from "ws";
import { WEBSOCKET_PAYLOAD_LIMIT } from "./constants.ts";

/**
 * A WebSocket as the byte stream below a session: the fallback carrier.
 *
 * Not `ws`'s own `createWebSocketStream`, which fails where a socket would end. This one never ends and never fails: it says
 * `lost` once, drops what is still written, and whoever owns it destroys it.
 */
export class WebSocketCarrier extends Duplex {
  readonly #webSocket: WebSocket;
  #isPaused = false;
  #isLost = false;

  constructor(webSocket: WebSocket) {
    super({ autoDestroy: false });
    this.#webSocket = webSocket;
    webSocket.on("message", (data, isBinary) => {
      if (!isBinary || !Buffer.isBuffer(data)) return webSocket.terminate();
      if (this.push(data) || this.destroyed) return;
      this.#isPaused = true;
      webSocket.pause();
    });
    webSocket.on("error", () => this.#lose());
    webSocket.on("close", () => this.#lose());
  }

  override _read(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#webSocket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.#webSocket.readyState !== WebSocket.OPEN) return done();
    this.#webSocket.send(chunk, { binary: true, compress: false }, () => done());
  }

  // What a session writes in one turn makes one message instead of several.
  override _writev(chunks: Array<{ chunk: Buffer; encoding: BufferEncoding }>, done: () => void): void {
    const parts = chunks.map((one) => one.chunk);
    const length = parts.reduce((sum, part) => sum + part.length, 0);
    if (length <= WEBSOCKET_PAYLOAD_LIMIT) return this._write(Buffer.concat(parts, length), "binary", done);
    let left = parts.length;
    const oneDone = () => {
      left -= 1;
      if (left === 0) done();
    };
    for (const part of parts) this._write(part, "binary", oneDone);
  }

  override _final(done: () => void): void {
    this.#webSocket.close();
    done();
  }

  override _destroy(_error: Error | null, done: (error: Error | null) => void): void {
    this.#webSocket.terminate();
    done(null);
  }

  #lose(): void {
    if (this.#isLost) return;
    this.#isLost = true;
    this.emit("lost");
  }
}
