import { PosternError } from "../../errors.ts";
import type {
  AnswerContext,
  AnswerEvent,
  AnswerWriter,
  FinishReason,
  SaidError,
  TokenLogprob,
} from "../conversation.ts";
import type { Usage } from "../dialect.ts";
import type { JsonObject } from "../request-member.ts";
import { callItem, itemId, messageItem, reasoningItem, responseObject, textPart } from "./conversation-answer.ts";
import { splitName } from "./conversation-tools.ts";
import { failureRecords, record } from "./failure.ts";

/** Longest answer: all of it is said again at the end. */
const MAX_ANSWER_LENGTH = 16 * 1024 * 1024;
const TEXT_DELTA = "response.output_text.delta";
const THOUGHT_DELTA = "response.reasoning_summary_text.delta";

/** The message or the thinking that is being written. */
interface OpenItem {
  kind: "text" | "reasoning";
  place: number;
  id: string;
  text: string;
  logprobs: TokenLogprob[];
  /** A delta record up to its text, and between the text and the number. */
  deltaHead: string;
  deltaTail: string;
}

interface OpenCall {
  place: number;
  id: string;
  callId: string;
  name: string;
  json: string;
}

/**
 * Writes a stream of typed events, numbered without gaps. One per answer.
 *
 * One message or one piece of thinking is open at a time; calls stay open until the end, because their arguments may
 * interleave. Everything is said three times, as clients want it: piece by piece, when an item is done, and at the end.
 */
export class ResponsesStreamWriter implements AnswerWriter {
  readonly #context: AnswerContext;
  readonly #output: unknown[] = [];
  readonly #calls: OpenCall[] = [];
  #open: OpenItem | null = null;
  #hasBegun = false;
  #sequence = 0;
  #length = 0;
  #finish: FinishReason = "stop";
  #usage: Usage | null = null;

  constructor(context: AnswerContext) {
    this.#context = context;
  }

