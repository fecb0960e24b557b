import type { Logger } from "pino";
import { readCredential } from "../access/credentials.ts";
import { parseKey } from "../access/key-format.ts";
import { familyOf } from "../dialects/classify.ts";
import { PosternError, toPosternError } from "../errors.ts";
import type { HttpRequest } from "../http1/request.ts";
import type { HttpResponse } from "../http1/response.ts";
import { readHead } from "../proxy/head.ts";
import { refuse } from "../proxy/refuse.ts";
import { type Challenges, HTTP_CHALLENGE_PREFIX } from "./acme/challenges.ts";

/** A target that may stand in a `Location`: ours to begin with, and nothing in it that a browser would rewrite. */
const PLAIN_TARGET = /^\/(?!\/)[\x21-\x5b\x5d-\x7e]*$/;
/** A key of ours anywhere in the target; only its public id is ever looked at. */
const KEY_IN_TARGET = /pst_[0-9A-Za-z]{12}_[0-9A-Za-z]{43}/;

export interface PlainRequestsParts {
  challenges: Challenges;
  /** Whether a host (lower case, without port) is one that is served here. */
  isOurs(host: string, localAddress: string | undefined): boolean;
  /** Whether an endpoint has that host to itself. */
  isEndpointHost(host: string): boolean;
  /** Origin that browsers are sent to, or null: the same host on the port of the TLS listener. */
  publicUrl: string | null;
  tlsPort(): number;
  addressOf(request: HttpRequest): string;
  newId(): string;
  log: Logger;
}

/**
 * Requests on the listener without TLS, and those of which a declared proxy says that they came to it without. Nothing is served there: ACME's questions are answered, browsers are sent to https, and
 * whatever carries a key is refused with the advice to replace it, because everybody on the way could read it (S4-07, E39).
 */
export function createPlainRequests(parts: PlainRequestsParts) {
  return function onPlainRequest(request: HttpRequest, response: HttpResponse): void {
    try {
      answer(parts, request, response);
    } catch (thrown) {
      const error = toPosternError(thrown);
      // Whether a body comes is of no interest: nothing more is read here.
      response.shouldKeepAlive = false;
      refuse(request, response, error, familyOf(request.url), parts.newId(), null);
    }
  };
}

function answer(parts: PlainRequestsParts, request: HttpRequest, response: HttpResponse): void {
  const target = request.url;
  const head = readHead(request);
  const proof = request.method === "GET" ? parts.challenges.textFor(target) : null;
  if (proof !== null) return sendText(response, 200, proof);
  // An authority's question that nobody waits for, or somebody who tries one.
  if (target.startsWith(HTTP_CHALLENGE_PREFIX)) throw new PosternError("unknown_operation");
  const inTarget = KEY_IN_TARGET.exec(target)?.[0] ?? null;
  if (head.hasCredential || inTarget !== null) {
    const key = parseKey(readCredential(request.rawHeaders) ?? inTarget ?? "")?.id ?? null;
    parts.log.warn({ key, from: parts.addressOf(request) }, "a key came over a connection without TLS: replace it");
    throw new PosternError("key_exposed");
  }
  if (request.method !== "GET" && request.method !== "HEAD") throw new PosternError("tls_required");
  if (!parts.isOurs(head.host, request.socket.localAddress)) throw new PosternError("bad_host");
  if (!PLAIN_TARGET.test(target)) throw new PosternError("bad_target");
  const port = parts.publicUrl === null ? String(parts.tlsPort()) : new URL(parts.publicUrl).port;
  const here = `https://${head.host}${port === "" || port === "443" ? "" : `:${port}`}`;
  const origin = parts.isEndpointHost(head.host) ? here : (parts.publicUrl ?? here);
  response.shouldKeepAlive = false;
  response.writeHead(308, ["Location", `${origin}${target}`, "Content-Length", "0"]);
  response.end();
}

function sendText(response: HttpResponse, status: number, text: string): void {
  const body = Buffer.from(text);
  response.shouldKeepAlive = false;
  response.writeHead(status, [
    "Content-Type",
    "text/plain",
    "Content-Length",
    String(body.length),
    "Cache-Control",
    "no-store",
  ]);
  response.end(body);
}
