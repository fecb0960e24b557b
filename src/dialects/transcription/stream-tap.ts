import { PosternError } from "../../errors.ts";
import { eventData, eventName } from "../../lib/sse.ts";
import { tokensFromBytes } from "../../lib/token-estimate.ts";
import { believableUsage } from "../believable-usage.ts";
import type { Completion, RequestFacts, StreamTap, Usage } from "../dialect.ts";
import { readRecord } from "../openai/stream-record.ts";
import { RecordFilter } from "../record-filter.ts";
import { isJsonObject, type JsonObject } from "../request-member.ts";
import { transcriptUsage } from "./answer.ts";

const EMPTY = Buffer.alloc(0);
const DONE = Buffer.from("data: [DONE]\n\n");
/** Events that are not JSON are left out; beyond this many the answer is a bad one. */
const MAX_UNREADABLE_RECORDS = 8;

/**
 * Watches a streamed transcript: OpenAI's events (`transcript.text.delta`, `transcript.text.done`), or chunks like those of a chat,
 * which vLLM sends (vllm-project/vllm #49116). There are few of them, so that each is decoded.
 *
 * The end is `transcript.text.done` or `[DONE]`: vLLM says `finish_reason` after each part of a long recording. It is kept back and
 * written by `finish`, once the end of the stream has shown that it is one.
 */
export class TranscriptStreamTap implements StreamTap {
  readonly #isUsageHidden: boolean;
  readonly #textBytes: number;
  readonly #records = new RecordFilter((bytes, start, end) => this.#take(bytes, start, end));
  #hasContent = false;
  #hasFailed = false;
  #end: Buffer | null = null;
  #isDone = false;
  #usage: Usage | null = null;
  #deltas = 0;
  #textLength = 0;
  #unreadable = 0;

  constructor({ wantsUsage }: Pick<RequestFacts, "wantsUsage">, textBytes: number) {
    this.#isUsageHidden = !wantsUsage;
    this.#textBytes = textBytes;
  }

  get hasContent(): boolean {
    return this.#hasContent;
  }

  get completion(): Completion {
    if (this.#hasFailed) return "engine_error";
    return this.#isDone || this.#end !== null ? "complete" : "open";
  }

  push(chunk: Buffer): Buffer {
    return this.#records.push(chunk);
  }

  finish(): Buffer | null {
    const rest = this.#records.takeRest();
    const isPassed = rest !== null && this.#take(rest, 0, rest.length);
    if (this.completion !== "complete") return null;
    return Buffer.concat([isPassed && rest !== null ? rest : EMPTY, this.#end ?? EMPTY, this.#isDone ? DONE : EMPTY]);
  }

  usage(): Usage {
    const counted = Math.max(this.#deltas, tokensFromBytes(this.#textLength));
    return this.#usage ?? believableUsage(null, this.#textBytes, counted);
  }

  /** Whether the record may go to the caller. */
  #take(bytes: Buffer, start: number, end: number): boolean {
    if (this.#isDone || this.#hasFailed) return false;
    const text = bytes.toString("utf8", start, end);
    const data = eventData(text);
    if (data === null) return true;
    if (data.startsWith("[DONE]")) {
      this.#isDone = true;
      return false;
    }
    const event = parse(data);
    if (event === null) {
      if (++this.#unreadable <= MAX_UNREADABLE_RECORDS) return false;
      throw new PosternError("engine_bad_answer", { detail: { reason: "records that are not JSON" } });
    }
    if (eventName(text) === "error" || event["type"] === "error") {
      this.#hasFailed = true;
      return true;
    }
    if (event["type"] === "transcript.text.done") {
      const said = event["text"];
      if (typeof said === "string") this.#textLength = Math.max(this.#textLength, said.length);
      this.#usage = transcriptUsage(event, this.#textBytes, Math.max(this.#deltas, tokensFromBytes(this.#textLength)));
      // Copied: the chunk goes back to whoever gave it.
      this.#end = Buffer.from(bytes.subarray(start, end));
      return false;
    }
    if (typeof event["delta"] === "string") {
      this.#count(event["delta"].length);
      return true;
    }
    return this.#takeChunk(data, event);
  }

  #takeChunk(data: string, event: JsonObject): boolean {
    const record = readRecord(data);
    if (record.kind === "error") this.#hasFailed = true;
    if (record.kind !== "chunk") return true;
    this.#count(record.textLength);
    const counted = Math.max(this.#deltas, tokensFromBytes(this.#textLength));
    if (isJsonObject(event["usage"])) this.#usage = transcriptUsage(event, this.#textBytes, counted);
    return !(this.#isUsageHidden && record.isUsageOnly);
  }

  #count(length: number): void {
    if (length === 0) return;
    this.#hasContent = true;
    this.#deltas += 1;
    this.#textLength += length;
  }
}

function parse(data: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(data);
    return isJsonObject(value) ? value : null;
  } catch {
    return null;
  }
}
