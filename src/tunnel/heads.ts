import type { ExchangeHeaders, ExchangeRequest } from "../lib/exchange.ts";
import { HEADER_PAIRS_LIMIT } from "./constants.ts";

/** The head of a request on the link. */
export interface RequestHead {
  method: string;
  path: string;
  headers: Record<string, string>;
  /** Length of the body; 0 without one. */
  bodyBytes: number;
}

/** The head of an answer on the link. */
export interface AnswerHead {
  status: number;
  headers: ExchangeHeaders;
}

const NAME = /^[a-z0-9!#$%&'*+.^_`|~-]{1,256}$/;
/** No control characters but tab: what follows may write the value into HTTP/1.1 (RFC 9110 §5.5). */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/** The payload of `open`. */
export function writeRequestHead({ method, path, headers, body }: ExchangeRequest): string {
  return JSON.stringify([method, path, headers, body === null ? 0 : body.length]);
}

/** The payload of `head`. */
export function writeAnswerHead(status: number, headers: ExchangeHeaders): string {
  return JSON.stringify([status, headers]);
}

/** Reads the payload of `open`; null when it is not one. Does not throw. */
export function readRequestHead(payload: Buffer): RequestHead | null {
  const value = parse(payload);
  if (!Array.isArray(value)) return null;
  const [method, path, headers, bodyBytes]: unknown[] = value;
  if (typeof method !== "string" || typeof path !== "string") return null;
  if (typeof bodyBytes !== "number" || !Number.isSafeInteger(bodyBytes) || bodyBytes < 0) return null;
  return isHeaders(headers) ? { method, path, headers, bodyBytes } : null;
}

/** Reads the payload of `head`; null when it is not an acceptable one: statuses are 200 to 599. Does not throw. */
export function readAnswerHead(payload: Buffer): AnswerHead | null {
  const value = parse(payload);
  if (!Array.isArray(value)) return null;
  const [status, headers]: unknown[] = value;
  if (typeof status !== "number" || !Number.isInteger(status) || status < 200 || status > 599) return null;
  return isHeaders(headers) ? { status, headers } : null;
}

function parse(payload: Buffer): unknown {
  try {
    return JSON.parse(payload.toString("utf8"));
  } catch {
    return null;
  }
}

function isHeaders(value: unknown): value is Record<string, string> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  let count = 0;
  for (const name in value) {
    const text: unknown = (value as Record<string, unknown>)[name];
    count += 1;
    if (count > HEADER_PAIRS_LIMIT || typeof text !== "string" || !NAME.test(name) || !VALUE.test(text)) return false;
  }
  return true;
}
