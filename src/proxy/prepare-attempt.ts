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
  const { operation, scan, facts, formatFor } = source;
  let refusal: unknown = null;
  for (const target of targets) {
    const format = formatFor(operation.id, target.operations);
    if (format === null) continue;
    try {
      refuseTooLong(scan, target);
      const edits = { model: target.engineModel, forceUsage: facts.isStream, engineKind: target.engineKind };
      return { target, format, request: format.encode(scan, facts, edits) };
    } catch (error) {
      refusal = error;
    }
  }
  if (refusal !== null) throw refusal;
  return null;
}

/** Text has fewer tokens than that: a prompt that is too long by this measure is too long by every other. */
const MOST_BYTES_PER_TOKEN = 8;
/** What tells that a body holds more than text: media, whose bytes are no tokens. */
const MEDIA_MARKS = ["base64", '"image', '"images', '"data'];

/**
 * Refuses a prompt that is certainly longer than the model's window, where the engine would cut it in silence and answer
 * something else (Ollama; reference: engine-apis §1.1 "Context").
 *
 * @throws PosternError `context_length_exceeded`.
 */
function refuseTooLong({ bytes }: BodyScan, { contextLength, engineKind }: Target): void {
  if (engineKind !== "ollama" || contextLength === null) return;
  const atLeast = Math.floor(bytes.length / MOST_BYTES_PER_TOKEN);
  if (atLeast <= contextLength || MEDIA_MARKS.some((mark) => bytes.includes(mark))) return;
  throw new PosternError("context_length_exceeded", {
    message: `The prompt is too long: at least ${atLeast} tokens, and the model takes ${contextLength}`,
    param: "messages",
  });
}
