import { PosternError } from "../errors.ts";
import type { BodyScan } from "../lib/json-scan.ts";
import type { AttemptFormat, EncodedRequest, ErrorReply, WholeAnswer } from "./attempt-format.ts";
import type { AnswerContext, ConversationDialect, SaidError } from "./conversation.ts";
import { MAX_NAMED_FIELDS, type RequestFacts, type TargetEdits } from "./dialect.ts";
import type { Operation } from "./operations.ts";
import { isPassableError } from "./pass-through.ts";
import { isJsonObject, type JsonObject } from "./request-member.ts";
import { answerUsage, TranslatedStream } from "./translated-stream.ts";

/** One end of a translation: what is asked for, and the words in which. */
export interface TranslationEnd {
  operation: Operation;
  conversation: ConversationDialect;
}

export interface TranslationOptions {
  /** Whether engines may fetch media from URLs that callers name: the field policy's. Default false. */
  remoteMedia?: boolean;
}

/** Engine kind where the target does not say one: what every server of the dialect knows. */
const ANY_ENGINE = "openai";

/**
 * The format of an attempt whose target speaks another dialect than its caller. Any two conversational dialects can be
 * joined; what the words in between cannot hold is refused, never left out in silence.
 *
 * @throws PosternError from `encode`: `untranslatable`, `body_invalid`, `field_refused`, with `param`.
 */
export function translation(
  caller: TranslationEnd,
  engine: TranslationEnd,
  { remoteMedia = false }: TranslationOptions = {},
): AttemptFormat {
  return {
    operation: engine.operation,
    isTranslated: true,
    streamType: engine.conversation.streamType,
    encode(scan, facts, edits) {
      return encode(caller.conversation, engine.conversation, { remoteMedia }, scan, facts, edits);
    },
    tap(facts, requestBytes, context) {
      const { wantsUsage } = facts;
      return new TranslatedStream(
        engine.conversation.reader(),
        caller.conversation.writer({ ...context, wantsUsage }),
        requestBytes,
      );
    },
    readAnswer: (body, requestBytes, context) =>
      readAnswer(caller.conversation, engine.conversation, body, requestBytes, context),
    readError: (status, contentType, body, context) => readError(caller, engine, status, contentType, body, context),
  };
}

function encode(
  caller: ConversationDialect,
  engine: ConversationDialect,
  options: Required<TranslationOptions>,
  { bytes }: BodyScan,
  facts: RequestFacts,
  edits: TargetEdits,
): EncodedRequest {
  const tree: unknown = JSON.parse(bytes.toString("utf8"));
  if (!isJsonObject(tree)) throw new PosternError("body_not_json");
  for (const { name, to } of facts.clampedFields) clamp(tree, name, to);
  const conversation = caller.readRequest(tree, options);
  const written = engine.writeRequest(conversation, {
    model: edits.model,
    engineKind: edits.engineKind ?? ANY_ENGINE,
    asksUsage: edits.forceUsage,
  });
  return {
    body: Buffer.from(JSON.stringify(written)),
    removedFields: nameDropped(conversation.droppedFields, facts.removedFields),
  };
}

/** Puts a bound of the field policy into the tree. Names of nested members are joined by dots (`options.num_predict`). */
function clamp(tree: JsonObject, name: string, to: number): void {
  const path = name.split(".");
  const last = path.pop() ?? name;
  let holder: unknown = tree;
  for (const step of path) holder = isJsonObject(holder) && Object.hasOwn(holder, step) ? holder[step] : undefined;
  if (isJsonObject(holder) && Object.hasOwn(holder, last)) (holder as Record<string, unknown>)[last] = to;
}

const PLAIN_NAME = /^[A-Za-z0-9_.[\]-]{1,64}$/;

/** Names for a header: plain, not said before, bounded. */
function nameDropped(dropped: readonly string[], removed: readonly string[]): string[] {
  const names: string[] = [];
  for (const field of dropped) {
    const name = PLAIN_NAME.test(field) ? field : "?";
    if (names.length + removed.length >= MAX_NAMED_FIELDS) break;
    if (!removed.includes(name) && !names.includes(name)) names.push(name);
  }
  return names;
}

function readAnswer(
  caller: ConversationDialect,
  engine: ConversationDialect,
  body: Buffer,
  requestBytes: number,
  context: AnswerContext,
): WholeAnswer | null {
  const tree = parse(body);
  const answer = isJsonObject(tree) ? engine.readAnswer(tree) : null;
  if (answer === null) return null;
  const usage = answerUsage(answer, requestBytes);
  return { body: Buffer.from(JSON.stringify(caller.writeAnswer({ ...answer, usage }, context))), usage };
}

function readError(
  caller: TranslationEnd,
  engine: TranslationEnd,
  status: number,
  contentType: string,
  body: Buffer,
  context: AnswerContext,
): ErrorReply | null {
  if (!isPassableError(status, contentType, body)) return null;
  const tree = parse(body);
  if (tree === undefined) return null;
  const error = engine.conversation.readError(status, tree);
  if (error.kind === "auth") return null;
  return {
    status: callerStatus(error, caller.operation.family),
    body: Buffer.from(JSON.stringify(caller.conversation.writeError(error, context))),
  };
}

/** Anthropic's clients know 529 as "overloaded", all others 503 (reference: engine-apis §3.2). */
function callerStatus({ status, kind }: SaidError, family: Operation["family"]): number {
  if (kind === "overloaded" && (status === 503 || status === 529)) return family === "anthropic" ? 529 : 503;
  return status >= 400 && status <= 599 ? status : 502;
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    return undefined;
  }
}
