import type { BodyScan } from "../lib/json-scan.ts";
import { tokensFromBytes } from "../lib/token-estimate.ts";
import type { EncodedRequest } from "./attempt-format.ts";
import { continuationWay } from "./can-continue.ts";
import { addUsage, ContinuedWriter } from "./continued-writer.ts";
import type { AnswerContext, AnswerWriter, Conversation, ConversationDialect } from "./conversation.ts";
import { CONVERSATIONS } from "./conversations.ts";
import type { RequestFacts, StreamTap, Usage } from "./dialect.ts";
import { isJsonObject } from "./request-member.ts";
import { TranslatedStream } from "./translated-stream.ts";

/** Longest request of which a continuation is made: it is read twice. */
const MAX_REQUEST_BYTES = 1024 * 1024;

/** What a continuation is asked of. */
export interface Continuer {
  operationId: string;
  /** Of the engine or provider. */
  kind: string;
  model: string;
}

/**
 * A streamed answer that another target can go on with when the one that writes it breaks off. Read from the target's dialect
 * and written in the caller's, even where both are the same, by one writer from the first to the last author: ids, indexes and
 * usage stay those of one answer.
 *
 * Only for plain text: no tools, no choices, no logprobs, no JSON, no stop strings, no thinking. What of that turns up in the
 * answer ends the chance too.
 */
export class ContinuedAnswer {
  readonly #caller: ConversationDialect;
  readonly #scan: BodyScan;
  readonly #requestBytes: number;
  readonly #writer: ContinuedWriter;

  private constructor(caller: ConversationDialect, scan: BodyScan, requestBytes: number, writer: AnswerWriter) {
    this.#caller = caller;
    this.#scan = scan;
    this.#requestBytes = requestBytes;
    this.#writer = new ContinuedWriter(writer);
  }

  /** Null where the request asks for something that nobody can go on with. */
  static begin(
    operationId: string,
    scan: BodyScan,
    facts: RequestFacts,
    requestBytes: number,
    context: AnswerContext,
  ): ContinuedAnswer | null {
    const caller = CONVERSATIONS.get(operationId);
    const isPlain = facts.isStream && !facts.hasManyChoices && facts.clampedFields.length === 0;
    if (caller === undefined || !isPlain || scan.bytes.length > MAX_REQUEST_BYTES) return null;
    if (readPlain(caller, scan) === null) return null;
    const writer = caller.writer({ ...context, wantsUsage: facts.wantsUsage });
    return new ContinuedAnswer(caller, scan, requestBytes, writer);
  }

  /** Reads the stream of a target. Null where its dialect is none of conversations. */
  tap(operationId: string): StreamTap | null {
    const engine = CONVERSATIONS.get(operationId);
    if (engine === undefined) return null;
    return new ContinuedStream(engine, this.#writer, this.#requestBytes);
  }

  /** Whether what the caller has can be gone on with. */
  get canContinue(): boolean {
    return !this.#writer.isBeyondText && !this.#writer.hasFinished && this.#writer.text.trim() !== "";
  }

  /**
   * The request for a target that shall go on from here; null where it is not known to be able to, or nothing is left of the
   * caller's bound.
   */
  encode({ operationId, kind, model }: Continuer, usage: Usage): EncodedRequest | null {
    const { text } = this.#writer;
    const way = continuationWay(operationId, kind, model);
    const engine = CONVERSATIONS.get(operationId);
    if (way === null || engine === undefined || !this.canContinue) return null;
    if (!way.takesTrailingSpace && text.trimEnd() !== text) return null;
    const conversation = readPlain(this.#caller, this.#scan);
    if (conversation === null) return null;
    if (conversation.maxTokens !== null) {
      conversation.maxTokens -= Math.max(usage.tokensOut, tokensFromBytes(text.length));
      if (conversation.maxTokens <= 0) return null;
    }
    conversation.messages.push({ role: "assistant", parts: [{ type: "text", text }] });
    try {
      const body = { ...engine.writeRequest(conversation, { model, engineKind: kind }), ...way.fields };
      return { body: Buffer.from(JSON.stringify(body)), removedFields: conversation.droppedFields };
    } catch {
      // Untranslatable: this target cannot be asked.
      return null;
    }
  }

  /** What follows is of another target. @param usage Of all who wrote so far. */
  continues(usage: Usage): void {
    this.#writer.continues(usage);
  }
}

/** Reads one author's part. Its usage is that of all so far. */
class ContinuedStream extends TranslatedStream {
  readonly #all: ContinuedWriter;
  /** Of those who wrote before. */
  readonly #before: Usage | null;

  constructor(engine: ConversationDialect, writer: ContinuedWriter, requestBytes: number) {
    super(engine.reader(), writer, requestBytes, true);
    this.#all = writer;
    this.#before = writer.carried;
  }

  /** Not before it is clear that it is no answer begun anew. */
  override get hasContent(): boolean {
    return super.hasContent && !this.#all.isGuarding;
  }

  /** What an end without completion still says does not go out, so that it is not gone on from either. */
  override finish(): Buffer | null {
    const { text } = this.#all;
    const tail = super.finish();
    if (tail === null) this.#all.text = text;
    return tail;
  }

  override usage(): Usage {
    return addUsage(this.#before, super.usage());
  }
}

/** The request, where it asks for text and nothing else. */
function readPlain(caller: ConversationDialect, { bytes }: BodyScan): Conversation | null {
  try {
    const tree: unknown = JSON.parse(bytes.toString("utf8"));
    if (!isJsonObject(tree)) return null;
    const conversation = caller.readRequest(tree, { remoteMedia: false });
    const { tools, format, topLogprobs, stop, reasoning, messages } = conversation;
    const isThinking = reasoning !== null && reasoning.effort !== "none";
    const isPlain = tools.length === 0 && format === null && topLogprobs === null && stop.length === 0 && !isThinking;
    return isPlain && messages.at(-1)?.role === "user" ? conversation : null;
  } catch {
    return null;
  }
}
