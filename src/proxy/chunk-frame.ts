/** Size line, its CRLF and the CRLF behind the data. A size fits 8 hex digits. */
const FRAME_BYTES = 12;
const CR = 13;
const LF = 10;
/** The last chunk and an empty trailer section: the clean end of a chunked body. */
const LAST_CHUNK = Buffer.from("0\r\n\r\n", "latin1");

/**
 * One chunk of a chunked body, in one piece.
 *
 * Node would send size, data and line ends as four pieces with a `writev`; on a stream of tokens that is a fifth of what a
 * token costs. `data` must not be empty: an empty chunk is the end.
 *
 * @see RFC 9112 §7.1
 */
export function frameChunk(data: Buffer): Buffer {
  const size = data.length.toString(16);
  const framed = Buffer.allocUnsafe(data.length + FRAME_BYTES);
  let at = framed.write(size, 0, "latin1");
  framed[at++] = CR;
  framed[at++] = LF;
  at += data.copy(framed, at);
  framed[at++] = CR;
  framed[at++] = LF;
  return framed.subarray(0, at);
}

/** The last data of a chunked body (may be empty) together with its clean end. */
export function frameEnd(data: Buffer): Buffer {
  return data.length === 0 ? LAST_CHUNK : Buffer.concat([frameChunk(data), LAST_CHUNK]);
}
