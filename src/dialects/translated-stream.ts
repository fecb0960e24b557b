import type { PosternError } from "../errors.ts";
import { tokensFromBytes } from "../lib/token-estimate.ts";
import { believableUsage } from "./believable-usage.ts";
import type { Answer, AnswerEvent, AnswerReader, AnswerWriter, SaidError } from "./conversation.ts";
import type { Completion, StreamTap, Usage } from "./dialect.ts";

const EMPTY = Buffer.alloc(0);

/** Turns an engine's stream into the caller's: one record read, one written, one buffer for all that a chunk brings. */
export class TranslatedStream implements StreamTap {
  readonly holdsErrors: boolean;
  readonly #reader: AnswerReader;
  readonly #writer: AnswerWriter;
  readonly #requestBytes: number;
  #hasContent = false;
  #isFinished = false;
  #hasFailed = false;
  #isEnded = false;
  /** The engine's own error, where it came too late to be written. */
  #said: SaidError | null = null;
  #usage: Usage | null = null;
  #deltas = 0;
  #textLength = 0;

  /** @param holdsErrors Whether an error of the engine's is left to `inBandError`, because the answer may yet go on. */
  constructor(reader: AnswerReader, writer: AnswerWriter, requestBytes: number, holdsErrors = false) {
    this.holdsErrors = holdsErrors;
    this.#reader = reader;
    this.#writer = writer;
    this.#requestBytes = requestBytes;
  }

  get hasContent(): boolean {
    return this.#hasContent;
  }

  get completion(): Completion {
    if (this.#hasFailed) return "engine_error";
    return this.#isFinished && this.#reader.isComplete ? "complete" : "open";
  }

  push(chunk: Buffer): Buffer {
    if (this.#hasFailed) return EMPTY;
    const out = this.#write(this.#reader.push(chunk));
    return out === "" ? EMPTY : Buffer.from(out);
  }

  finish(): Buffer | null {
    if (this.#hasFailed || this.#isEnded) return null;
    let out = "";
    for (const event of this.#reader.end()) {
      if (event.type === "error") {
        this.#said = event.error;
        return null;
      }
      out += this.#take(event);
    }
    if (this.completion !== "complete") return null;
    this.#isEnded = true;
    if (this.#usage === null) out += this.#writer.write({ type: "usage", usage: this.#ownUsage() });
    return Buffer.from(out + this.#writer.end());
  }

  usage(): Usage {
    return this.#ownUsage();
  }

  /** The engine's word where it came with the end; before it counts are floors, so what was passed on is counted too. */
  #ownUsage(): Usage {
    const told = this.#usage;
    const counted = Math.max(this.#deltas, tokensFromBytes(this.#textLength));
    if (told !== null && this.completion === "complete") return believableUsage(told, this.#requestBytes, counted);
    return {
      tokensIn: told === null || told.tokensIn === 0 ? tokensFromBytes(this.#requestBytes) : told.tokensIn,
      tokensInCached: told?.tokensInCached ?? 0,
      tokensOut: Math.max(told?.tokensOut ?? 0, counted),
      tokensReasoning: told?.tokensReasoning ?? null,
      isEstimated: true,
    };
  }

  keepAlive(nowMs: number): Buffer {
    return Buffer.from(this.#writer.keepAlive(nowMs));
  }

  inBandError(error: PosternError): Buffer {
    return Buffer.from(this.#writer.error(this.#said ?? error));
  }

  #write(events: readonly AnswerEvent[]): string {
    let out = "";
    for (const event of events) {
      if (event.type === "error") {
        this.#hasFailed = true;
        this.#said = event.error;
        return this.holdsErrors ? out : out + this.#writer.error(event.error);
      }
      out += this.#take(event);
    }
    return out;
  }

  #take(event: Exclude<AnswerEvent, { type: "error" }>): string {
    switch (event.type) {
      case "text":
      case "reasoning":
        if (event.text === "") return "";
        this.#count(event.text.length);
        break;
      case "tool_start":
        this.#count(event.name.length);
        break;
      case "tool_arguments":
        this.#count(event.json.length);
        break;
      case "finish":
        this.#isFinished = true;
        break;
      case "usage":
        this.#usage = event.usage;
        break;
      case "logprobs":
        break;
      default:
        event satisfies never;
    }
    return this.#writer.write(event);
  }

  #count(length: number): void {
    this.#hasContent = true;
    this.#deltas += 1;
    this.#textLength += length;
  }
}

/** Usage of a whole answer: the engine's word, or an estimate from what was asked and said. */
export function answerUsage({ usage, parts }: Answer, requestBytes: number): Usage {
  let length = 0;
  for (const part of parts) length += part.type === "tool_call" ? part.argumentsJson.length : part.text.length;
  return believableUsage(usage, requestBytes, tokensFromBytes(length));
}
