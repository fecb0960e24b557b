import { errorAnswer, type Family } from "../dialects/error-body.ts";
import type { PosternError } from "../errors.ts";
import type { HttpRequest } from "../http1/request.ts";
import type { HttpResponse } from "../http1/response.ts";

/** A request body up to this size is read to its end and dropped after a refusal, so that the connection can be kept. */
const DROPPED_BODY_BYTES = 256 * 1024;

/**
 * What is read and dropped of a longer body, at most, before the connection is closed: whoever is still writing when it closes
 * gets a broken connection instead of the answer, and tries again.
 */
const LINGER_BYTES = 64 * 1024 * 1024;
const LINGER_MS = 5_000;

/** Refusals after which nothing more that comes on the connection can be trusted to be where a request begins. */
const CLOSING: ReadonlySet<string> = new Set([
  "bad_request",
  "bad_host",
  "bad_target",
  "key_in_query",
  "headers_too_large",
  "request_timeout",
  "body_too_large",
]);

/**
 * Answers with an error in the dialect of the path. Does nothing when an answer has begun.
 *
 * @param declaredBytes Length of a body that may not have been read; null when it is chunked.
 * @param further Headers beside the error's own: name, value, name, value, ….
 */
export function refuse(
  request: HttpRequest,
  response: HttpResponse,
  error: PosternError,
  family: Family,
  requestId: string,
  declaredBytes: number | null,
  further: readonly string[] = [],
): void {
  if (response.headersSent || response.destroyed) return;
  const { status, body, headers } = errorAnswer(family, error, requestId);
  const isBodyLeft = !request.complete && (declaredBytes === null || declaredBytes > DROPPED_BODY_BYTES);
  const out = ["Content-Length", String(body.length), "X-Request-Id", requestId, "Request-Id", requestId, ...further];
  for (const name in headers) {
    const value = headers[name];
    if (value !== undefined) out.push(name, value);
  }
  if (isBodyLeft || CLOSING.has(error.code)) response.shouldKeepAlive = false;
  response.writeHead(status, out);
  if (isBodyLeft) linger(request, response, body);
  else response.end(body);
}

/** Sends the answer, and ends it, with the connection, once the caller has stopped writing or has written too much. */
function linger(request: HttpRequest, response: HttpResponse, body: Buffer): void {
  let droppedBytes = 0;
  const timer = setTimeout(finish, LINGER_MS);
  timer.unref();
  function finish(): void {
    clearTimeout(timer);
    request.drop();
    response.end();
  }
  function onData(chunk: Buffer): void {
    droppedBytes += chunk.length;
    if (droppedBytes > LINGER_BYTES) finish();
  }
  response.write(body);
  request.read({ onData, onEnd: finish, onClose: finish });
}
