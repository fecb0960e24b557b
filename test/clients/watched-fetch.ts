/** Requests as they left the library, so that a test can find their records. */
export class WatchedFetch {
  /** Ids that the gateway gave, in order of the answers. */
  readonly requestIds: string[] = [];

  readonly fetch: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    this.requestIds.push(response.headers.get("x-request-id") ?? "");
    return response;
  };

  /** The latest request's id. @throws Error when there was none. */
  get lastRequestId(): string {
    const id = this.requestIds.at(-1);
    if (id === undefined) throw new Error("the library asked nothing");
    return id;
  }
}
