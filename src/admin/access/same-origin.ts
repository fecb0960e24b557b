import { timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { hashKey } from "../../access/key-format.ts";

/** Header that carries the token of the login; a page of another origin can neither know it nor send it unasked. */
const CSRF_HEADER = "x-postern-csrf";

/**
 * Whether a call that changes something comes from a page of ours, or from no browser at all.
 *
 * Browsers say it in `Sec-Fetch-Site`; older ones in `Origin`. Who sends neither is a program, and programs have no cookies
 * of somebody else.
 */
export function isFromOurPage(headers: IncomingHttpHeaders, isSecure: boolean): boolean {
  const site = headers["sec-fetch-site"];
  if (site !== undefined) return site === "same-origin";
  const { origin, host } = headers;
  return origin === undefined || origin === `${isSecure ? "https" : "http"}://${host}`;
}

/** Whether the call carries the login's token. Compared in constant time. */
export function hasCsrfToken(headers: IncomingHttpHeaders, expected: string): boolean {
  const given = headers[CSRF_HEADER];
  return typeof given === "string" && timingSafeEqual(hashKey(given), hashKey(expected));
}
