/** What was opened, closed in reverse order. A failure to close one thing does not keep the others open. */
export class Closers {
  #closers: Array<() => unknown> = [];

  add(close: () => unknown): void {
    this.#closers.push(close);
  }

  async close(): Promise<void> {
    for (let close = this.#closers.pop(); close !== undefined; close = this.#closers.pop()) {
      try {
        await close();
      } catch {
        // It is going away; what matters was written before.
      }
    }
  }
}
