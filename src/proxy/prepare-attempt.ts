import type { AttemptFormat, EncodedRequest } from "../dialects/attempt-format.ts";
import type { RequestFacts } from "../dialects/dialect.ts";
import type { FormatFor } from "../dialects/formats.ts";
import type { Operation } from "../dialects/operations.ts";
import type { BodyScan } from "../lib/json-scan.ts";
import type { Target } from "./target.ts";

/** An attempt that can be sent: where to, in which words, and the body in them. */
export interface PreparedAttempt {
  target: Target;
  format: AttemptFormat;
  request: EncodedRequest;
}

/** What every attempt of one request is made from. */
export interface AttemptSource {
  operation: Operation;
  scan: BodyScan;
  facts: RequestFacts;
  formatFor: FormatFor;
}

/**
 * Makes the attempt at the first of the targets to which the request can be said: a target of another dialect may lack words
 * for it that the next one has.
 *
 * @param targets In the order of the plan, those that may be tried.
 * @returns Null when there are no targets.
 * @throws PosternError `untranslatable`, `body_invalid`, `field_refused`, with `param`: why the last of them could not be asked.
 */
export function prepareAttempt(source: AttemptSource, targets: Iterable<Target>): PreparedAttempt | null {
  const { scan, facts } = source;
  let refusal: unknown = null;
  for (const target of targets) {
    const edits = { model: target.engineModel, forceUsage: facts.isStream, engineKind: target.engineKind };
    for (const format of formatsFor(source, target)) {
      try {
        return { target, format, request: format.encode(scan, facts, edits) };
      } catch (error) {
        refusal = error;
      }
    }
  }
  if (refusal !== null) throw refusal;
  return null;
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
