import { PosternError } from "../../errors.ts";
import { SseReader } from "../../lib/sse-reader.ts";
import type { AnswerEvent, AnswerReader } from "../conversation.ts";
import { MAX_RECORD_BYTES } from "../dialect.ts";
import { RecordTemplate } from "../record-template.ts";
import { isAbsent, isJsonObject, type JsonObject } from "../request-member.ts";
import { readFinish } from "./conversation-answer.ts";
import { deltaReasoning, deltaText, readLogprobs } from "./conversation-delta.ts";
import { readChatError } from "./conversation-error.ts";
import { ToolCallIndex } from "./tool-call-index.ts";
import { readTimings, readUsage } from "./usage.ts";

/** Events that are not JSON are left out; beyond this many the answer is a bad one. */
const MAX_UNREADABLE_RECORDS = 8;

/** Reads a stream of chat completion chunks. One per attempt; only the first choice is read. */
export class ChatStreamReader implements AnswerReader {
  readonly #records: SseReader;
  readonly #texts = new RecordTemplate((data) => plainText(data, "content"));
  readonly #thoughts = new RecordTemplate(
    (data) => plainText(data, "reasoning_content") ?? plainText(data, "reasoning"),
  );
  readonly #calls = new ToolCallIndex();
  #events: AnswerEvent[] = [];
  #isFinished = false;
  #isOver = false;
  #unreadable = 0;

  constructor() {
    this.#records = new SseReader(
      MAX_RECORD_BYTES,
      (data, name) => this.#take(data, name),
      (bytes, at, end) => this.#takeBytes(bytes, at, end),
    );
  }

  /** A finish is the evidence; `[DONE]` alone proves nothing, and some engines leave it out. */
  get isComplete(): boolean {
    return this.#isFinished;
  }

  push(chunk: Buffer): readonly AnswerEvent[] {
    this.#events.length = 0;
    this.#records.push(chunk);
    return this.#events;
  }

  end(): readonly AnswerEvent[] {
    this.#events.length = 0;
    this.#records.end();
    return this.#events;
  }

  #takeBytes(bytes: Buffer, at: number, end: number): number {
    if (this.#isOver) return at;
    const afterText = this.#texts.match(bytes, at, end);
    if (afterText !== at) {
      this.#say("text", this.#texts.text);
      return afterText;
    }
    const afterThought = this.#thoughts.match(bytes, at, end);
    if (afterThought !== at) this.#say("reasoning", this.#thoughts.text);
    return afterThought;
  }

  #take(data: string, name: string | null): void {
    if (this.#isOver) return;
    if (data.startsWith("[DONE]")) {
      this.#isOver = true;
      return;
    }
    const record = parseRecord(data);
    if (record === null) {
      if (name === "error") return this.#fail(readChatError(0, data));
      if (++this.#unreadable <= MAX_UNREADABLE_RECORDS) return;
      throw new PosternError("engine_bad_answer", { detail: { reason: "records that are not JSON" } });
    }
    const error = record["error"];
    if (name === "error" || isJsonObject(error) || (typeof error === "string" && error !== "")) {
      return this.#fail(readChatError(0, record));
    }
    const before = this.#events.length;
    this.#read(record);
    const said = this.#events[before];
    if (name !== null || said === undefined || this.#events.length !== before + 1) return;
    if (said.type === "text") this.#texts.learn("data: ", data, said.text);
    else if (said.type === "reasoning") this.#thoughts.learn("data: ", data, said.text);
  }

  #read(record: JsonObject): void {
    const choices = record["choices"];
    // Chunks without a choice carry usage, or what a provider's filter thought of the prompt.
    const choice: unknown = Array.isArray(choices) ? choices.find(isFirstChoice) : undefined;
    if (isJsonObject(choice)) this.#readChoice(choice, record);
    // llama-server says it in its last chunk too, whether or not it was asked for usage.
    const usage = readUsage(record["usage"]) ?? (this.#isFinished ? readTimings(record["timings"]) : null);
    if (usage !== null) this.#events.push({ type: "usage", usage });
  }

  #readChoice(choice: JsonObject, record: JsonObject): void {
    const finish = choice["finish_reason"];
    // OpenRouter tells errors of a provider as a finish reason.
    if (finish === "error") return this.#fail(readChatError(0, record));
    const delta = choice["delta"] ?? choice["message"];
    if (isJsonObject(delta) && !this.#isFinished) {
      this.#say("reasoning", deltaReasoning(delta));
      this.#say("text", deltaText(delta));
      for (const event of this.#calls.read(delta)) this.#events.push(event);
    }
    const tokens = readLogprobs(choice["logprobs"]);
    if (tokens.length > 0) this.#events.push({ type: "logprobs", tokens });
    if (typeof finish !== "string" || finish === "" || this.#isFinished) return;
    this.#isFinished = true;
    this.#events.push({ type: "finish", ...readFinish(finish, choice["stop_reason"], this.#calls.count > 0) });
  }

  #say(type: "text" | "reasoning", text: string): void {
    if (text !== "" && !this.#isFinished) this.#events.push({ type, text });
  }

  #fail(error: ReturnType<typeof readChatError>): void {
    this.#isOver = true;
    this.#isFinished = false;
    this.#events.push({ type: "error", error });
  }
}

function parseRecord(data: string): JsonObject | null {
  try {
    const value: unknown = JSON.parse(data);
    return isJsonObject(value) ? value : null;
  } catch {
    return null;
  }
}

/** The text of a record that says nothing else; null for every other. */
function plainText(data: string, member: string): string | null {
  const record = parseRecord(data);
  if (record === null || !isAbsent(record["error"]) || !isAbsent(record["usage"])) return null;
  const choices = record["choices"];
  if (!Array.isArray(choices) || choices.length !== 1) return null;
  const choice: unknown = choices[0];
  if (!isFirstChoice(choice) || !isAbsent(choice["finish_reason"]) || !isAbsent(choice["logprobs"])) return null;
  const delta = choice["delta"];
  if (!isJsonObject(delta)) return null;
  for (const name of Object.keys(delta)) {
    const value = delta[name];
    const isSilent = isAbsent(value) || value === "" || name === "role" || (Array.isArray(value) && value.length === 0);
    if (name !== member && !isSilent) return null;
  }
  const text = delta[member];
  return typeof text === "string" ? text : null;
}

function isFirstChoice(choice: unknown): choice is JsonObject {
  return isJsonObject(choice) && (choice["index"] === undefined || choice["index"] === null || choice["index"] === 0);
}
