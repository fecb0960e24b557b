import { hash, randomBytes, randomUUID } from "node:crypto";
import { base62 } from "../access/key-format.ts";
import { PosternError } from "../errors.ts";
import { Secret } from "../lib/secret.ts";
import type { SessionRecord, UserRecord } from "../storage/store.ts";
import { COOKIE_LENGTH, csrfTokenOf } from "./access/book.ts";
import type { Role } from "./access/role.ts";
import { actorOf } from "./caller.ts";
import type { AdminContext } from "./context.ts";
import type { Me } from "./contract-access.ts";
import type { CallParts, Change } from "./create-context.ts";
import { addUser, removeSessions } from "./user-admin.ts";

type SessionMethods = Pick<AdminContext, "me" | "logIn" | "logOut" | "changePassword" | "setUp" | "createSetupLink">;

/** A login is over after this, whatever it is used for. */
const SESSION_LIFE_MS = 12 * 60 * 60_000;
/** Logins of one user at one time; the oldest ends. */
const MAX_SESSIONS_PER_USER = 16;
const SETUP_SHOWN = "admin.setup-shown";

/** What a login gives: the cookie's value, and what its page needs to know. */
export interface LoggedIn {
  cookie: Secret;
  lifeMs: number;
  me: Me;
}

/** Logging in and out, the caller's own account, and the first user. */
export function createSessionAdmin(parts: CallParts): SessionMethods {
  const { clock, store, access, caller, config } = parts;
  return {
    async me() {
      const { kind, id, name, role, scopes, ceiling, session, expiresAtMs } = caller;
      if (kind === "anonymous") throw new PosternError("unauthorized");
      const ends = session?.expiresAtMs ?? expiresAtMs;
      return {
        kind,
        id,
        name,
        role,
        scopes: scopes === null ? null : [...scopes],
        ceiling: ceiling === null ? null : { ...ceiling },
        csrfToken: session?.csrfToken ?? null,
        expiresAtMs: ends,
      };
    },
    async logIn({ name, password }) {
      const user = access.book.users().find((one) => one.name === name);
      await checkPassword(user, password);
      return startSession(user as UserRecord);
    },
    async logOut() {
      const session = access.book.sessions(clock.nowMs()).find(({ id }) => id === caller.session?.id);
      if (session !== undefined) await removeSessions(parts, [session]);
    },
    async changePassword({ current, password }) {
      const user = access.book.users().find(({ id }) => caller.kind === "user" && id === caller.id);
      if (user === undefined) {
        throw new PosternError("invalid_input", { message: "Only a user who is logged in has a password to change" });
      }
      await checkPassword(user, current);
      const nowMs = clock.nowMs();
      const changed = { ...user, passwordHash: await access.hasher.hash(password), passwordChangedAtMs: nowMs };
      const change = {
        action: "users.update",
        subject: `user ${user.name}`,
        before: null,
        after: { password: "changed" },
      };
      if (!(await parts.changing(change).users.update(changed))) throw new PosternError("unauthorized");
      access.book.putUser(changed);
      access.book.endSessions((session) => session.userId === user.id);
    },
    async setUp({ code, name, password }) {
      if (access.book.users().length > 0) throw notTheCode();
      const putBack = access.setup.take(code, clock.nowMs());
      if (putBack === null) throw notTheCode();
      try {
        return await startSession(await addUser({ ...parts, changing: by(null) }, { name, role: "owner", password }));
      } catch (error) {
        putBack();
        throw error;
      }
    },
    async createSetupLink({ onlyOnce }) {
      const isShown = onlyOnce && (await store.settings.get(SETUP_SHOWN)) !== null;
      if (isShown || access.book.users().length > 0) {
        throw new PosternError("already_exists", {
          message: isShown ? "The link for the first user was shown before" : "There is a user already",
          hint: isShown
            ? "`postern admin setup-link` makes a new one."
            : "`postern admin users create NAME` makes another.",
        });
      }
      const change = { action: "setup.link", subject: "first user", before: null, after: null };
      await parts.changing(change).settings.set(SETUP_SHOWN, new Uint8Array([1]));
      const { code, expiresAtMs } = access.setup.create(clock.nowMs());
      const adminUrl = parts.live?.status().adminUrl ?? null;
      return { code: code.reveal(), url: adminUrl === null ? null : `${adminUrl}/setup#${code.reveal()}`, expiresAtMs };
    },
  };

  /** Throws the same for a wrong name and a wrong password, after the same time. */
  async function checkPassword(user: UserRecord | undefined, password: string): Promise<void> {
    const address = caller.address ?? "local";
    const waitMs = access.lockout.waitMs(user?.id ?? null, address, clock.monotonicMs());
    if (waitMs > 0) {
      throw new PosternError("too_many_failures", {
        message: "Too many wrong passwords; wait before the next try",
        retryAfterSeconds: Math.ceil(waitMs / 1000),
        detail: { user: user?.name },
      });
    }
    const isRight = await access.hasher.verify(password, user?.passwordHash ?? null);
    // Removed or changed while the hash was computed: then it is not that user's password any more.
    const isCurrent = user !== undefined && access.book.users().includes(user);
    if (isRight && isCurrent) return access.lockout.succeeded(user.id);
    access.lockout.failed(user?.id ?? null, address, clock.monotonicMs());
    throw new PosternError("unauthorized", { message: "Wrong name or password", detail: { user: user?.name } });
  }

  async function startSession(user: UserRecord): Promise<LoggedIn> {
    const nowMs = clock.nowMs();
    const own = access.book.sessions(nowMs).filter((session) => session.userId === user.id);
    const newestFirst = own.toReversed().toSorted((a, b) => b.lastSeenAtMs - a.lastSeenAtMs);
    const tooMany = newestFirst.slice(MAX_SESSIONS_PER_USER - 1);
    await removeSessions({ ...parts, changing: by(user) }, tooMany);
    await forgetDead(nowMs);
    const cookie = base62(COOKIE_LENGTH, randomBytes);
    const session: SessionRecord = {
      id: randomUUID(),
      hash: hash("sha256", cookie, "buffer"),
      userId: user.id,
      address: caller.address ?? "local",
      createdAtMs: nowMs,
      lastSeenAtMs: nowMs,
      expiresAtMs: nowMs + SESSION_LIFE_MS,
    };
    const change = {
      action: "sessions.start",
      subject: `user ${user.name}`,
      before: null,
      after: { session: session.id },
    };
    await by(user)(change).sessions.insert(session);
    access.book.putSession(session);
    const { id, name } = user;
    const expiresAtMs = session.expiresAtMs;
    const role = user.role as Role;
    return {
      cookie: new Secret(cookie),
      lifeMs: SESSION_LIFE_MS,
      me: { kind: "user", id, name, role, scopes: null, ceiling: null, csrfToken: csrfTokenOf(cookie), expiresAtMs },
    };
  }

  /** Rows of logins that ended by themselves; nobody did anything, so no entry. */
  async function forgetDead(nowMs: number): Promise<void> {
    const dead = access.book.deadSessions(nowMs).map(({ id }) => id);
    if (dead.length === 0) return;
    await store.sessions.remove(dead);
    access.book.endSessions((session) => dead.includes(session.id));
  }

  /** Changes in the name of somebody who is not a caller yet. */
  function by(user: UserRecord | null) {
    const actor =
      user === null
        ? { ...actorOf(caller), kind: "anonymous" }
        : { kind: "user", id: user.id, name: user.name, address: caller.address };
    return (change: Change) => store.audited({ atMs: clock.nowMs(), actor, ...change });
  }

  function notTheCode(): PosternError {
    access.lockout.failed(null, caller.address ?? "local", clock.monotonicMs());
    return new PosternError("unauthorized", {
      message: "That is not a valid code for the first user",
      hint: `\`postern admin setup-link\` on the gateway's machine makes a new one${config.file === null ? "" : " (with the same --config)"}.`,
    });
  }
}
