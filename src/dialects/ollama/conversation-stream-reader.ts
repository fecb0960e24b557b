import { PosternError } from "../../errors.ts";
import { LineCutter } from "../../lib/ndjson.ts";
import type { AnswerEvent, AnswerReader } from "../conversation.ts";
import { MAX_RECORD_BYTES } from "../dialect.ts";
import type { JsonObject } from "../request-member.ts";
import { readFinish, readParts } from "./conversation-answer.ts";
import { readError } from "./conversation-error.ts";
import { parseLine, saysError } from "./stream-record.ts";
import { finalUsage, readCounts } from "./usage.ts";

const LF = 0x0a;
/** Lines that are not JSON are left out; beyond this many the answer is a bad one. */
const MAX_UNREADABLE_RECORDS = 8;

/** Reads a stream of Ollama's chat or generate lines. One per attempt. */
export class OllamaStreamReader implements AnswerReader {
  readonly #cutter = new LineCutter(MAX_RECORD_BYTES);
  readonly #events: AnswerEvent[] = [];
  #calls = 0;
  #hasSaid = false;
  #isComplete = false;
  #isOver = false;
  #unreadable = 0;

  /** The line with `"done":true` is finish and terminator in one. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  push(chunk: Buffer): readonly AnswerEvent[] {
    this.#events.length = 0;
    const lines = this.#cut(chunk);
    for (let start = 0; start < lines.length; ) {
      const end = lines.indexOf(LF, start) + 1;
      if (end - start > MAX_RECORD_BYTES) throw tooLong(null);
      this.#take(lines.toString("utf8", start, end));
      start = end;
    }
    return this.#events;
  }

  end(): readonly AnswerEvent[] {
    this.#events.length = 0;
    const rest = this.#cutter.end().toString("utf8");
    if (parseLine(rest) !== null) this.#take(rest);
    return this.#events;
  }

  #cut(chunk: Buffer): Buffer {
    try {
      return this.#cutter.push(chunk);
    } catch (cause) {
      throw tooLong(cause);
    }
  }

  #take(text: string): void {
    if (this.#isOver) return;
    const line = parseLine(text);
    if (line === null) {
      if (text.trim() === "" || ++this.#unreadable <= MAX_UNREADABLE_RECORDS) return;
      throw new PosternError("engine_bad_answer", { detail: { reason: "lines that are not JSON" } });
    }
    if (saysError(line)) {
      this.#isOver = true;
      this.#events.push({ type: "error", error: readError(0, line) });
      return;
    }
    this.#say(line);
    if (line["done"] !== true) return;
    this.#isOver = true;
    this.#isComplete = true;
    this.#events.push({
      type: "finish",
      reason: readFinish(line["done_reason"], this.#calls > 0),
      stopSequence: null,
    });
    const usage = finalUsage(readCounts(line), this.#hasSaid);
    if (usage !== null) this.#events.push({ type: "usage", usage });
  }

  #say(line: JsonObject): void {
    const { thinking, text, calls, tokens } = readParts(line);
    if (thinking !== "") this.#events.push({ type: "reasoning", text: thinking });
    if (text !== "") this.#events.push({ type: "text", text });
    for (const { id, name, argumentsJson } of calls) {
      const index = this.#calls++;
      this.#events.push({ type: "tool_start", index, id, name });
      this.#events.push({ type: "tool_arguments", index, json: argumentsJson });
    }
    if (tokens.length > 0) this.#events.push({ type: "logprobs", tokens });
    this.#hasSaid ||= thinking !== "" || text !== "" || calls.length > 0;
  }
}

function tooLong(cause: unknown): PosternError {
  return new PosternError("engine_bad_answer", { detail: { reason: "line too long", limit: MAX_RECORD_BYTES }, cause });
}
