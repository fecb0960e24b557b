import { DEFAULT_LIMITS } from "../config/defaults.ts";
import { PosternError } from "../errors.ts";
import type { HttpRequest } from "../http1/request.ts";
import type { BodyCoding } from "./decode-body.ts";

/** What the pipeline needs of a caller's request head, read once from the raw headers. */
export interface CallerHead {
  /** Lower case, without port. */
  host: string;
  /** Null when the body is chunked or absent. */
  contentLength: number | null;
  hasBody: boolean;
  /** `X-Postern-Node`. */
  node: string | null;
  /** `X-Postern-Policy: local-only`. */
  isLocalOnly: boolean;
  /** `X-Postern-Session`, or what a known client calls its conversation; for affinity. */
  session: string | null;
  /** Whether `anthropic-version` says that the caller speaks Anthropic's dialect. */
  isAnthropic: boolean;
  /** What goes on to Anthropic itself, and to nobody else. Null where it is not said. */
  anthropic: { version: string | null; beta: string | null };
  /** How the body is compressed; null where it is not. */
  coding: BodyCoding | null;
  /** The caller sends its body only when it is told to go on: curl does so from 1 MiB (RFC 9110 §10.1.1). */
  expectsContinue: boolean;
  /** Whether there is a header that may hold a key, good or not. */
  hasCredential: boolean;
}

type RawRequest = Pick<HttpRequest, "method" | "httpVersion" | "rawHeaders" | "contentLength" | "hasBody">;

const HOST_SYNTAX = /^(?:\[[0-9a-f:.]{2,45}\]|[a-z0-9](?:[a-z0-9._-]{0,252}[a-z0-9])?)(?::([0-9]{1,5}))?$/;
const NAME_SYNTAX = /^[\x21-\x7e]{1,128}$/;

/**
 * Judges a request head on its fields as they came (DESIGN §7); how its body is framed has been judged before (http1/request-head.ts).
 * The `Content-Type` is not looked at: the body is scanned as JSON in UTF-8 whatever it claims to be.
 *
 * @throws PosternError `bad_request`, `bad_host`, `headers_too_large`, `body_encoding`. After the first three the connection must be closed.
 * @see RFC 9112 §3.2
 */
export function readHead(request: RawRequest, maxHeaders = DEFAULT_LIMITS.headerCount): CallerHead {
  if (request.httpVersion !== "1.1") throw bad("only HTTP/1.1 is served");
  const raw = request.rawHeaders;
  if (raw.length > 2 * maxHeaders)
    throw new PosternError("headers_too_large", { message: `More than ${maxHeaders} headers` });
  let host: string | null = null;
  let chat: string | null = null;
  const head: CallerHead = {
    host: "",
    contentLength: request.contentLength,
    hasBody: request.hasBody,
    node: null,
    isLocalOnly: false,
    session: null,
    isAnthropic: false,
    anthropic: { version: null, beta: null },
    coding: null,
    expectsContinue: false,
    hasCredential: false,
  };
  for (let index = 0; index < raw.length; index += 2) {
    const value = raw[index + 1] ?? "";
    switch (raw[index]) {
      case "host":
        if (host !== null) throw bad("two Host headers");
        host = value;
        break;
      case "content-encoding":
        if (head.coding !== null) throw new PosternError("body_encoding");
        head.coding = readCoding(value.toLowerCase());
        break;
      case "anthropic-version":
        head.isAnthropic = true;
        head.anthropic.version = value;
        break;
      case "anthropic-beta":
        head.anthropic.beta = head.anthropic.beta === null ? value : `${head.anthropic.beta},${value}`;
        break;
      case "authorization":
      case "x-api-key":
      case "api-key":
        head.hasCredential = true;
        break;
      case "expect":
        if (head.expectsContinue || value.toLowerCase() !== "100-continue") throw bad("Expect knows only 100-continue");
        head.expectsContinue = true;
        break;
      case "upgrade":
        throw bad("Upgrade is not served here");
      case "x-postern-node":
        if (head.node !== null || !NAME_SYNTAX.test(value)) throw bad("X-Postern-Node must be one node's name");
        head.node = value;
        break;
      case "x-postern-policy":
        if (value !== "local-only") throw bad('X-Postern-Policy knows only "local-only"');
        head.isLocalOnly = true;
        break;
      case "x-postern-session":
        if (NAME_SYNTAX.test(value)) head.session = value;
        break;
      // What clients call a conversation of theirs, for affinity where the caller says nothing itself; never for anything else.
      case "x-openwebui-chat-id":
      case "x-claude-code-session-id":
        if (NAME_SYNTAX.test(value)) chat ??= value;
        break;
    }
  }
  head.session ??= chat;
  head.host = checkHost(host);
  if (head.hasBody && request.method !== "POST") throw bad(`${request.method} with a body`);
  return head;
}

/** Several codings on top of each other are not served: nobody sends them but to hide something. */
function readCoding(coding: string): BodyCoding | null {
  if (coding === "identity") return null;
  if (coding === "zstd" || coding === "gzip") return coding;
  throw new PosternError("body_encoding");
}

function checkHost(host: string | null): string {
  if (host === null) throw bad("no Host header");
  const lower = host.toLowerCase();
  const match = HOST_SYNTAX.exec(lower);
  if (match === null || Number(match[1] ?? 0) > 65_535) throw bad("the Host header is malformed");
  return match[1] === undefined ? lower : lower.slice(0, lower.length - match[1].length - 1);
}

function bad(rule: string): PosternError {
  return new PosternError("bad_request", { message: `Cannot read the request: ${rule}` });
}
