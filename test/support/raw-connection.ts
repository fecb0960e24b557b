import { connect, type Socket } from "node:net";

/** A connection whose bytes a test sees as they are. */
export class RawConnection {
  readonly socket: Socket;
  received: Buffer = Buffer.alloc(0);
  isClosed = false;
  #watchers: Array<() => void> = [];

  constructor(port: number, bytes: string | Buffer) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.setNoDelay(true);
    this.socket.write(bytes);
    this.socket.on("data", (chunk: Buffer) => {
      this.received = Buffer.concat([this.received, chunk]);
      this.#notify();
    });
    this.socket.on("close", () => {
      this.isClosed = true;
      this.#notify();
    });
    this.socket.on("error", () => {});
  }

  get text(): string {
    return this.received.toString("latin1");
  }

  /** Status of the first answer, or 0. */
  get status(): number {
    return Number(/^HTTP\/1\.1 (\d{3})/.exec(this.text)?.[1] ?? 0);
  }

  /** Resolves when what was received contains the text. Rejects when the connection closes first. */
  async until(text: string): Promise<void> {
    await this.#when(() => this.text.includes(text) || this.isClosed);
    if (!this.text.includes(text))
      throw new Error(`closed without ${JSON.stringify(text)}; got ${JSON.stringify(this.text)}`);
  }

  /** Resolves with everything received when the peer closes. */
  async untilClosed(): Promise<string> {
    await this.#when(() => this.isClosed);
    return this.text;
  }

  #when(condition: () => boolean): Promise<void> {
    if (condition()) return Promise.resolve();
    return new Promise((resolve) => {
      const check = () => {
        if (!condition()) return;
        this.#watchers = this.#watchers.filter((one) => one !== check);
        resolve();
      };
      this.#watchers.push(check);
    });
  }

  #notify(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}
