import type { PosternError } from "../errors.ts";
import type { BodyScan } from "../lib/json-scan.ts";
import type { Pieces } from "../lib/turns.ts";
import type { AnswerContext } from "./conversation.ts";
import type { Dialect } from "./operations.ts";

/** What policy needs to know of a request, read from spans of the body. */
export interface RequestFacts {
  model: string;
  isStream: boolean;
  /** Whether the caller asked for usage in its stream; if not, the extra chunk is hidden. */
  wantsUsage: boolean;
  /** Whether the answer may hold more than one choice; each of them then has to finish. */
  hasManyChoices: boolean;
  /**
   * Names of members that field policy removed, for `X-Postern-Removed-Fields`. Safe in a header: names that are not plain
   * words are given as `?`, at most `MAX_NAMED_FIELDS` are named.
   */
  removedFields: readonly string[];
  /** Numbers that were above a bound of the field policy, and what they become. Names are those of the table. */
  clampedFields: readonly ClampedField[];
  /** Where the body is not text (a recording): bytes of text of about as many tokens. Estimates start from these. */
  textBytes?: number;
}

export interface ClampedField {
  name: string;
  to: number;
}

/** Most names in `RequestFacts.removedFields`. */
export const MAX_NAMED_FIELDS = 16;

/** Longest record (event) of a stream, in bytes. A longer one is a bad answer. */
export const MAX_RECORD_BYTES = 1024 * 1024;

/** Usage as the engine said it, or as it was counted. */
export interface Usage {
  tokensIn: number;
  tokensInCached: number;
  tokensOut: number;
  /** Tokens of thinking, included in `tokensOut`; null where the engine does not say. */
  tokensReasoning: number | null;
  /** False only when all of it is the engine's own word. */
  isEstimated: boolean;
}

/**
 * How far an answer is (reference: faults §1): `complete` once every choice has finished, `engine_error` once the engine
 * has told an error in-band; its record was passed on, so that the caller must not get a second one.
 */
export type Completion = "open" | "complete" | "engine_error";

/**
 * Watches a streamed answer on its way through. One per attempt; on the hot path once a chunk, so it looks at bytes and
 * parses only records that can matter (usage, finish, errors).
 */
export interface StreamTap {
  /**
   * Takes the next chunk from the target and returns what may go to the caller: the same buffer when nothing has to be
   * hidden, a shorter one when a record is hidden or still incomplete, an empty one when all of it is held back.
   * Holds back at most `MAX_RECORD_BYTES`; throws `PosternError` `engine_bad_answer` beyond it.
   */
  push(chunk: Buffer): Buffer;
  /**
   * The target's stream ended cleanly. Returns what still has to be written for the dialect's own clean end (a missing
   * `[DONE]`), or null when there is no evidence of completion: then the caller must get an error instead.
   */
  finish(): Buffer | null;
  /**
   * Whether any content (text, tool call, reasoning) was in what `push` returned so far. An answer may be complete without
   * any. Once true, another target may no longer be tried.
   */
  readonly hasContent: boolean;
  readonly completion: Completion;
  /** Whether an engine's in-band error is held back, for `inBandError` to tell; it is passed on where left out. */
  readonly holdsErrors?: boolean;
  /** Keeps the stream alive where the dialect wants more than its codec's constant record at this point of the answer. */
  keepAlive?(nowMs: number): Buffer;
  /** Told instead of the codec's own in-band error where the dialect wants to refer to what was sent before; null where nothing was. */
  inBandError?(error: PosternError): Buffer | null;
  /** Usage so far: the engine's word when it came, else counted from what was passed on. */
  usage(): Usage;
}

/** What has to change in a body before it goes to a target. Null when the bytes can go as they are. */
export interface TargetEdits {
  /** Engine's own model name, where it differs from what the caller wrote. */
  model: string;
  /** Ask for usage in the stream although the caller did not. Ignored where the caller wants no stream. */
  forceUsage: boolean;
  /** Kind of the target's engine: fields that only other kinds know are taken out. Unset leaves them in. */
  engineKind?: string;
}

/** One dialect that callers and engines speak: everything about its wire format. No sockets, no clock. */
export interface DialectCodec {
  readonly dialect: Dialect;
  /**
   * Of a dialect whose bodies are not JSON: reads one, in place of the strict scan.
   *
   * @param contentType As the caller said it; null for a body that `rewrite` made, which tells by itself how it is to be read.
   * @throws PosternError `body_not_form`.
   */
  readBody?(body: Buffer, contentType: string | undefined | null): BodyScan;
  /** Of a dialect whose bodies are not JSON: the content type of one that `rewrite` made. */
  bodyType?(body: Buffer): string;
  /** Of a dialect whose whole answers are not only JSON: the content type that the caller gets for that of an engine; null for one that is no answer. */
  answerType?(contentType: string): string | null;
  /** Reads and checks a scanned body: model, stream flags, field policy. Throws `PosternError` (`model_missing`, `field_refused`, `body_invalid`). */
  inspect(scan: BodyScan): RequestFacts;
  /** The same in pieces, of a dialect in which a large body is long to look through. */
  inspectInPieces?(scan: BodyScan): Pieces<RequestFacts>;
  /** The bytes to send to a target: spans of the original, spliced. Returns `scan.bytes` itself when nothing changes. */
  rewrite(scan: BodyScan, facts: RequestFacts, edits: TargetEdits): Buffer;
  tap(facts: RequestFacts, requestBytes: number): StreamTap;
  /** A complete, non-streamed answer as this dialect's clients can read it; the same buffer where nothing is wrong. Left out where every answer passes. */
  adaptAnswer?(body: Buffer): Buffer;
  /** Usage of a complete, non-streamed answer; null when the body is not one (then it is a bad answer). */
  readAnswer(body: Buffer, requestBytes: number, contentType?: string): Usage | null;
  /** Written into a stream that has begun, when it cannot be completed. Ends the stream without the dialect's clean end. */
  inBandError(error: PosternError, context: AnswerContext): Buffer;
  /**
   * Whether an in-band error, ours or the engine's, is one of the dialect's own ways to end a stream. In other dialects a client
   * may take what ends well for complete.
   */
  readonly isErrorAnEnd?: boolean;
  /** Bytes that keep a silent stream alive between complete records, before a tap can say it better. `nowMs`: UTC. */
  keepAlive(facts: RequestFacts, nowMs: number): Buffer;
  /**
   * An engine's error body as this dialect's clients need it, where the engine's own words would mislead them; null to pass
   * the engine's body on. Left out where every body passes.
   */
  adaptError?(status: number, body: Buffer): { status: number; body: Buffer } | null;
}
