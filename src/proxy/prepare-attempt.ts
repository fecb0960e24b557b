import type { AnthropicHeaders } from "../dialects/anthropic/headers.ts";
import type { AttemptFormat, EncodedRequest } from "../dialects/attempt-format.ts";
import type { RequestFacts } from "../dialects/dialect.ts";
import type { FormatFor } from "../dialects/formats.ts";
import type { Operation } from "../dialects/operations.ts";
import { PosternError } from "../errors.ts";
import type { BodyScan } from "../lib/json-scan.ts";
import type { Target } from "./target.ts";

/** An attempt that can be sent: where to, in which words, and the body in them. */
export interface PreparedAttempt {
  target: Target;
  format: AttemptFormat;
  request: EncodedRequest;
  /** The stream is asked for its usage although the caller did not ask for it. */
  isUsageForced: boolean;
  /** Of the caller's own dialect, for a provider that speaks it too; values are the caller's and not judged yet. */
  headers: Readonly<Record<string, string>>;
  /** See `ExchangeRequest.maxCostMicros`. Zero on a node. */
  maxCostMicros: number | null;
  /** It leaves out what the one before it was refused for: the stream is not asked for its usage. */
  isUsageLeftOut?: boolean;
}

/** What every attempt of one request is made from. */
export interface AttemptSource {
  operation: Operation;
  scan: BodyScan;
  facts: RequestFacts;
  formatFor: FormatFor;
  /** What the caller said in headers of Anthropic's dialect. */
  anthropic: AnthropicHeaders;
  /** What the request may cost at most at a target, in micro-dollars; null: it has no price. Asked for providers. */
  mostMicros(target: Target): number | null;
}

/**
 * Makes the attempt at the first of the targets to which the request can be said: a target of another dialect may lack words
 * for it that the next one has.
 *
 * @param targets In the order of the plan, those that may be tried.
 * @param asksUsage Whether a stream may be asked for its usage; some servers refuse that. Default true.
 * @returns Null when there are no targets.
 * @throws PosternError `untranslatable`, `body_invalid`, `field_refused`, with `param`, `body_too_large`: why the last of them
 *   could not be asked.
 */
export function prepareAttempt(
  source: AttemptSource,
  targets: Iterable<Target>,
  asksUsage = true,
): PreparedAttempt | null {
  const { scan, facts } = source;
  let refusal: unknown = null;
  // What one target could not be told, others of its kind cannot either; each try would cost as much as the first.
  const failed = new Set<string>();
  for (const target of targets) {
    const forceUsage = facts.isStream && asksUsage && !target.isUsageRefused;
    const edits = { model: target.engineModel, forceUsage, engineKind: target.engineKind };
    for (const format of formatsFor(source, target)) {
      const way = `${format.operation.id} ${target.engineKind}`;
      if (failed.has(way)) continue;
      try {
        if (format.isTranslated) refuseTooMuchWork(scan);
        const isUsageForced = forceUsage && (format.isTranslated || !facts.wantsUsage);
        const headers = headersFor(source, target, format);
        const maxCostMicros = target.backend.kind === "provider" ? source.mostMicros(target) : 0;
        return { target, format, request: format.encode(scan, facts, edits), isUsageForced, headers, maxCostMicros };
      } catch (error) {
        refusal = error;
        failed.add(way);
      }
    }
  }
  if (refusal !== null) throw refusal;
  return null;
}

const NO_HEADERS = {};

/** An engine of a node gets no header of a caller; the agent would drop them. */
function headersFor({ anthropic }: AttemptSource, { backend }: Target, format: AttemptFormat): Record<string, string> {
  if (backend.kind !== "provider" || format.isTranslated || format.operation.family !== "anthropic") return NO_HEADERS;
  return {
    ...(anthropic.version === null ? {} : { "anthropic-version": anthropic.version }),
    ...(anthropic.beta === null ? {} : { "anthropic-beta": anthropic.beta }),
  };
}

/**
 * Most work of one translation. A byte counts as one; a value and an escape count as what they cost beyond their bytes when a
 * tree is made of the body and written again. Measured: this much takes about 60 ms of one core, during which nothing else moves.
 */
export const MAX_TRANSLATED_WORK = 12 * 1024 * 1024;
const WORK_PER_VALUE = 128;
const WORK_PER_ESCAPE = 2;

function refuseTooMuchWork({ bytes, values, escapes }: BodyScan): void {
  if (bytes.length + values * WORK_PER_VALUE + escapes * WORK_PER_ESCAPE <= MAX_TRANSLATED_WORK) return;
  throw new PosternError("body_too_large", {
    message: "The model's server speaks another dialect, and the request body is too large to be translated for it",
  });
}

/** Text never has more tokens than a byte each, and seldom fewer than one for four. A prompt beyond this may be too long. */
const LEAST_BYTES_PER_TOKEN = 2;
/** Window of a model of which Ollama says none, because it is not loaded: its default on small machines. */
const ASSUMED_WINDOW = 4096;

/**
 * The formats to try, the best first: native where the engine has the operation, else translated; with one exception. Ollama
 * cuts a prompt that is too long in silence, and only its own chat can be told not to (`truncate: false`, which translations
 * send). A prompt that may be too long goes that way if it can be said so, and the engine's own tokenizer decides (reference:
 * engine-apis §1.1 "Context").
 */
function formatsFor({ operation, scan, formatFor }: AttemptSource, target: Target): AttemptFormat[] {
  const format = formatFor(operation.id, target.operations);
  if (format === null) return [];
  const isOwnWay = target.engineKind !== "ollama" || format.isTranslated || operation.family === "ollama";
  const window = target.contextLength ?? ASSUMED_WINDOW;
  if (isOwnWay || scan.bytes.length <= window * LEAST_BYTES_PER_TOKEN || !target.operations.has(OWN_CHAT))
    return [format];
  const judged = formatFor(operation.id, ONLY_OWN_CHAT);
  return judged === null ? [format] : [judged, format];
}

const OWN_CHAT = "ollama.chat";
const ONLY_OWN_CHAT: ReadonlySet<string> = new Set([OWN_CHAT]);
