import { hash, timingSafeEqual } from "node:crypto";
import { hashKey, parseAdminSecret } from "../../access/key-format.ts";
import { parsePolicy } from "../../access/policy.ts";
import type { SessionRecord, Store, TokenRecord, UserRecord } from "../../storage/store.ts";
import { type Caller, labelOf } from "../caller.ts";
import { ROLES, type Role, SCOPES, type Scope } from "./role.ts";

/** A login without a call for this long is over. */
const SESSION_IDLE_MS = 60 * 60_000;
/** How often a session's last use is written down, at most. */
const TOUCH_EVERY_MS = 60_000;
/** Characters of base62 in a session's cookie: 256 bits. */
export const COOKIE_LENGTH = 43;
const COOKIE_FORM = new RegExp(`^[0-9A-Za-z]{${COOKIE_LENGTH}}$`);

/**
 * Tokens, users and sessions of the admin API, in memory: knowing a caller touches no database.
 *
 * The store stays the truth; whoever changes it tells this afterwards. What a credential is doing when it ends is told at once.
 */
export class AccessBook {
  readonly #tokens = new Map<string, TokenRecord>();
  readonly #users = new Map<string, UserRecord>();
  /** By SHA-256 of the cookie's value, in hex: finding one tells nothing about the value. */
  readonly #sessions = new Map<string, SessionRecord>();
  /** Calls under way by the credential that they came with. */
  readonly #watchers = new Map<string, Array<() => void>>();

  /** Reads everything from the store. Rejects with `store_*` codes. */
  async load(store: Pick<Store, "tokens" | "users" | "sessions">): Promise<void> {
    const [tokens, users, sessions] = await Promise.all([
      store.tokens.list(),
      store.users.list(),
      store.sessions.list(),
    ]);
    for (const token of tokens) this.putToken(token);
    for (const user of users) this.#users.set(user.id, user);
    for (const session of sessions) this.putSession(session);
  }

  /** Whose token this is; null for whatever reason it is not good. An unknown id costs the same as a wrong secret. */
  identifyToken(presented: string, address: string, nowMs: number): Caller | null {
    const parsed = parseAdminSecret("psta_", presented);
    if (parsed === null) return null;
    const token = this.#tokens.get(parsed.id);
    const isSame = timingSafeEqual(hashKey(presented), token?.hash ?? NOBODY);
    if (token === undefined || !isSame || !isGood(token, nowMs)) return null;
    const grant = readGrant(token.role, token.scopes);
    if (grant === null) return null;
    const { id, name, expiresAtMs } = token;
    const ceiling = token.ceiling === null ? null : parsePolicy(token.ceiling);
    // A ceiling that this version cannot read is no reason to have none.
    if (ceiling === null && token.ceiling !== null) return null;
    return { kind: "token", id, name, address, ...grant, expiresAtMs, ceiling, session: null };
  }

  /** Whose session this is, or null. @param onTouched Called when its last use should be written down. */
  identifySession(
    presented: string,
    address: string,
    nowMs: number,
    onTouched: (session: SessionRecord) => void,
  ): Caller | null {
    if (!COOKIE_FORM.test(presented)) return null;
    const session = this.#sessions.get(hash("sha256", presented));
    const user = session === undefined ? undefined : this.#users.get(session.userId);
    if (session === undefined || user === undefined || !isAlive(session, nowMs)) return null;
    const grant = readGrant(user.role, null);
    if (grant === null) return null;
    const isDue = nowMs - session.lastSeenAtMs >= TOUCH_EVERY_MS;
    if (isDue) {
      session.lastSeenAtMs = nowMs;
      onTouched(session);
    }
    const { id, expiresAtMs } = session;
    return {
      kind: "user",
      id: user.id,
      name: user.name,
      address,
      ...grant,
      expiresAtMs: null,
      ceiling: null,
      session: { id, csrfToken: csrfTokenOf(presented), expiresAtMs },
    };
  }

