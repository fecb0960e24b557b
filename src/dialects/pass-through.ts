import type { AttemptFormat } from "./attempt-format.ts";
import type { DialectCodec } from "./dialect.ts";
import type { Operation } from "./operations.ts";

/**
 * The format of an attempt whose target speaks the caller's own dialect: bytes go through, edited only by splices.
 *
 * @param operation Of the caller and of the target alike.
 */
export function passThrough(operation: Operation, codec: DialectCodec): AttemptFormat {
  return {
    operation,
    isTranslated: false,
    streamType: streamTypeOf(operation),
    encode(scan, facts, edits) {
      const body = codec.rewrite(scan, facts, edits);
      const encoded = { body, removedFields: [] };
      return codec.bodyType === undefined ? encoded : { ...encoded, contentType: codec.bodyType(body) };
    },
    ...(codec.answerType === undefined ? {} : { answerType: codec.answerType }),
    tap: (facts, requestBytes) => codec.tap(facts, requestBytes),
    readAnswer(body, requestBytes, _context, contentType) {
      const usage = codec.readAnswer(body, requestBytes, contentType);
      return usage === null ? null : { body: codec.adaptAnswer?.(body) ?? body, usage };
    },
    readError(status, contentType, body) {
      if (!isPassableError(status, contentType, body)) return null;
      return codec.adaptError?.(status, body) ?? { status, body };
    },
  };
}

/**
 * Whether an engine's error may be told in its own words. Its author is the one whom they help; but what is not JSON is no
 * dialect's error, and a refused key is the agent's own, of which the caller knows nothing.
 */
export function isPassableError(status: number, contentType: string, body: Buffer): boolean {
  return status !== 401 && status !== 403 && contentType.startsWith("application/json") && body.length > 0;
}

/** What a stream of the operation declares: `application/x-ndjson` for Ollama's own, else `text/event-stream`. */
export function streamTypeOf(operation: Pick<Operation, "family">): string {
  return operation.family === "ollama" ? "application/x-ndjson" : "text/event-stream";
}
