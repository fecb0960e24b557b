import type { PosternError } from "../errors.ts";
import type { Usage } from "./dialect.ts";
import type { Dialect } from "./operations.ts";

/**
 * What a chat request and its answer mean, whatever dialect they came in: the middle of every translation.
 *
 * Each conversational dialect reads its own wire format into these words and writes these words into its own format, so
 * that any two of them can be joined. Built only where a target does not speak the caller's dialect; what passes through is
 * never read this far. A reader that meets something these words cannot hold throws `untranslatable`; it never drops
 * meaning. Hints that cannot change the answer (`user`, `metadata`, cache marks) go to `droppedFields` instead.
 */
export interface Conversation {
  messages: Message[];
  tools: ToolDefinition[];
  /** Null where the caller said nothing. `{ name }`: this tool must be called. */
  toolChoice: "auto" | "none" | "required" | { name: string } | null;
  /** Null where the caller said nothing. */
  parallelToolCalls: boolean | null;
  /** Bound of the answer, in tokens; null for the target's own. */
  maxTokens: number | null;
  sampling: Sampling;
  stop: string[];
  format: AnswerShape | null;
  reasoning: Reasoning | null;
  /** How many alternatives per token; null: none wanted. 0: the chosen token's own logprob only. */
  topLogprobs: number | null;
  isStream: boolean;
  /** Members of the request that have no counterpart and do not change the answer. */
  droppedFields: string[];
}

/** Numbers as the caller gave them; a name that is missing was not given. A writer that has no field for one throws. */
export interface Sampling {
  temperature?: number;
  topP?: number;
  topK?: number;
  minP?: number;
  seed?: number;
  presencePenalty?: number;
  frequencyPenalty?: number;
  repeatPenalty?: number;
}

export type AnswerShape = { kind: "json" } | { kind: "schema"; name: string; schema: unknown; strict: boolean | null };

/** Whether the model should think before it answers. `effort: "none"` switches thinking off. */
export interface Reasoning {
  effort: "none" | "minimal" | "low" | "medium" | "high" | null;
  /** Most tokens of thinking, or null. */
  budgetTokens: number | null;
}

/** In the caller's order. `system` messages stay where they stand (reference: engine-apis §3.4, 10). */
export type Message =
  | { role: "system"; parts: TextPart[] }
  | { role: "user"; parts: (TextPart | ImagePart)[] }
  | { role: "assistant"; parts: (TextPart | ReasoningPart | ToolCallPart)[] }
  | ToolResult;

export interface ToolResult {
  role: "tool";
  /** Id of the call that it answers. Synthesised by readers of dialects without ids, in order of the calls. */
  callId: string;
  /** Name of the tool, or null where neither the dialect nor an earlier call says it. */
  name: string | null;
  parts: (TextPart | ImagePart)[];
  isError: boolean;
}

export interface TextPart {
  type: "text";
  text: string;
}

/** Always from a `data:` URL unless the operator allows others. */
export interface ImagePart {
  type: "image";
  /** `image/png` and so on; null where the dialect does not say (Ollama). */
  mediaType: string | null;
  /** Base64, or an http(s) URL where remote media are allowed. */
  source: { kind: "base64"; data: string } | { kind: "url"; url: string };
}

/** Thinking of an earlier answer. Signatures hold only where they were made: writers leave them out (engine-apis §3.4, 7). */
export interface ReasoningPart {
  type: "reasoning";
  text: string;
}

export interface ToolCallPart {
  type: "tool_call";
  id: string;
  name: string;
  /** Arguments as JSON text of an object, exactly as the model wrote it. */
  argumentsJson: string;
}

export interface ToolDefinition {
  name: string;
  description: string | null;
  /** JSON Schema. */
  parameters: unknown;
  strict: boolean | null;
}

/** Why an answer ended. */
export type FinishReason = "stop" | "stop_sequence" | "length" | "tool_calls" | "content_filter";

export interface Answer {
  parts: (TextPart | ReasoningPart | ToolCallPart)[];
  finish: FinishReason;
  /** The stop string that was hit, where it is known. */
  stopSequence: string | null;
  usage: Usage | null;
  logprobs: TokenLogprob[] | null;
}

export interface TokenLogprob {
  token: string;
  logprob: number;
  bytes: number[] | null;
  top: { token: string; logprob: number; bytes: number[] | null }[];
}

