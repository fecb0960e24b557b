import { PosternError } from "../../errors.ts";
import type { Secret } from "../../lib/secret.ts";

/**
 * Name of the session's cookie. Over TLS with `__Host-`, so that no other host or path, and nobody on the wire, can put one
 * there; browsers refuse that prefix without TLS, where the listener is on loopback.
 */
function cookieName(isSecure: boolean): string {
  return isSecure ? "__Host-postern-session" : "postern-session";
}

/** The session's cookie of a request, not checked yet; null when there is none. @throws PosternError `bad_request` for two. */
export function readSessionCookie(header: string | undefined, isSecure: boolean): string | null {
  const start = `${cookieName(isSecure)}=`;
  const values = (header ?? "").split(";").flatMap((part) => {
    const text = part.trim();
    return text.startsWith(start) ? [text.slice(start.length)] : [];
  });
  if (values.length > 1)
    throw new PosternError("bad_request", { message: "The request has more than one session cookie" });
  return values[0] ?? null;
}

/** Value of `Set-Cookie`. @param value Null takes the cookie away. */
export function sessionCookie(value: Secret | null, lifeMs: number, isSecure: boolean): string {
  const seconds = value === null ? 0 : Math.floor(lifeMs / 1000);
  const attributes = `Path=/; HttpOnly; SameSite=Strict; Max-Age=${seconds}${isSecure ? "; Secure" : ""}`;
  return `${cookieName(isSecure)}=${value?.reveal() ?? ""}; ${attributes}`;
}
