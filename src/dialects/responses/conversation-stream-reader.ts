import { PosternError } from "../../errors.ts";
import { SseReader } from "../../lib/sse-reader.ts";
import type { AnswerEvent, AnswerReader } from "../conversation.ts";
import { MAX_RECORD_BYTES } from "../dialect.ts";
import { readLogprobs } from "../openai/conversation-delta.ts";
import { readChatError } from "../openai/conversation-error.ts";
import { isJsonObject, type JsonObject } from "../request-member.ts";
import { readCall, readEnd, readResponsesAnswer } from "./conversation-answer.ts";
import { readResponseUsage } from "./usage.ts";

/** Events that are not JSON are left out; beyond this many the answer is a bad one. */
const MAX_UNREADABLE_RECORDS = 8;

interface Call {
  index: number;
  hasArguments: boolean;
}

/** Reads a stream of typed events. One per attempt. */
export class ResponsesStreamReader implements AnswerReader {
  readonly #records: SseReader;
  /** Calls by their place in the output. */
  readonly #calls = new Map<unknown, Call>();
  /** Which of the two forms of thinking this engine streams; some write both. */
  #reasoningType: string | null = null;
  #events: AnswerEvent[] = [];
  #hasContent = false;
  #isFinished = false;
  #isOver = false;
  #unreadable = 0;

  constructor() {
    this.#records = new SseReader(MAX_RECORD_BYTES, (data, name) => this.#take(data, name));
  }

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

  #take(data: string, name: string | null): void {
    if (this.#isOver || data.startsWith("[DONE]")) return;
    const event = parse(data);
    if (event === null) {
      if (name === "error") return this.#fail(data);
      if (++this.#unreadable <= MAX_UNREADABLE_RECORDS) return;
      throw new PosternError("engine_bad_answer", { detail: { reason: "records that are not JSON" } });
    }
    const type = typeof event["type"] === "string" ? event["type"] : name;
    switch (type) {
      case "response.output_text.delta":
        this.#say("text", event["delta"]);
        return this.#logprobs(event["logprobs"]);
      case "response.refusal.delta":
        return this.#say("text", event["delta"]);
      case "response.reasoning_text.delta":
      case "response.reasoning_summary_text.delta":
        this.#reasoningType ??= type;
        if (this.#reasoningType === type) this.#say("reasoning", event["delta"]);
        return;
      case "response.output_item.added":
      case "response.output_item.done":
        return this.#item(event, type === "response.output_item.done");
      case "response.function_call_arguments.delta":
        return this.#arguments(event["output_index"], event["delta"], false);
      case "response.function_call_arguments.done":
        return this.#arguments(event["output_index"], event["arguments"], true);
      case "response.completed":
      case "response.incomplete":
        return this.#finish(event["response"], type);
      case "response.failed":
        return this.#fail(event["response"]);
      case "error":
        return this.#fail(isJsonObject(event["error"]) ? event : { error: event });
      default:
        if (isJsonObject(event["error"])) this.#fail(event);
    }
  }

  #say(type: "text" | "reasoning", text: unknown): void {
    if (typeof text !== "string" || text === "") return;
    this.#hasContent = true;
    this.#events.push({ type, text });
  }

  #logprobs(content: unknown): void {
    const tokens = readLogprobs({ content });
    if (tokens.length > 0) this.#events.push({ type: "logprobs", tokens });
  }

  /** Some servers tell a call only when it is done. */
  #item(event: JsonObject, isDone: boolean): void {
    const item = event["item"];
    if (!isJsonObject(item) || item["type"] !== "function_call") return;
    const place = event["output_index"];
    const said = item["arguments"];
    if (!this.#calls.has(place)) {
      const call = readCall(item);
      if (call === null) return;
      const index = this.#calls.size;
      this.#calls.set(place, { index, hasArguments: false });
      this.#hasContent = true;
      this.#events.push({ type: "tool_start", index, id: call.id, name: call.name });
    }
    if (isDone) this.#arguments(place, said, true);
  }

  /** @param isWhole All arguments at once: they count only when no piece of them came before. */
  #arguments(place: unknown, json: unknown, isWhole: boolean): void {
    const call = this.#calls.get(place);
    if (call === undefined || typeof json !== "string" || json === "" || (isWhole && call.hasArguments)) return;
    call.hasArguments = true;
    this.#events.push({ type: "tool_arguments", index: call.index, json });
  }

  #finish(value: unknown, type: string): void {
    const response = isJsonObject(value) ? value : {};
    // A server that streams nothing but the end.
    const answer = this.#hasContent ? null : readResponsesAnswer(response);
    let calls = this.#calls.size;
    for (const part of answer?.parts ?? []) {
      if (part.type !== "tool_call") {
        this.#events.push(part);
        continue;
      }
      const index = calls++;
      this.#events.push({ type: "tool_start", index, id: part.id, name: part.name });
      this.#events.push({ type: "tool_arguments", index, json: part.argumentsJson });
    }
    const usage = readResponseUsage(response["usage"]);
    if (usage !== null) this.#events.push({ type: "usage", usage });
    const status = type === "response.incomplete" ? "incomplete" : response["status"];
    this.#events.push({ type: "finish", reason: readEnd({ ...response, status }, calls > 0), stopSequence: null });
    this.#isFinished = true;
    this.#isOver = true;
  }

  #fail(body: unknown): void {
    this.#isOver = true;
    this.#events.push({ type: "error", error: readChatError(0, body) });
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
