import { PosternError } from "../../errors.ts";
import { tokensFromBytes } from "../../lib/token-estimate.ts";
import type { AnswerContext, AnswerEvent, AnswerWriter, FinishReason, SaidError } from "../conversation.ts";
import type { Usage } from "../dialect.ts";
import { errorBody } from "../error-body.ts";
import { writeMessagesError } from "./error.ts";
import { JsonProgress } from "./json-progress.ts";
import { messageId, UNSIGNED, writeStopReason, writeUsage } from "./whole-answer.ts";

/** Most characters that wait behind an open call, each waiting block counted with `BLOCK_LENGTH` besides. */
export const MAX_WAITING_LENGTH = 4 * 1024 * 1024;
const BLOCK_LENGTH = 256;
/** Most calls of one answer. */
const MAX_CALLS = 1024;

const PING = 'event: ping\ndata: {"type":"ping"}\n\n';

type TextKind = "text" | "reasoning";

interface Call {
  id: string;
  name: string;
  /** Index of the call among the calls. */
  index: number;
  progress: JsonProgress;
}

type Block = { kind: TextKind; call: null } | { kind: "tool"; call: Call };
type Waiting = Block & { pieces: string[] };

/**
 * Writes a stream of `/v1/messages` in the one order that clients accept (reference: engine-apis §3.3): one block open at a
 * time, indices up by one, every record with its name.
 *
 * Parallel calls may come interleaved; what comes while a call is open whose arguments are not complete waits until they
 * are, or until the end, up to `MAX_WAITING_LENGTH`.
 */
export class MessagesStreamWriter implements AnswerWriter {
  readonly #context: AnswerContext;
  #hasBegun = false;
  /** Index of the block that was opened last. */
  #index = -1;
  #open: Block | null = null;
  /** What stands around the text of a delta of the open block. */
  #deltaHead = "";
  readonly #waiting: Waiting[] = [];
  #waitingLength = 0;
  /** Calls that may still get arguments, by their index. */
  readonly #calls = new Map<number, Call>();
  readonly #ids = new Set<string>();
  #length = 0;
  #finish: FinishReason = "stop";
  #stopSequence: string | null = null;
  #usage: Usage | null = null;

  constructor(context: AnswerContext) {
    this.#context = context;
  }

  write(event: Exclude<AnswerEvent, { type: "error" }>): string {
    switch (event.type) {
      case "text":
      case "reasoning":
        return event.text === "" ? "" : this.#say(event.type, event.text);
      case "tool_start":
        return this.#startCall(event.index, event.id, event.name);
      case "tool_arguments":
        return event.json === "" ? "" : this.#takeArguments(event.index, event.json);
      case "logprobs":
        return "";
      case "finish":
        this.#finish = event.reason;
        this.#stopSequence = event.stopSequence;
        return "";
      case "usage":
        this.#usage = event.usage;
        return "";
      default:
        return event satisfies never;
    }
  }