  write(event: Exclude<AnswerEvent, { type: "error" }>): string {
    switch (event.type) {
      case "text":
      case "reasoning":
        return this.#piece(event.type, event.text);
      case "tool_start":
        return this.#startCall(event.index, event.id, event.name);
      case "tool_arguments":
        return this.#continueCall(event.index, event.json);
      case "logprobs":
        if (this.#open?.kind === "text") this.#open.logprobs.push(...event.tokens);
        return "";
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
    let out = this.#begin() + this.#close();
    for (const call of this.#calls) out += this.#endCall(call);
    const finish = this.#calls.length > 0 && this.#finish === "stop" ? "tool_calls" : this.#finish;
    const response = responseObject(this.#context, this.#output, finish, { usage: this.#usage });
    return (
      out +
      this.#record(response["status"] === "incomplete" ? "response.incomplete" : "response.completed", { response })
    );
  }

  /** A typed event that says nothing: Codex counts events, not bytes. Before the first one only bytes can be moved. */
  keepAlive(): string {
    return this.#hasBegun ? this.#record("keepalive", {}) : ": ping\n\n";
  }

  /** A response that fails has been created before: clients that keep its state accept no other first event. */
  error(error: PosternError | SaidError): string {
    const response = responseObject(this.#context, [], null, { usage: null });
    return this.#begin() + failureRecords(error, response, this.#sequence);
  }

  #record(type: string, members: JsonObject): string {
    return record(type, { ...members, sequence_number: this.#sequence++ });
  }

  #begin(): string {
    if (this.#hasBegun) return "";
    this.#hasBegun = true;
    const response = responseObject(this.#context, [], null, { usage: null });
    return this.#record("response.created", { response }) + this.#record("response.in_progress", { response });
  }

  #piece(kind: OpenItem["kind"], text: string): string {
    let out = "";
    if (this.#open?.kind !== kind) out = this.#begin() + this.#close() + this.#openItem(kind);
    const open = this.#open;
    if (open === null) return out;
    this.#count(text.length);
    open.text += text;
    return `${out}${open.deltaHead}${JSON.stringify(text)}${open.deltaTail}${this.#sequence++}}\n\n`;
  }

  #openItem(kind: OpenItem["kind"]): string {
    const place = this.#place();
    const isText = kind === "text";
    const id = itemId(this.#context, isText ? "msg" : "rs", place);
    const type = isText ? TEXT_DELTA : THOUGHT_DELTA;
    const where = isText
      ? { item_id: id, output_index: place, content_index: 0 }
      : { item_id: id, output_index: place, summary_index: 0 };
    const head = JSON.stringify({ type, ...where });
    this.#open = {
      kind,
      place,
      id,
      text: "",
      logprobs: [],
      deltaHead: `event: ${type}\ndata: ${head.slice(0, -1)},"delta":`,
      deltaTail: isText ? ',"logprobs":[],"sequence_number":' : ',"sequence_number":',
    };
    const item = isText
      ? { id, type: "message", status: "in_progress", role: "assistant", content: [] }
      : { id, type: "reasoning", summary: [] };
    const added = this.#record("response.output_item.added", { output_index: place, item });
    return isText
      ? added + this.#record("response.content_part.added", { ...where, part: textPart("", null) })
      : added +
          this.#record("response.reasoning_summary_part.added", { ...where, part: { type: "summary_text", text: "" } });
  }

  #close(): string {
    const open = this.#open;
    if (open === null) return "";
    this.#open = null;
    const { id, place, text, logprobs } = open;
    if (open.kind === "text") {
      const where = { item_id: id, output_index: place, content_index: 0 };
      const part = textPart(text, logprobs);
      const item = messageItem(this.#context, place, text, logprobs);
      this.#output[place] = item;
      return (
        this.#record("response.output_text.done", { ...where, text, logprobs: part["logprobs"] }) +
        this.#record("response.content_part.done", { ...where, part }) +
        this.#record("response.output_item.done", { output_index: place, item })
      );
    }
    const where = { item_id: id, output_index: place, summary_index: 0 };
    const item = reasoningItem(this.#context, place, text);
    this.#output[place] = item;
    return (
      this.#record("response.reasoning_summary_text.done", { ...where, text }) +
      this.#record("response.reasoning_summary_part.done", { ...where, part: { type: "summary_text", text } }) +
      this.#record("response.output_item.done", { output_index: place, item })
    );
  }

  #startCall(index: number, callId: string, name: string): string {
    const out = this.#begin() + this.#close();
    const place = this.#place();
    const call: OpenCall = { place, id: itemId(this.#context, "fc", place), callId, name, json: "" };
    this.#calls[index] = call;
    const item = {
      id: call.id,
      type: "function_call",
      status: "in_progress",
      call_id: callId,
      ...splitName(name),
      arguments: "",
    };
    return out + this.#record("response.output_item.added", { output_index: place, item });
  }

  #continueCall(index: number, json: string): string {
    const call = this.#calls[index];
    if (call === undefined || json === "") return "";
    this.#count(json.length);
    call.json += json;
    return this.#record("response.function_call_arguments.delta", {
      item_id: call.id,
      output_index: call.place,
      delta: json,
    });
  }

  #endCall({ place, id, callId, name, json }: OpenCall): string {
    const argumentsJson = json.trim() === "" ? "{}" : json;
    const item = callItem(this.#context, place, callId, name, argumentsJson);
    this.#output[place] = item;
    const done = { item_id: id, output_index: place, name: splitName(name).name, arguments: argumentsJson };
    return (
      this.#record("response.function_call_arguments.done", done) +
      this.#record("response.output_item.done", { output_index: place, item })
    );
  }

  /** The next place in the output, kept for an item that is not done yet. */
  #place(): number {
    return this.#output.push(null) - 1;
  }

  #count(length: number): void {
    this.#length += length;
    if (this.#length > MAX_ANSWER_LENGTH) {
      throw new PosternError("engine_bad_answer", { detail: { reason: "answer too long", limit: MAX_ANSWER_LENGTH } });
    }
  }
}
