import { type AnswerForm, readEvent } from "./answer-form.ts";
import { EventReader } from "./event-reader.ts";

/** Where a stream stands. `refused`: it began with an error that is the request's own fault. */
export type StreamStage = "waiting" | "refused" | "begun" | "finished" | "failed";

/**
 * Watches the events of a stream go by and knows whether it has begun, and whether it has come to its end: by the dialect's
 * own finish, because a connection that ends says nothing.
 */
export class StreamWatch {
  readonly #form: AnswerForm;
  readonly #reader: EventReader;
  #stage: StreamStage = "waiting";
  #hasEarlyDone = false;

  constructor(form: AnswerForm, format: "sse" | "ndjson") {
    this.#form = form;
    this.#reader = new EventReader(format, (data, name) => this.#take(data, name));
  }

  get stage(): StreamStage {
    return this.#stage;
  }

  /** `[DONE]` came without a finish before it. A reader that stops there would take the answer for whole. */
  get hasEarlyDone(): boolean {
    return this.#hasEarlyDone;
  }

  /** @throws RangeError when an event is longer than the bound. */
  push(chunk: Uint8Array): void {
    this.#reader.push(chunk);
  }

  end(): void {
    this.#reader.end();
  }

  #take(data: string, name: string | null): void {
    const meaning = readEvent(this.#form, data, name, this.#stage !== "waiting");
    if (meaning === "done") this.#hasEarlyDone ||= this.#stage !== "finished" && this.#stage !== "refused";
    else if (meaning === "error") this.#stage = "failed";
    else if (meaning === "refusal") this.#stage = this.#stage === "waiting" ? "refused" : "failed";
    else if (this.#stage === "failed" || this.#stage === "refused" || this.#stage === "finished") return;
    else if (meaning === "finish") this.#stage = "finished";
    else if (meaning === "content") this.#stage = "begun";
  }
}
