import type { PosternError } from "../../errors.ts";
import type { AnswerContext, AnswerEvent, AnswerWriter, FinishReason, SaidError } from "../conversation.ts";
import type { Usage } from "../dialect.ts";
import { chatId, writeFinish, writeLogprob, writeUsage } from "./conversation-answer.ts";
import { errorWords } from "./conversation-error.ts";

/** A comment line: every client skips it (reference: engine-apis §7.3). */
const KEEP_ALIVE = ": ping\n\n";

/** Writes a stream of chat completion chunks. One per answer. */
export class ChatStreamWriter implements AnswerWriter {
  readonly #wantsUsage: boolean;
  /** Everything of a chunk up to its choices. */
  readonly #head: string;
  readonly #textHead: string;
  readonly #reasoningHead: string;
  #hasBegun = false;
  #hasCalls = false;
  #finish: FinishReason = "stop";
  #usage: Usage | null = null;

  constructor(context: AnswerContext) {
    this.#wantsUsage = context.wantsUsage;
    const created = Math.floor(context.createdAtMs / 1000);
    const named = JSON.stringify({
      id: chatId(context),
      object: "chat.completion.chunk",
      created,
      model: context.model,
    });
    this.#head = `data: ${named.slice(0, -1)},"choices":[`;
    this.#textHead = `${this.#head}{"index":0,"delta":{"content":`;
    this.#reasoningHead = `${this.#head}{"index":0,"delta":{"reasoning_content":`;
  }

  write(event: Exclude<AnswerEvent, { type: "error" }>): string {
    switch (event.type) {
      case "text":
        return `${this.#begin()}${this.#textHead}${JSON.stringify(event.text)}},"finish_reason":null}]}\n\n`;
      case "reasoning":
        return `${this.#begin()}${this.#reasoningHead}${JSON.stringify(event.text)}},"finish_reason":null}]}\n\n`;
      case "tool_start": {
        this.#hasCalls = true;
        const { index, id, name } = event;
        return this.#delta({ tool_calls: [{ index, id, type: "function", function: { name, arguments: "" } }] });
      }
      case "tool_arguments":
        return this.#delta({ tool_calls: [{ index: event.index, function: { arguments: event.json } }] });
      case "logprobs": {
        const logprobs = { content: event.tokens.map(writeLogprob), refusal: null };
        return this.#begin() + this.#choice({ index: 0, delta: {}, logprobs, finish_reason: null });
      }
      case "finish":
        this.#finish = event.reason;
        return "";
      case "usage":
        this.#usage = event.usage;
        return "";
      default:
        return event satisfies never;
    }
  }

  end(): string {
    const reason = this.#hasCalls && this.#finish === "stop" ? "tool_calls" : this.#finish;
    let out = this.#begin() + this.#choice({ index: 0, delta: {}, finish_reason: writeFinish(reason) });
    if (this.#wantsUsage && this.#usage !== null) {
      out += `${this.#head}],"usage":${JSON.stringify(writeUsage(this.#usage))}}\n\n`;
    }
    return `${out}data: [DONE]\n\n`;
  }

  keepAlive(): string {
    return KEEP_ALIVE;
  }

  error(error: PosternError | SaidError): string {
    return `data: ${JSON.stringify({ error: errorWords(error) })}\n\n`;
  }

  #delta(delta: Record<string, unknown>): string {
    return this.#begin() + this.#choice({ index: 0, delta, finish_reason: null });
  }

  #choice(choice: Record<string, unknown>): string {
    return `${this.#head}${JSON.stringify(choice)}]}\n\n`;
  }

  /** The first chunk names the role. */
  #begin(): string {
    if (this.#hasBegun) return "";
    this.#hasBegun = true;
    return this.#choice({ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null });
  }
}
