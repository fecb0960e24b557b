import type { BodyScan } from "../lib/json-scan.ts";
import type { AnswerContext } from "./conversation.ts";
import type { RequestFacts, StreamTap, TargetEdits, Usage } from "./dialect.ts";
import type { Operation } from "./operations.ts";

/**
 * How one attempt speaks with its target: in the caller's dialect, or translated. The relay knows nothing else of dialects.
 */
export interface AttemptFormat {
  /** What the target is asked for. Its own id, method and path go out. */
  readonly operation: Operation;
  readonly isTranslated: boolean;
  /** What a stream of the target declares: `text/event-stream` or `application/x-ndjson`. */
  readonly streamType: string;
  /**
   * The body for the target.
   *
   * @throws PosternError `untranslatable`, `body_invalid` with `param`.
   */
  encode(scan: BodyScan, facts: RequestFacts, edits: TargetEdits): EncodedRequest;
  /** Turns the target's stream into the caller's. */
  tap(facts: RequestFacts, requestBytes: number, context: AnswerContext): StreamTap;
  /** The caller's answer, from a whole one of the target; null when that is not an answer. Passed on as the same buffer where nothing has to change. */
  readAnswer(body: Buffer, requestBytes: number, context: AnswerContext, contentType?: string): WholeAnswer | null;
  /** Content type that the caller gets for a whole answer of this one; null for one that is no answer. JSON alone where left out. */
  answerType?(contentType: string): string | null;
  /** An engine's error answer (any status from 400) for the caller; null where we speak for it ourselves. */
  readError(status: number, contentType: string, body: Buffer, context: AnswerContext): ErrorReply | null;
}

export interface EncodedRequest {
  body: Buffer;
  /** Members that had no counterpart at the target, beyond those of `facts.removedFields`. */
  removedFields: readonly string[];
  /** Where it is not JSON. */
  contentType?: string;
}

export interface WholeAnswer {
  body: Buffer;
  usage: Usage;
}

export interface ErrorReply {
  status: number;
  body: Buffer;
}
