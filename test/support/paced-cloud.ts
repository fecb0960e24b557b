import type { ServerResponse } from "node:http";
import { type StandInProvider, sendJson } from "./stand-in-provider.ts";

/** What becomes of a request: a whole answer, a stream that is cut in its middle, or a refusal. */
export type CloudMood = "well" | "cuts" | "refuses";

/**
 * Lets a stand-in speak OpenAI's chat at a pace: `word ` as often as `max_tokens` asks, one token each, with a pause before each.
 * Not like the real thing, where a word is seldom one token.
 */
export class PacedCloud {
  /** What becomes of the next requests, in turn. */
  moods: readonly CloudMood[] = ["well"];
  /** Tokens of answers that were told to their end, by their ids. */
  readonly told = new Map<string, number>();
  readonly #tokenMs: number;
  #requests = 0;

  constructor(provider: StandInProvider, tokenMs = 5) {
    this.#tokenMs = tokenMs;
    provider.answer = ({ body }, response) => this.#answer(JSON.parse(body), response);
  }

  #answer({ model, max_tokens: tokens, stream }: ChatRequest, response: ServerResponse): void {
    const id = `chatcmpl-${this.#requests}`;
    const mood = this.moods[this.#requests % this.moods.length] ?? "well";
    this.#requests += 1;
    const usage = { prompt_tokens: 3, completion_tokens: tokens, total_tokens: tokens + 3 };
    if (mood === "refuses") {
      sendJson(response, 503, { error: { message: "overloaded", type: "server_error", param: null, code: null } });
    } else if (stream === true) {
      response.writeHead(200, { "content-type": "text/event-stream" });
      const chunk = (choices: readonly object[], more: object = {}) =>
        response.write(
          `data: ${JSON.stringify({ id, object: "chat.completion.chunk", created: 1, model, choices, ...more })}\n\n`,
        );
      const cutAfter = mood === "cuts" ? Math.ceil(tokens / 2) : null;
      let said = 0;
      const timer = setInterval(() => {
        if (said === cutAfter) return void response.destroy();
        said += 1;
        if (said <= tokens) return void chunk([{ index: 0, delta: { content: "word " }, finish_reason: null }]);
        clearInterval(timer);
        this.told.set(id, tokens);
        chunk([{ index: 0, delta: {}, finish_reason: "length" }]);
        chunk([], { usage });
        response.end("data: [DONE]\n\n");
      }, this.#tokenMs);
      response.on("close", () => clearInterval(timer));
    } else {
      this.told.set(id, tokens);
      const message = { role: "assistant", content: "word ".repeat(tokens) };
      const choices = [{ index: 0, message, finish_reason: "length" }];
      sendJson(response, 200, { id, object: "chat.completion", created: 1, model, choices, usage });
    }
  }
}

interface ChatRequest {
  model: string;
  max_tokens: number;
  stream?: boolean;
}
