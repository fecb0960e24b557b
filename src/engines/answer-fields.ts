import { readFields } from "../http1/fields.ts";

/** Head of an HTTP/1.1 answer, as it was written. */
export interface AnswerFields {
  status: number;
  /** Names in lower case, each before its value, in the order in which they came, repeated ones too. */
  fields: readonly string[];
  /** How the body is framed: by a length, by chunks (-1), or by the end of the connection (-2). */
  bodyBytes: number;
  /** Whether the connection may carry another exchange after this one. */
  isKept: boolean;
  /** How long the far side keeps the connection when idle (`Keep-Alive: timeout`), in milliseconds; null where it does not say. */
  keepAliveMs: number | null;
}

/** `bodyBytes` of a body in chunks. */
export const CHUNKED = -1;
/** `bodyBytes` of a body that ends with its connection. */
export const TO_THE_END = -2;

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?$/;
const LENGTH = /^[0-9]{1,15}$/;

/** Answers that end with their head (RFC 9112 §6.3). */
const isWithoutBody = (status: number) => status < 200 || status === 204 || status === 304;

/**
 * Reads the head of an answer, to the CRLF of its last line, without the empty one. One character is one byte.
 *
 * Stricter than RFC 9112 asks of a client: lines end with CR LF, no line is folded, there is one length or one
 * `Transfer-Encoding: chunked` or neither, never both. What is refused here would be read differently by somebody else.
 *
 * @returns The head, or what is wrong with it, in words for the log.
 */
export function readAnswerFields(text: string): AnswerFields | string {
  const end = text.indexOf("\r\n");
  const line = STATUS_LINE.exec(text.slice(0, end));
  if (line === null) return "no status line of HTTP/1.1";
  const status = Number(line[2]);
  const fields: string[] = [];
  if (!readFields(text, end + 2, fields)) return "an odd header";
  let length: string | null = null;
  let isChunked = false;
  let isKept = line[1] === "1";
  let keepAliveMs: number | null = null;
  for (let at = 0; at < fields.length; at += 2) {
    const lower = fields[at];
    const value = fields[at + 1] ?? "";
    if (lower === "content-length") {
      if (length !== null || !LENGTH.test(value)) return "more than one length, or an odd one";
      length = value;
    } else if (lower === "transfer-encoding") {
      if (isChunked || value.toLowerCase() !== "chunked") return "a transfer encoding other than chunked";
      isChunked = true;
    } else if (lower === "connection") {
      const words = value.toLowerCase();
      if (/(^|[\s,])close([\s,]|$)/.test(words)) isKept = false;
      else if (/(^|[\s,])keep-alive([\s,]|$)/.test(words)) isKept = true;
    } else if (lower === "keep-alive") {
      const seconds = /(?:^|[\s,])timeout=([0-9]{1,6})/i.exec(value);
      if (seconds !== null) keepAliveMs = Number(seconds[1]) * 1000;
    }
  }
  if (isChunked && (length !== null || line[1] === "0")) return "a length and chunks, or chunks in HTTP/1.0";
  let bodyBytes = isChunked ? CHUNKED : length === null ? TO_THE_END : Number(length);
  if (isWithoutBody(status)) bodyBytes = 0;
  return { status, fields, bodyBytes, isKept: isKept && bodyBytes !== TO_THE_END, keepAliveMs };
}