  /** Calls `onEnded` once when the caller's credential ends. @returns Stops watching. Idempotent. */
  watch(caller: Caller, onEnded: () => void): () => void {
    const credential = credentialOf(caller);
    if (credential === null) return () => {};
    this.#watchers.set(credential, [...(this.#watchers.get(credential) ?? []), onEnded]);
    return () => {
      const left = (this.#watchers.get(credential) ?? []).filter((one) => one !== onEnded);
      if (left.length > 0) this.#watchers.set(credential, left);
      else this.#watchers.delete(credential);
    };
  }

  /** How many watch. For leak checks. */
  get watching(): number {
    return [...this.#watchers.values()].reduce((sum, watchers) => sum + watchers.length, 0);
  }

  /** Whether the caller's credential is still good, for what took a while. */
  isCurrent(caller: Caller, nowMs: number): boolean {
    if (caller.kind === "token") {
      const token = this.#tokens.get(caller.id ?? "");
      return token !== undefined && isGood(token, nowMs);
    }
    return caller.session === null || this.sessions(nowMs).some(({ id }) => id === caller.session?.id);
  }

  tokens(): TokenRecord[] {
    return [...this.#tokens.values()];
  }

  users(): UserRecord[] {
    return [...this.#users.values()];
  }

  /** Sessions that are alive. */
  sessions(nowMs: number): SessionRecord[] {
    return [...this.#sessions.values()].filter((session) => isAlive(session, nowMs));
  }

  /** Sessions that are over but still remembered. */
  deadSessions(nowMs: number): SessionRecord[] {
    return [...this.#sessions.values()].filter((session) => !isAlive(session, nowMs));
  }

  /** Tokens that are good and were made by one of these callers, or by one of those tokens, and so on. */
  madeBy(labels: readonly string[], nowMs: number): TokenRecord[] {
    const found = new Map<string, TokenRecord>();
    const parents = [...labels];
    for (let label = parents.pop(); label !== undefined; label = parents.pop()) {
      for (const token of this.#tokens.values()) {
        if (token.createdBy !== label || found.has(token.id) || !isGood(token, nowMs)) continue;
        found.set(token.id, token);
        parents.push(labelOf({ kind: "token", id: token.id, name: token.name }));
      }
    }
    return [...found.values()];
  }

  /** Adds or replaces a token; calls of one that has ended are ended. */
  putToken(token: TokenRecord): void {
    if (token.hash.byteLength !== NOBODY.byteLength)
      throw new RangeError(`token ${token.id}: its hash must be 32 bytes`);
    this.#tokens.set(token.id, token);
    if (token.revokedAtMs !== null) this.#end(`token ${token.id}`);
  }

  putUser(user: UserRecord): void {
    this.#users.set(user.id, user);
  }

  /** Forgets a user with all sessions. */
  removeUser(id: string): void {
    this.#users.delete(id);
    this.endSessions((session) => session.userId === id);
  }

  putSession(session: SessionRecord): void {
    this.#sessions.set(Buffer.from(session.hash).toString("hex"), session);
  }

  /** Forgets sessions, and ends their calls. */
  endSessions(isMeant: (session: SessionRecord) => boolean): void {
    for (const [key, session] of [...this.#sessions]) {
      if (!isMeant(session)) continue;
      this.#sessions.delete(key);
      this.#end(`session ${session.id}`);
    }
  }

  #end(credential: string): void {
    const watchers = this.#watchers.get(credential) ?? [];
    this.#watchers.delete(credential);
    for (const onEnded of watchers) onEnded();
  }
}

/** What an unknown id is compared with. No token has this hash. */
const NOBODY = new Uint8Array(32);

function isGood(token: TokenRecord, nowMs: number): boolean {
  return token.revokedAtMs === null && (token.expiresAtMs === null || token.expiresAtMs > nowMs);
}

function isAlive(session: SessionRecord, nowMs: number): boolean {
  return session.expiresAtMs > nowMs && session.lastSeenAtMs + SESSION_IDLE_MS > nowMs;
}

/** What a row grants. A word that this version does not know grants nothing: a newer one may mean less by it. */
function readGrant(role: string, scopes: readonly string[] | null): { role: Role; scopes: Scope[] | null } | null {
  const known = ROLES.find((one) => one === role);
  if (known === undefined) return null;
  return { role: known, scopes: scopes === null ? null : SCOPES.filter((scope) => scopes.includes(scope)) };
}

function credentialOf({ kind, id, session }: Caller): string | null {
  if (kind === "token") return `token ${id}`;
  return session === null ? null : `session ${session.id}`;
}

/** Proof that a page of ours has seen the answer to the login. Derived, so that nothing more has to be kept. */
export function csrfTokenOf(cookie: string): string {
  return hash("sha256", `csrf ${cookie}`, "base64url");
}
