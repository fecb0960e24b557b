import { METHODS } from "node:http";
import { readFields } from "./fields.ts";

/** A request head as it was written: syntax and framing are judged, nothing else is. */
export interface RequestHead {
  method: string;
  /** As it came. */
  target: string;
  httpVersion: "1.0" | "1.1";
  /** Name in lower case, value without blanks around it, name, value, …, in their order. */
  rawHeaders: readonly string[];
  /** Null when the body is chunked or absent. */
  contentLength: number | null;
  isChunked: boolean;
  /** It has both `Upgrade` and a `Connection` that names it (RFC 9110 §7.8). */
  wantsUpgrade: boolean;
  /** The peer may send another request on the connection. */
  keepsAlive: boolean;
}

const REQUEST_LINE = /^[A-Z-]+ [\x21-\x7e]+ HTTP\/1\.[01]$/;
const VERSION_LENGTH = " HTTP/1.1".length;
/** Each by itself, so that a method is one of these texts and not a piece of its head. */
const KNOWN_METHODS: ReadonlyMap<string, string> = new Map(METHODS.map((method) => [method, method]));
const LENGTH_SYNTAX = /^[0-9]{1,15}$/;

/**
 * Reads a request head, strictly: what RFC 9112 lets a server repair is not repaired. Every line ends in CRLF, no line is folded,
 * and the length of the body is told in exactly one way.
 *
 * @param text The head as Latin-1, from the request line to the CRLF of its last line; without the empty line.
 * @returns Null where it is not HTTP/1 as it must be. What comes behind such a head has no beginning.
 * @see RFC 9112 §2.2, §3, §5, §6
 */
export function parseHead(text: string): RequestHead | null {
  const lineEnd = text.indexOf("\r\n");
  const line = text.slice(0, lineEnd);
  if (!REQUEST_LINE.test(line)) return null;
  const methodEnd = line.indexOf(" ");
  const method = KNOWN_METHODS.get(line.slice(0, methodEnd));
  const rawHeaders: string[] = [];
  if (method === undefined || !readFields(text, lineEnd + 2, rawHeaders)) return null;
  const isOld = line.endsWith("0");
  const head: RequestHead = {
    method,
    target: line.slice(methodEnd + 1, -VERSION_LENGTH),
    httpVersion: isOld ? "1.0" : "1.1",
    rawHeaders,
    contentLength: null,
    isChunked: false,
    wantsUpgrade: false,
    keepsAlive: !isOld,
  };
  return readFraming(head) ? head : null;
}

/** Whether a head that is not there whole can still become one; so that nobody waits for the rest of what never will. */
export function mayBecomeHead(text: string): boolean {
  const first = text.charCodeAt(0);
  // A CR alone is half of an empty line, which is passed over once it is whole.
  if (text !== "" && text !== "\r" && (first < 0x41 || first > 0x5a)) return false;
  if (/(?:^|[^\r])\n/.test(text)) return false;
  const lineEnd = text.indexOf("\r\n");
  return lineEnd === -1 || REQUEST_LINE.test(text.slice(0, lineEnd));
}

function readFraming(head: RequestHead): boolean {
  const { rawHeaders } = head;
  let length: string | null = null;
  let coding: string | null = null;
  let isUpgrade = false;
  let namesUpgrade = false;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const value = rawHeaders[at + 1] ?? "";
    switch (rawHeaders[at]) {
      case "content-length":
        if (length !== null) return false;
        length = value;
        break;
      case "transfer-encoding":
        if (coding !== null) return false;
        coding = value;
        break;
      case "upgrade":
        isUpgrade = true;
        break;
      case "connection":
        for (const option of value.toLowerCase().split(",")) {
          const word = option.trim();
          if (word === "close") head.keepsAlive = false;
          else if (word === "upgrade") namesUpgrade = true;
        }
    }
  }
  if (coding !== null && (length !== null || head.httpVersion === "1.0" || coding.toLowerCase() !== "chunked"))
    return false;
  if (length !== null && !LENGTH_SYNTAX.test(length)) return false;
  head.isChunked = coding !== null;
  head.contentLength = length === null ? null : Number(length);
  head.wantsUpgrade = isUpgrade && namesUpgrade && head.httpVersion === "1.1";
  return true;
}