  end(): string {
    let out = this.#begin();
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      out += this.#closeBlock() + this.#openWaiting(next);
    }
    out += this.#closeBlock();
    const hasCalls = this.#ids.size > 0;
    const stop_reason = writeStopReason(this.#finish, hasCalls);
    const usage = writeUsage(this.#usage, this.#context);
    if (this.#usage === null) usage["output_tokens"] = tokensFromBytes(this.#length);
    return (
      out +
      record({
        type: "message_delta",
        delta: { stop_reason, stop_sequence: hasCalls ? null : this.#stopSequence },
        usage,
      }) +
      record({ type: "message_stop" })
    );
  }

  keepAlive(): string {
    return PING;
  }

  error(error: PosternError | SaidError): string {
    const body =
      error instanceof PosternError ? errorBody("anthropic", error) : JSON.stringify(writeMessagesError(error));
    return `event: error\ndata: ${body}\n\n`;
  }

  #say(kind: TextKind, text: string): string {
    this.#length += text.length;
    if (this.#open?.kind === kind) return this.#delta(text);
    if (this.#isFree())
      return this.#begin() + this.#closeBlock() + this.#openBlock({ kind, call: null }) + this.#delta(text);
    const last = this.#waiting.at(-1);
    if (last?.kind === kind) last.pieces.push(text);
    else this.#waiting.push({ kind, call: null, pieces: [text] });
    this.#wait(text.length + (last?.kind === kind ? 0 : BLOCK_LENGTH));
    return "";
  }

  #startCall(index: number, id: string, name: string): string {
    if (this.#ids.size >= MAX_CALLS) throw badAnswer("too many calls", MAX_CALLS);
    const call: Call = { id: this.#uniqueId(id), name, index, progress: new JsonProgress() };
    this.#calls.set(index, call);
    if (this.#isFree()) return this.#begin() + this.#closeBlock() + this.#openBlock({ kind: "tool", call });
    this.#waiting.push({ kind: "tool", call, pieces: [] });
    this.#wait(BLOCK_LENGTH);
    return "";
  }

  #takeArguments(index: number, json: string): string {
    const call = this.#calls.get(index);
    if (call === undefined) {
      // Its block is closed, because its arguments were complete and something else came.
      if (json.trim() === "") return "";
      throw badAnswer("arguments behind their call's end", 0);
    }
    this.#length += json.length;
    call.progress.feed(json);
    if (this.#open?.call !== call) {
      this.#waiting.find((block) => block.call === call)?.pieces.push(json);
      this.#wait(json.length);
      return "";
    }
    let out = this.#delta(json);
    while (this.#waiting.length > 0 && this.#isClosable()) {
      const next = this.#waiting.shift();
      if (next !== undefined) out += this.#closeBlock() + this.#openWaiting(next);
    }
    return out;
  }

  /** Whether the next block may open now. */
  #isFree(): boolean {
    return this.#waiting.length === 0 && this.#isClosable();
  }

  #isClosable(): boolean {
    return this.#open?.call?.progress.isComplete !== false;
  }

  #openWaiting(block: Waiting): string {
    let length = BLOCK_LENGTH;
    let out = this.#openBlock(block);
    for (const piece of block.pieces) {
      length += piece.length;
      out += this.#delta(piece);
    }
    this.#waitingLength -= length;
    return out;
  }

  #openBlock(block: Block): string {
    this.#open = block;
    this.#index++;
    const { type, start, delta, member } = FORMS[block.kind];
    const named = block.call === null ? start : { type, id: block.call.id, name: block.call.name, input: {} };
    this.#deltaHead = `event: content_block_delta\ndata: {"type":"content_block_delta","index":${this.#index},"delta":{"type":"${delta}","${member}":`;
    return record({ type: "content_block_start", index: this.#index, content_block: named });
  }

  #closeBlock(): string {
    const open = this.#open;
    if (open === null) return "";
    this.#open = null;
    if (open.call !== null) this.#calls.delete(open.call.index);
    const index = this.#index;
    const signature =
      open.kind === "reasoning"
        ? record({ type: "content_block_delta", index, delta: { type: "signature_delta", signature: UNSIGNED } })
        : "";
    return signature + record({ type: "content_block_stop", index });
  }

  #delta(text: string): string {
    return `${this.#deltaHead}${JSON.stringify(text)}}}\n\n`;
  }

  /** The message's start, before everything else. Its usage is corrected at the end. */
  #begin(): string {
    if (this.#hasBegun) return "";
    this.#hasBegun = true;
    return record({
      type: "message_start",
      message: {
        id: messageId(this.#context),
        type: "message",
        role: "assistant",
        model: this.#context.model,
        content: [],
        stop_reason: null,
        stop_sequence: null,
        usage: { ...writeUsage(this.#usage, this.#context), output_tokens: 0 },
      },
    });
  }

  #wait(length: number): void {
    this.#waitingLength += length;
    if (this.#waitingLength > MAX_WAITING_LENGTH) throw badAnswer("parallel calls too long", MAX_WAITING_LENGTH);
  }

  #uniqueId(said: string): string {
    const isUsable = said !== "" && !this.#ids.has(said);
    const id = isUsable ? said : `toolu_${this.#context.id.replaceAll("-", "")}_${this.#ids.size}`;
    this.#ids.add(id);
    return id;
  }
}

/** How each kind of block is written. */
const FORMS = {
  text: { type: "text", start: { type: "text", text: "" }, delta: "text_delta", member: "text" },
  reasoning: {
    type: "thinking",
    start: { type: "thinking", thinking: "", signature: "" },
    delta: "thinking_delta",
    member: "thinking",
  },
  tool: { type: "tool_use", start: {}, delta: "input_json_delta", member: "partial_json" },
} as const;

function record(data: { type: string } & Record<string, unknown>): string {
  return `event: ${data.type}\ndata: ${JSON.stringify(data)}\n\n`;
}

function badAnswer(reason: string, limit: number): PosternError {
  return new PosternError("engine_bad_answer", { detail: { reason, limit } });
}
