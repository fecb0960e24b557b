import type { IncomingMessage } from "node:http";
import { PosternError } from "../../errors.ts";

/** Largest request body. A prompt of that size would be far beyond any context. */
const MAX_BODY_BYTES = 16 * 1024 * 1024;

/**
 * Reads a request body as JSON.
 *
 * @throws PosternError `body_too_large` as soon as that is known, `body_encoding`, `body_not_json`.
 * @throws the socket's error when the caller leaves.
 */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  if (request.headers["content-encoding"] !== undefined) throw new PosternError("body_encoding");
  if (Number(request.headers["content-length"] ?? 0) > MAX_BODY_BYTES) throw new PosternError("body_too_large");
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > MAX_BODY_BYTES) throw new PosternError("body_too_large");
    chunks.push(chunk);
  }
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks)));
  } catch {
    // The parser's message quotes the body, which must not travel on an error.
    throw new PosternError("body_not_json");
  }
}
