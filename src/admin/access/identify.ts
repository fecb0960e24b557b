import type { IncomingMessage } from "node:http";
import type { FailureLimiter } from "../../access/failure-limiter.ts";
import { PosternError } from "../../errors.ts";
import type { Clock } from "../../lib/clock.ts";
import type { SessionRecord } from "../../storage/store.ts";
import { anonymousAt, type Caller } from "../caller.ts";
import type { AdminAccess } from "./access.ts";
import { readSessionCookie } from "./cookie.ts";
import { hasCsrfToken, isFromOurPage } from "./same-origin.ts";

/** What the admin listener knows callers by. */
export interface IdentifyParts {
  access: AdminAccess;
  clock: Clock;
  failures: FailureLimiter;
  /** The caller's address: the connection's, or what a trusted proxy says. */
  addressOf(request: IncomingMessage): string;
  /** Whether the caller's side of the connection is TLS, ours or a trusted proxy's. */
  isSecure(request: IncomingMessage): boolean;
  /** Writes down when a session was last used. */
  onTouched(session: SessionRecord): void;
}

const BEARER = /^bearer +(\S{1,512}) *$/i;
const SAFE_METHODS: readonly string[] = ["GET", "HEAD", "OPTIONS"];

/**
 * Makes the function that says who calls over the admin listener: a token, else a session, else nobody.
 *
 * It throws `unauthorized` for a credential that is not good and `too_many_failures` for the next ones from that address,
 * `forbidden` for a call that another site's page may have made, and `bad_request` for two credentials of one kind.
 */
export function createIdentify(parts: IdentifyParts): (request: IncomingMessage) => Caller {
  const { access, clock } = parts;
  return (request) => {
    const address = parts.addressOf(request);
    const isSecure = parts.isSecure(request);
    const isUnsafe = !SAFE_METHODS.includes(request.method ?? "");
    const authorization = onlyOne(request, "authorization");
    if (authorization !== null) {
      const [, token = ""] = BEARER.exec(authorization) ?? [];
      return access.book.identifyToken(token, address, clock.nowMs()) ?? refuse(parts, address);
    }
    // A page of another site cannot log somebody in either: with the attacker's account they would work for the attacker.
    if (isUnsafe && !isFromOurPage(request.headers, isSecure)) throw crossSite();
    const cookie = readSessionCookie(onlyOne(request, "cookie") ?? undefined, isSecure);
    if (cookie === null) return anonymousAt(address);
    const caller = access.book.identifySession(cookie, address, clock.nowMs(), parts.onTouched);
    // A login that has ended is no attack: the page asks its user to log in again.
    if (caller === null) return anonymousAt(address);
    if (isUnsafe && !hasCsrfToken(request.headers, caller.session?.csrfToken ?? "")) throw crossSite();
    return caller;
  };
}

function refuse({ failures, clock }: IdentifyParts, address: string): never {
  const retryAfterSeconds = failures.recordFailure(address, clock.monotonicMs());
  if (retryAfterSeconds !== null) throw new PosternError("too_many_failures", { retryAfterSeconds });
  throw new PosternError("unauthorized", { message: "The token is not valid" });
}

function crossSite(): PosternError {
  return new PosternError("forbidden", {
    message: "The call may come from another site's page",
    hint: "Send the login's token as X-Postern-Csrf (GET /admin/v1/session has it), from a page of this address.",
  });
}

/** Judged on the raw headers: Node drops a second `Authorization` and joins cookies. */
function onlyOne(request: IncomingMessage, name: string): string | null {
  const values = request.rawHeaders.filter((_, at, raw) => at % 2 === 1 && raw[at - 1]?.toLowerCase() === name);
  if (values.length > 1)
    throw new PosternError("bad_request", { message: `The request has more than one ${name} header` });
  return values[0] ?? null;
}
