import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { z } from "zod";

/** A key that signs assertions, and the one algorithm that it is used with. */
export interface SigningKey {
  algorithm: "RS256" | "ES256";
  key: KeyObject;
}

/** What an assertion must say. */
export interface Expected {
  /** `https://TEAM.cloudflareaccess.com`. */
  issuer: string;
  /** The audience tag of the Access application. */
  audience: string;
}

/** Longest assertion that is looked at. */
const MAX_LENGTH = 16 * 1024;
/** Most keys of a set that are taken. */
const MAX_KEYS = 32;
/** How far the clocks of both sides may be apart. */
const LEEWAY_S = 60;

const header = z.object({
  alg: z.enum(["RS256", "ES256"]),
  kid: z.string().min(1).max(256),
  crit: z.undefined().optional(),
});
const claims = z.object({
  iss: z.string(),
  aud: z.union([z.string(), z.array(z.string()).max(64)]),
  exp: z.number(),
  nbf: z.number().optional(),
});
const keySet = z.object({ keys: z.array(z.record(z.string(), z.unknown())).max(MAX_KEYS) });

/**
 * Checks an assertion of Cloudflare Access: a compact JWT, signed by one of the team's keys, for this application, now.
 *
 * The algorithm is the key's, never the token's choice.
 *
 * @param findKey The key of this id, or undefined.
 * @returns null when it holds; otherwise why not, in words for the log. Does not throw.
 * @see RFC 7519, RFC 8725 (best current practices)
 */
export function checkAssertion(
  assertion: string,
  expected: Expected,
  findKey: (kid: string) => SigningKey | undefined,
  nowMs: number,
): string | null {
  if (assertion.length > MAX_LENGTH) return "the assertion is too long";
  const match = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/.exec(assertion);
  if (match === null) return "the assertion is no signed token";
  const [, head = "", body = "", signature = ""] = match;
  const parsedHead = header.safeParse(decode(head));
  if (!parsedHead.success) return "the assertion's header is not one that is taken";
  const { alg, kid } = parsedHead.data;
  const key = findKey(kid);
  if (key === undefined) return "the assertion is signed with a key that is not known";
  if (key.algorithm !== alg) return "the assertion's algorithm is not its key's";
  if (!isSigned(`${head}.${body}`, signature, key)) return "the assertion's signature does not hold";
  const parsedClaims = claims.safeParse(decode(body));
  if (!parsedClaims.success) return "the assertion's claims cannot be read";
  const { iss, aud, exp, nbf } = parsedClaims.data;
  const nowS = nowMs / 1000;
  if (iss !== expected.issuer) return "the assertion is another team's";
  if (!(typeof aud === "string" ? [aud] : aud).includes(expected.audience))
    return "the assertion is for another application";
  if (exp <= nowS - LEEWAY_S) return "the assertion has expired";
  return nbf !== undefined && nbf > nowS + LEEWAY_S ? "the assertion is not valid yet" : null;
}

function isSigned(text: string, signature: string, { algorithm, key }: SigningKey): boolean {
  const bytes = Buffer.from(signature, "base64url");
  try {
    return verify("sha256", Buffer.from(text), algorithm === "RS256" ? key : { key, dsaEncoding: "ieee-p1363" }, bytes);
  } catch {
    return false;
  }
}

function decode(part: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(Buffer.from(part, "base64url")));
  } catch {
    return undefined;
  }
}

/**
 * Reads a key set (RFC 7517). Keys of other kinds, for other uses or too weak are passed over.
 *
 * @throws Error when the text is no key set or has no key that can be used.
 */
export function readKeySet(text: string): Map<string, SigningKey> {
  const set = keySet.parse(JSON.parse(text));
  const found = new Map<string, SigningKey>();
  for (const jwk of set.keys) {
    const { kid, use } = jwk;
    if (typeof kid !== "string" || (use !== undefined && use !== "sig")) continue;
    const key = readKey(jwk);
    if (key !== null) found.set(kid, key);
  }
  if (found.size === 0) throw new Error("it has no key that can be used");
  return found;
}

/** RSA from 2048 bits for RS256, P-256 for ES256. */
function readKey(jwk: Record<string, unknown>): SigningKey | null {
  try {
    const key = createPublicKey({ key: jwk, format: "jwk" });
    const { modulusLength, namedCurve } = key.asymmetricKeyDetails ?? {};
    if (key.asymmetricKeyType === "rsa" && (modulusLength ?? 0) >= 2048) return { algorithm: "RS256", key };
    if (key.asymmetricKeyType === "ec" && namedCurve === "prime256v1") return { algorithm: "ES256", key };
    return null;
  } catch {
    return null;
  }
}
