import { PosternError } from "../../errors.ts";
import { jsonLine } from "../../lib/ndjson.ts";
import type {
  AnswerContext,
  AnswerEvent,
  AnswerWriter,
  FinishReason,
  SaidError,
  TokenLogprob,
} from "../conversation.ts";
import { MAX_RECORD_BYTES, type Usage } from "../dialect.ts";
import { type ChunkKind, quietChunk, timestamp } from "./chunk.ts";
import { writeCall, writeEnd, writeParts, writeToken } from "./conversation-answer.ts";

interface OpenCall {
  id: string;
  name: string;
  argumentsJson: string;
}

/**
 * Writes a stream of Ollama's chat or generate lines. One per answer.
 *
 * A call goes out whole, because its arguments are an object here: calls wait until the answer is finished, since fragments
 * of several may come in turns until then. Together they hold at most `MAX_RECORD_BYTES`.
 */
export class OllamaStreamWriter implements AnswerWriter {
  readonly #kind: ChunkKind;
  readonly #model: string;
  /** Everything of a line of text up to it, and behind it. */
  readonly #textHead: string;
  readonly #tail: string;
  readonly #head: Record<string, unknown>;
  readonly #calls = new Map<number, OpenCall>();
  #heldLength = 0;
  #finish: FinishReason = "stop";
  #usage: Usage | null = null;

  constructor(kind: ChunkKind, { model, createdAtMs }: AnswerContext) {
    this.#kind = kind;
    this.#model = model;
    this.#head = { model, created_at: timestamp(createdAtMs) };
    const named = JSON.stringify(this.#head).slice(0, -1);
    this.#textHead = kind === "chat" ? `${named},"message":{"role":"assistant","content":` : `${named},"response":`;
    this.#tail = kind === "chat" ? '},"done":false}\n' : ',"done":false}\n';
  }

  write(event: Exclude<AnswerEvent, { type: "error" }>): string {
    switch (event.type) {
      case "text":
        return this.#textHead + JSON.stringify(event.text) + this.#tail;
      case "reasoning":
        return `${this.#textHead}"","thinking":${JSON.stringify(event.text)}${this.#tail}`;
      case "tool_start":
        this.#hold(event.id.length + event.name.length);
        this.#calls.set(event.index, { id: event.id, name: event.name, argumentsJson: "" });
        return "";
      case "tool_arguments": {
        const call = this.#calls.get(event.index);
        this.#hold(event.json.length);
        if (call !== undefined) call.argumentsJson += event.json;
        return "";
      }
      case "logprobs":
        return this.#line("", event.tokens, []);
      case "finish":
        this.#finish = event.reason;
        return this.#flushCalls();
      case "usage":
        this.#usage = event.usage;
        return "";
      default:
        return event satisfies never;
    }
  }

  end(): string {
    return jsonLine({
      ...this.#head,
      ...writeParts(this.#kind, "", "", []),
      ...writeEnd(this.#finish, this.#usage),
    });
  }

  keepAlive(nowMs: number): string {
    return jsonLine(quietChunk(this.#kind, this.#model, nowMs));
  }

  error(error: PosternError | SaidError): string {
    return jsonLine({ error: error.message });
  }

  #flushCalls(): string {
    if (this.#calls.size === 0) return "";
    const calls = [...this.#calls.values()].map(writeCall);
    this.#calls.clear();
    return this.#line("", [], calls);
  }

  #line(text: string, tokens: readonly TokenLogprob[], calls: readonly Record<string, unknown>[]): string {
    return jsonLine({
      ...this.#head,
      ...writeParts(this.#kind, text, "", calls),
      done: false,
      ...(tokens.length === 0 ? {} : { logprobs: tokens.map(writeToken) }),
    });
  }

  #hold(length: number): void {
    this.#heldLength += length;
    if (this.#heldLength <= MAX_RECORD_BYTES) return;
    throw new PosternError("engine_bad_answer", { detail: { reason: "calls too long", limit: MAX_RECORD_BYTES } });
  }
}
