import type { ServerResponse } from "node:http";
import type { Clock } from "../../src/lib/clock.ts";
import { sendJson } from "./stand-in-provider.ts";

/** The one healthy answer of the catalogue: sixty words. */
export const WORDS: readonly string[] = Array.from({ length: 60 }, (_, index) => `w${index} `);
export const TEXT = WORDS.join("");
export const USAGE = { prompt_tokens: 12, completion_tokens: 60, total_tokens: 72 };

/** How one request to a stand-in goes. @param count Of the requests to it, this one included. */
export type Behaviour = (answer: UpstreamAnswer, count: number) => void;

export interface UpstreamBody {
  stream?: boolean;
  messages?: Array<{ role: string; content: unknown }>;
  continue_final_message?: boolean;
}

/** One answer of a stand-in, to be written as the scenario wants. */
export class UpstreamAnswer {
  readonly clock: Clock;
  readonly #response: ServerResponse;
  readonly #model: string;
  readonly #isStream: boolean;
  /** The request as it came. */
  readonly body: UpstreamBody;

  constructor(body: string, response: ServerResponse, model: string, clock: Clock) {
    const parsed = JSON.parse(body) as UpstreamBody;
    this.clock = clock;
    this.body = parsed;
    this.#response = response;
    this.#model = model;
    this.#isStream = parsed.stream === true;
  }

  /** All of it, as asked. */
  whole(): void {
    if (this.#isStream) {
      this.head();
      this.words(0, WORDS.length);
      this.finish();
      this.end();
      return;
    }
    const message = { role: "assistant", content: TEXT };
    const choices = [{ index: 0, message, finish_reason: "stop" }];
    sendJson(this.#response, 200, { id: "c", object: "chat.completion", model: this.#model, choices, usage: USAGE });
  }

  /** Goes on with the answer that somebody else began. */
  rest(): void {
    const begun = String(this.body.messages?.at(-1)?.content);
    this.head();
    this.words(begun.trim().split(" ").length, WORDS.length);
    this.finish();
    this.end();
  }

  error(status: number, error: Record<string, unknown>, headers: Record<string, string> = {}): void {
    sendJson(this.#response, status, { error }, headers);
  }

  head(): void {
    this.#response.writeHead(200, { "content-type": "text/event-stream" });
    this.#response.flushHeaders();
  }

  words(from: number, to: number): void {
    for (const content of WORDS.slice(from, to)) this.#chunk({ delta: { content }, finish_reason: null });
  }

  /** A record as it stands. */
  raw(text: string): void {
    this.#response.write(text);
  }

  /** The dialect's own finish, and usage. */
  finish(): void {
    this.#chunk({ delta: {}, finish_reason: "stop" });
    this.#record({ choices: [], usage: USAGE });
  }

  /** `[DONE]`, and HTTP's end. */
  end(): void {
    this.#response.end("data: [DONE]\n\n");
  }

  /** HTTP's end alone. */
  endBare(): void {
    this.#response.end();
  }

  /** Breaks the connection off, once what was written is out. */
  cut(): void {
    this.#response.write(": cut\n\n", () => this.#response.socket?.destroy());
  }

  /** Resets the connection before any answer. */
  reset(): void {
    this.#response.socket?.resetAndDestroy();
  }

  #chunk(choice: Record<string, unknown>): void {
    this.#record({ choices: [{ index: 0, ...choice }] });
  }

  #record(fields: Record<string, unknown>): void {
    const record = { id: "c", object: "chat.completion.chunk", model: this.#model, ...fields };
    this.#response.write(`data: ${JSON.stringify(record)}\n\n`);
  }
}
