import { PosternError } from "../errors.ts";

/** Longest credential that is looked at; anything longer is no key of ours. */
export const MAX_CREDENTIAL_LENGTH = 512;

/**
 * The key a caller presents: `Authorization: Bearer`, else `x-api-key`, else `api-key` (Azure clients). Some clients send
 * two of them with different values; then Bearer wins. Other authorization schemes are no credential here.
 *
 * @param rawHeaders Names and values in turn, as `IncomingMessage.rawHeaders` has them. Node's parsed headers hide repeats.
 * @returns The credential, not yet checked, or null when there is none.
 * @throws PosternError `bad_request` when one of these headers comes twice: two parsers may each believe another one.
 */
export function readCredential(rawHeaders: readonly string[]): string | null {
  let authorization: string | null = null;
  let xApiKey: string | null = null;
  let apiKey: string | null = null;
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] as string;
    // Only names of these lengths can match; most headers are passed over without a copy.
    if (name.length !== 13 && name.length !== 9 && name.length !== 7) continue;
    const value = rawHeaders[at + 1] as string;
    switch (name.toLowerCase()) {
      case "authorization":
        authorization = once(authorization, value, name);
        break;
      case "x-api-key":
        xApiKey = once(xApiKey, value, name);
        break;
      case "api-key":
        apiKey = once(apiKey, value, name);
        break;
    }
  }
  const bearer = authorization === null ? null : BEARER.exec(authorization.slice(0, MAX_CREDENTIAL_LENGTH));
  const credential = bearer?.[1] ?? xApiKey?.trim() ?? apiKey?.trim() ?? "";
  return credential === "" ? null : credential.slice(0, MAX_CREDENTIAL_LENGTH);
}

/** The scheme is case-insensitive (RFC 9110 §11.1); the token is checked by who parses it. */
const BEARER = /^bearer +([^\s]+) *$/i;

function once(before: string | null, value: string, name: string): string {
  if (before !== null) {
    throw new PosternError("bad_request", { message: `The request has more than one ${name.toLowerCase()} header` });
  }
  return value;
}