/**
 * What happens in a streamed answer. Text of one kind may come in any number of pieces; calls are told apart by `index`,
 * counted from 0 in order of their starts, and may interleave. `id` is unique within the answer.
 */
export type AnswerEvent =
  | { type: "text"; text: string }
  | { type: "reasoning"; text: string }
  | { type: "tool_start"; index: number; id: string; name: string }
  | { type: "tool_arguments"; index: number; json: string }
  | { type: "logprobs"; tokens: TokenLogprob[] }
  | { type: "finish"; reason: FinishReason; stopSequence: string | null }
  /** May come more than once; the last one wins. */
  | { type: "usage"; usage: Usage }
  /** The engine told of its own trouble, in-band. Nothing follows. */
  | { type: "error"; error: SaidError };

/** An error in an engine's own words, as far as they can be understood. */
export interface SaidError {
  /** HTTP status, or the one that fits best for in-band errors. */
  status: number;
  kind: "context_length" | "rate_limit" | "quota" | "overloaded" | "not_found" | "invalid" | "auth" | "other";
  message: string;
}

/** What a writer must know of the request that it answers. */
export interface AnswerContext {
  /** Our request id (UUIDv7). */
  id: string;
  /** Public name of the model, as the caller asked for it. */
  model: string;
  /** UTC milliseconds of the request. */
  createdAtMs: number;
  /** Whether the caller asked for usage in its stream. */
  wantsUsage: boolean;
  /** Estimate for dialects that say the prompt's tokens before the engine did (Anthropic's `message_start`). */
  estimatedTokensIn: number;
}

/** Reads an engine's stream. Holds at most `MAX_RECORD_BYTES`; throws `engine_bad_answer` beyond it. */
export interface AnswerReader {
  /** Events in the bytes so far, in order; the array may be empty and is only valid until the next call. */
  push(chunk: Buffer): readonly AnswerEvent[];
  /** The engine's stream ended cleanly: what an unterminated last record still says. */
  end(): readonly AnswerEvent[];
  /** Whether the dialect's own sign of completion was seen: a finish, and its terminator where it has one of its own. */
  readonly isComplete: boolean;
}

/** Writes a stream in the caller's dialect. */
export interface AnswerWriter {
  /** The records of one event, and whatever the dialect wants before it. An empty string when it says nothing yet. */
  write(event: Exclude<AnswerEvent, { type: "error" }>): string;
  /** Finish, usage and terminator. Called once, after a `finish` event, with evidence of completion only. */
  end(): string;
  /** A record that keeps the stream alive here and now. `nowMs`: UTC. */
  keepAlive(nowMs: number): string;
  /** The dialect's in-band error. Nothing follows. */
  error(error: PosternError | SaidError): string;
}

/** One dialect's half of every translation. Pure: no sockets, no clock. Given parsed JSON, which is hostile. */
export interface ConversationDialect {
  readonly dialect: Dialect;
  /** `text/event-stream` or `application/x-ndjson`. */
  readonly streamType: string;
  /** @throws PosternError `body_invalid` (not this dialect), `untranslatable`, with `param`. */
  readRequest(body: Readonly<Record<string, unknown>>, options: ReadOptions): Conversation;
  /**
   * The body for an engine of this dialect; a stream always asks for usage.
   *
   * @throws PosternError `untranslatable` where this dialect has no words for what is asked.
   */
  writeRequest(conversation: Conversation, options: WriteOptions): Record<string, unknown>;
  reader(): AnswerReader;
  writer(context: AnswerContext): AnswerWriter;
  /** A whole answer of an engine; null when it is not one of this dialect. */
  readAnswer(body: Readonly<Record<string, unknown>>): Answer | null;
  writeAnswer(answer: Answer, context: AnswerContext): Record<string, unknown>;
  /** An engine's error body (any status from 400), parsed; `undefined` where it was not JSON. */
  readError(status: number, body: unknown): SaidError;
  /** An error body for a caller of this dialect. */
  writeError(error: SaidError, context: AnswerContext): Record<string, unknown>;
}

export interface ReadOptions {
  /** Whether images may be http(s) URLs. Default false. */
  remoteMedia: boolean;
}

export interface WriteOptions {
  /** The engine's own name of the model. */
  model: string;
  /** Kind of the engine (`ollama`, `llama-server`, …), for quirks. */
  engineKind: string;
  /** Whether a stream is asked for its usage, in a dialect where that has to be asked for. Default true. */
  asksUsage?: boolean;
}
